//! What a step refuses, as sentences about the user's files.
use std::path::PathBuf;

use scan::{FailureKind, Split};

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
    /// Of the first recording, by its number in the cohort.
    #[error("no recording could be learned from, the first for this reason: {source}")]
    NoneLearnedFrom { first: usize, source: Box<Error> },

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

impl Error {
    /// What kind of failure it is of a recording.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Scan(error) => error.kind(),
            Self::Files(error) => kind_of_file(error),
            Self::Encode(error) => kind_of_encoding(error),
            Self::Engine(engine::Error::OverBudget { .. }) => FailureKind::Memory,
            Self::Tables(_) => FailureKind::Table,
            Self::DegreesOfFreedom { .. } => FailureKind::ConfoundsMismatch,
            _ => FailureKind::Other,
        }
    }

    /// The key of the pipeline that is wrong, where it is one.
    pub fn key(&self) -> Option<String> {
        match self {
            Self::Setting { stage, field, .. } => Some(format!("stages.{stage}.{field}")),
            Self::StageInput { stage, .. } => Some(format!("stages.{stage}")),
            Self::DegreesOfFreedom { .. } => Some("stages.denoise".to_owned()),
            Self::Encoder(_) => Some("model.encoder".to_owned()),
            _ => None,
        }
    }

    /// What the user could do, where there is a cure that the sentence does not say.
    pub fn hint(&self) -> Option<String> {
        let take_fewer =
            "take fewer columns (`columns: { motion: basic, demean: true }`), or longer scans";
        matches!(self, Self::DegreesOfFreedom { .. }).then(|| take_fewer.to_owned())
    }
}

/// What kind of failure it is that a file cannot be read.
pub fn kind_of_file(error: &files::Error) -> FailureKind {
    match error {
        files::Error::Io { source, .. } => FailureKind::of_io(source),
        _ => FailureKind::Unreadable,
    }
}

/// What kind of failure it is that a scan or a picture cannot be encoded.
pub fn kind_of_encoding(error: &encoder::Error) -> FailureKind {
    match error {
        encoder::Error::Scan(error) => error.kind(),
        encoder::Error::Read { source, .. } => FailureKind::of_io(source),
        encoder::Error::Pointer { .. }
        | encoder::Error::Image { .. }
        | encoder::Error::Pixels { .. } => FailureKind::Unreadable,
        encoder::Error::NotFinite { .. } => FailureKind::NonFinite,
        encoder::Error::Input { .. } => FailureKind::Shape,
        _ => FailureKind::Other,
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::Files(error) => Self::Files(error),
            other => Self::Engine(other),
        }
    }
}
