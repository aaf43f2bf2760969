//! What ends a run, or a unit, whatever is worked on.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why work stops or cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the sentence beside each variant says what its fields hold")]
pub enum Error {
    #[error(transparent)]
    Files(#[from] files::Error),
    #[error("{}: the stored result is damaged: {problem}", path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("needs {} MB of memory, the budget is {} MB", found.div_ceil(1_000_000), limit / 1_000_000)]
    OverBudget { found: u64, limit: u64 },
    #[error("none of the {n} {what} can be read now, the first with: {reason}")]
    OutOfReach { n: usize, what: &'static str, reason: String },
    #[error("{} is in use by another run: {holder}", path.display())]
    Locked { path: PathBuf, holder: String, lock: PathBuf },
    #[error("{} is in use by another run, which took it over because this one gave no sign for minutes", path.display())]
    LockLost { path: PathBuf },
    #[error("stopped at the first failure, in stage {stage}: {reason}")]
    FirstFailure { stage: &'static str, reason: String },
    #[error("stopped after saving, run the same command again to go on")]
    Interrupted,
}

impl Error {
    /// The problem of a stored file whose digest is another one.
    pub const CHANGED: &str = "its content is not what was written";

    /// A stored result that is not what was written.
    pub fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }

    /// Whether the run has to stop, whichever unit was worked on: the disk is full, a stored result
    /// is damaged, a signal came.
    pub fn stops_the_run(&self) -> bool {
        match self {
            Self::Files(error) => error.is_of_writing(),
            Self::Damaged { .. }
            | Self::LockLost { .. }
            | Self::FirstFailure { .. }
            | Self::Interrupted => true,
            _ => false,
        }
    }

    /// What the user could do, where there is a cure.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Locked { lock, .. } => Some(format!(
                "wait until it has ended, or stop it; if it runs no more, remove {}",
                lock.display()
            )),
            Self::FirstFailure { .. } => Some(
                "what was finished is kept: run again without --stop-on-first-failure to go on with \
                 the others"
                    .to_owned(),
            ),
            Self::OutOfReach { .. } => Some(
                "nothing of this is kept: run the same command again when the files can be read"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
