//! A model shown some solved examples and then asked: the evaluation of OpenFlamingo, without its model.
//!
//! Which examples stand before a question, in which words, what of an answer counts, and what it is worth.

mod demonstrations;
mod prompt;
mod scores;

pub use demonstrations::{drawn, nearest};
pub use prompt::{Ask, TEXT_DEMONSTRATIONS, caption, prompt};
pub use scores::{
    AnswerScores, CaptionSetScores, ClassScores, ClassifiedItem, answer_scores, caption_set_scores,
    class_scores,
};

pub use crate::metrics::Draws;
