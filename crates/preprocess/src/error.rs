//! What a step refuses, as sentences about the user's files.
use std::path::PathBuf;

use scan::Split;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a recording cannot be prepared, or settings never could.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the sentence beside each variant says what its fields hold")]
pub enum Error {
    // what the user wrote
    #[error("stages.{stage}.{field} is {found}, expected {expected}")]
    Setting { stage: &'static str, field: &'static str, found: String, expected: String },
    #[error("stages.{stage}: {problem}")]
    StageInput { stage: &'static str, problem: String },

    #[error("model.encoder: {0}")]
    Encoder(encoder::Error),

    // files
    #[error(transparent)]
    Files(#[from] files::Error),
    #[error("{}: {problem}", path.display())]
    Stats { path: PathBuf, problem: String },
    #[error("{}: is damaged: {problem}", path.display())]
    Arrays { path: PathBuf, problem: String },

    // recordings
    #[error(
        "denoise takes {degrees}, which leaves {found} degrees of freedom, expected at least \
         {least} (`min_degrees_of_freedom`)"
    )]
    DegreesOfFreedom { degrees: scan::DegreesOfFreedom, found: usize, least: usize },
    #[error("every scan of split {split} failed, the first with: {reason}")]
    NothingLeft { split: Split, reason: String },

    // from below
    #[error(transparent)]
    Scan(#[from] scan::Error),
    #[error(transparent)]
    Tables(#[from] tables::Error),
    #[error(transparent)]
    Encode(#[from] encoder::Error),
    #[error(transparent)]
    Engine(engine::Error),
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::Files(error) => Self::Files(error),
            other => Self::Engine(other),
        }
    }
}
