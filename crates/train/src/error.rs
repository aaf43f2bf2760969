//! What can stop a training.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The observer asked to stop; the state is saved, a new call goes on from there.
    #[error("stopped after step {step}; the state is saved")]
    Interrupted {
        /// Steps done.
        step: usize,
    },
    /// Training data that cannot be trained on.
    #[error("{0}")]
    Data(String),
    /// A loss or a gradient that is not a number; the state before the step is saved.
    #[error(
        "the {what} of step {step} is not finite{}: lower the learning rate, or look at what is shown; the state \
         after step {} is saved, but a training of other settings or data begins anew", at(examples), step - 1
    )]
    Diverged {
        /// The step, counted from 1.
        step: usize,
        /// `loss` or `gradient`.
        what: &'static str,
        /// The examples whose scan or own loss is not finite, where it is some of them.
        examples: Vec<String>,
    },
    /// A loss that is so much larger than those of the first steps that nothing is learned any more; the state before the
    /// step is saved.
    #[error(
        "the loss of step {step} is {loss:.4}, more than ten times the largest of the first ten steps, {most:.4}{}: lower \
         the learning rate, or look at what is shown; the state after step {} is saved, but a training of other settings \
         or data begins anew", at(examples), step - 1
    )]
    Exploded {
        /// The step, counted from 1.
        step: usize,
        /// Its loss.
        loss: f64,
        /// The largest loss of the first steps.
        most: f64,
        /// The examples whose own loss is the largest.
        examples: Vec<String>,
    },
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A checkpoint that cannot be understood.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        reason: String,
    },
    /// A model that cannot be built, read or written.
    #[error(transparent)]
    Flamingo(#[from] flamingo::Error),
    /// A language model that cannot be read or written.
    #[error(transparent)]
    Lm(#[from] lm::Error),
    /// A package that a training cannot begin with.
    #[error("{}: {reason}", path.display())]
    WarmStart {
        /// The package's folder.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// What was written during the training could not be read, or not be kept.
    #[error(transparent)]
    Judge(crate::JudgeError),
    /// Weights that do not fit.
    #[error(transparent)]
    Weights(#[from] nn::Error),
}

/// The first few of some examples.
fn at(examples: &[String]) -> String {
    if examples.is_empty() {
        return String::new();
    }
    let few = examples[..examples.len().min(3)].join(", ");
    match examples.len() {
        0..=3 => format!(" (of {few})"),
        n => format!(" (of {few} and {} more)", n - 3),
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Weights(error.into())
    }
}

/// An encoder that cannot be trained as asked.
impl From<encoder::Error> for Error {
    fn from(error: encoder::Error) -> Self {
        Self::Flamingo(error.into())
    }
}

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Self {
        let (path, source) = error.into_parts();
        Self::Io { path, source }
    }
}
