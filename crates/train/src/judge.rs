//! What the validation examples say of a model under training, and which state of it is kept.

use std::collections::BTreeMap;

use flamingo::{Stop, Writer};

use crate::Result;

/// The metric that every validation has, in nats a token; the lower the better. Of all others more is better.
pub const LOSS: &str = "loss";
/// How much more likely the reports are with their own scan than with that of another example, in nats a token.
pub const SCAN_GAIN: &str = "scan_gain";

/// What comes of a validation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Validation {
    /// There is nothing to validate on.
    Nothing,
    /// It was asked to stop before it was done.
    Stopped,
    /// What it found.
    Found(Judgement),
}

/// What a validation found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Judgement {
    /// Weighted mean negative log-likelihood of a report's token.
    pub(crate) nll: f64,
    /// Further metrics by name.
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// An error of whoever judges.
pub type JudgeError = Box<dyn std::error::Error + Send + Sync>;

/// Reads what a model under training writes.
pub trait Judge {
    /// For each validation example the place of one whose scan stands in for its own, from which [`SCAN_GAIN`] is
    /// measured. Nothing: it is not measured.
    fn others(&self) -> Option<&[usize]> {
        None
    }

    /// Metrics by name of a model after `step` steps; the larger, the better. It writes by `writer`, with the weights
    /// that would be kept. Nothing where `stop` said so before it was done.
    ///
    /// # Errors
    /// Whatever goes wrong ends the training.
    fn judge(
        &self,
        step: usize,
        writer: &Writer<'_>,
        stop: Stop<'_>,
    ) -> Result<Option<BTreeMap<String, f64>>, JudgeError>;
}
