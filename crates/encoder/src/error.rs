//! Why an encoder cannot be built, or not be fed.

use std::{io, path::PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A window that does not fit the encoder.
    #[error("encoder `{encoder}` needs {expected}, but the stages before it give {found}")]
    Input {
        /// The encoder's name in the YAML.
        encoder: &'static str,
        /// What it needs.
        expected: String,
        /// What it would get.
        found: String,
    },
    /// A setting that makes no encoder.
    #[error("encoder `{encoder}`: {reason}")]
    Setting {
        /// The encoder's name in the YAML.
        encoder: &'static str,
        /// What was found and expected.
        reason: String,
    },
    /// Weights that are not the encoder's, or a failure inside it.
    #[error("encoder `{encoder}`: {source}")]
    Weights {
        /// The encoder's name in the YAML.
        encoder: &'static str,
        /// What was found and expected.
        source: nn::Error,
    },
    /// An encoder that cannot fill in what is hidden from it.
    #[error(
        "encoder `{encoder}` has no decoder that fills in what is hidden, so there is nothing to \
         check; `brainlm` and `cortex_mae` have one"
    )]
    NoDecoder {
        /// The encoder's name in the YAML.
        encoder: &'static str,
    },
    /// A weight file that cannot be read.
    #[error(transparent)]
    WeightFile(#[from] nn::Error),
    /// A file of tokens or of weights that cannot be read.
    #[error(transparent)]
    Scan(#[from] scan::Error),
    /// Tokens that are no numbers.
    #[error("encoder `{encoder}`: tokens of window {window} are not all finite numbers")]
    NotFinite {
        /// The encoder's name in the YAML.
        encoder: &'static str,
        /// From 1.
        window: usize,
    },
    /// A file of which only a pointer is there.
    #[error("{}: is {found}", path.display())]
    Pointer {
        /// The file.
        path: PathBuf,
        /// What it is, and the command that fetches it.
        found: &'static str,
    },
    /// An image file that cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that holds no image, a damaged one, or one of a kind that is not read.
    #[error("{}: {problem}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        problem: String,
    },
    /// A `config.json` of no network that is built here.
    #[error("{}: {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        problem: String,
    },
    /// A weight file of another network.
    #[error("{}: {problem}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        problem: String,
    },
    /// Pixels that do not fill their image.
    #[error(
        "an RGB image of {width} x {height} pixels has {n_bytes} bytes, expected 3 a pixel and at least one"
    )]
    Pixels {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes found.
        n_bytes: usize,
    },
}

impl Error {
    /// For `map_err`: a failure inside this encoder.
    pub(crate) fn inside(encoder: &'static str) -> impl Fn(candle_core::Error) -> Self + Copy {
        move |error| Self::Weights { encoder, source: error.into() }
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::WeightFile(error.into())
    }
}

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
