//! What can go wrong with weights.

use std::path::PathBuf;

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
    /// Tensors that cannot be written.
    #[error("{}: cannot be written as safetensors ({reason})", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the writer said.
        reason: String,
    },
    /// A weight file that cannot be read.
    #[error(transparent)]
    Container(#[from] formats::Error),
    /// A weight file without a tensor that the model has.
    #[error("{}: tensor `{name}` is missing", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A weight file with a tensor that the model does not have.
    #[error("{}: tensor `{name}` belongs to no part of this model", path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A weight file with one tensor under two names.
    #[error("{}: tensor `{name}` is there twice, under different names", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor of another shape than the model's.
    #[error("{}: tensor `{name}` has shape {found:?}, this model needs {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// Its shape in the model.
        expected: Vec<usize>,
    },
    /// A tensor whose element type no layer can work with.
    #[error("{}: tensor `{name}` holds {found}, expected floating-point numbers", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its element type.
        found: String,
    },
    /// A tensor operation that failed.
    #[error(transparent)]
    Candle(candle_core::Error),
}

/// Without the stack that candle adds to its text where `RUST_BACKTRACE` is set.
impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        match error {
            candle_core::Error::WithBacktrace { inner, .. } => (*inner).into(),
            error => Self::Candle(error),
        }
    }
}

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
