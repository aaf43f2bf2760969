//! The road of one recording: from a file to what a model may be shown of it.
//!
//! ```text
//! Recording ── parcellate ─→ series ── denoise, resample_time, normalise … ─→ series
//!              └───────────────── each a Step, fitted once: Fitted ─────────────────┘
//! ```
//!
//! A [`Step`] knows nothing of a cohort's store, of a run or of a page. Whoever walks a cohort asks it what
//! decides a result, fits it once, and applies what was [`Fitted`] to one recording after another.

mod error;
mod kind;
mod recording;
mod series;
pub mod settings;
mod stats;
mod step;
pub mod steps;

pub use crate::{
    error::{Error, Result},
    kind::Kind,
    recording::Recording,
    series::{AboutSeries, SeriesFacts, StoredSeries, names, places},
    stats::{ending, read_stats},
    step::{Data, Fitted, Given, Inputs, Step, StepId, Training},
};
