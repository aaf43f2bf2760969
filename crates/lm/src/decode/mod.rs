//! From logits to ids: rules that bend a row of scores, and three ways to choose from it.
//!
//! Nothing here knows a model; a row of scores is a slice, a text is a list of ids.
//!
//! ```text
//! logits ───────────────── Rules ─┬─ argmax                              greedy
//!                                 └─ temperature ─ top-k ─ top-p ─ draw  Sampling
//! logits ─ log_softmax ─── Rules ─── 2 · num_beams candidates a prompt   Beams
//! ```
//! The arithmetic and the order of the rules are those of Hugging Face transformers 4.33, with which
//! OpenFlamingo generates; forbidden scores are −∞.

mod beams;
mod choose;
mod rules;
mod stream;

pub use beams::{BeamConfig, Beams, EarlyStopping, Hypothesis, Length, Next};
pub use choose::{Sampling, argmax, keep_top_k, keep_top_p, log_softmax};
pub use rules::{Rules, ban, ban_repeated_ngrams, force, penalise_repetition};
pub use stream::TextStream;
