//! What a training tells whoever watches.

use std::ops::ControlFlow;

use serde::Serialize;

/// One piece of news.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// A step was taken.
    Step {
        /// Steps done.
        step: usize,
        /// Steps in all.
        n_steps: usize,
        /// The step's loss.
        loss: f64,
        /// The step's learning rate.
        lr: f64,
    },
    /// The model was judged on the validation examples.
    Validated {
        /// Steps done.
        step: usize,
        /// Weighted mean negative log-likelihood of a report's token, in nats.
        nll: f64,
        /// Whether it is the best so far.
        best: bool,
    },
    /// A saved state cannot be gone on with: it was removed, and the one before is tried.
    StateLost {
        /// Its folder's name.
        state: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Called with every piece of news; `Break` saves the state and stops.
pub type Observer<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;
