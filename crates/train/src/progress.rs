//! What a training tells whoever watches.

use std::{collections::BTreeMap, ops::ControlFlow};

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
        /// Norm of the whole gradient before it is clipped for the step.
        grad_norm: f64,
        /// Ids that the language model read in the step, padding left out, of all processes.
        n_tokens: usize,
    },
    /// A micro-batch of a step that has several was gone through.
    Batch {
        /// The step that it belongs to, counted from 1.
        step: usize,
        /// What it adds to the step's loss; nothing where it has nothing to learn.
        loss: Option<f64>,
        /// Norm of all that the step has gathered, where it was clipped after the micro-batch.
        grad_norm: Option<f64>,
    },
    /// A step had nothing to learn: the weights stay.
    NothingLearned {
        /// Steps done.
        step: usize,
    },
    /// The model was judged on the validation examples.
    Validated {
        /// Steps done.
        step: usize,
        /// Weighted mean negative log-likelihood of a report's token, in nats.
        nll: f64,
        /// Further metrics of the validation, by name.
        metrics: BTreeMap<String, f64>,
        /// Whether it is the best so far, by the metric that the settings name.
        best: bool,
    },
    /// The training goes on from a saved state.
    Resumed {
        /// Steps that it had done.
        step: usize,
    },
    /// A saved state cannot be gone on with: it was removed, and the one before is tried.
    StateLost {
        /// Its folder's name.
        state: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Called with every piece of news; `Break` after a step or a judgement saves the state and stops. After other news
/// nothing comes of it: it must be said again at the end of the step.
pub type Observer<'a> = &'a mut dyn FnMut(&Progress) -> ControlFlow<()>;
