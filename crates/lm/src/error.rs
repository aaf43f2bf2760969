//! What can go wrong with a language model's files.

use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A config, an index or a file's metadata that cannot be understood or is not supported.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What was found and expected.
        reason: String,
    },
    /// Corrections of low rank that the model cannot have.
    #[error("the language model: {0}")]
    Lora(String),
    /// A folder without a `tokenizer.json`.
    #[error("{}: {found}, expected tokenizer.json", path.display())]
    NoTokenizer {
        /// The folder.
        path: PathBuf,
        /// The form of tokenizer that it holds instead.
        found: String,
    },
    /// A `tokenizer.json` that cannot be understood, or a text that it cannot encode.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// Logits that are no numbers.
    #[error("the model's logits are not finite")]
    NotFinite,
    /// Rules of decoding that leave no id.
    #[error("the rules of decoding forbid every token")]
    NothingAllowed,
    /// A weight file that cannot be read.
    #[error(transparent)]
    Container(#[from] formats::Error),
    /// Weights that do not fit.
    #[error(transparent)]
    Weights(#[from] nn::Error),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Weights(error.into())
    }
}

/// The text of a file; one of whose content only a pointer is there is refused.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    formats::read_text(path).map_err(|error| match error {
        formats::Error::Read { path, source } => Error::Io { path, source },
        other => other.into(),
    })
}

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
