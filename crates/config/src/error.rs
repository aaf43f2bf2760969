//! What is wrong with a file of settings.

use crate::YamlError;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Settings that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the sentence beside each variant says what its fields hold")]
pub enum Error {
    #[error(transparent)]
    Files(#[from] files::Error),
    #[error(transparent)]
    Yaml(#[from] YamlError),
    #[error("--set {set}: {problem}")]
    Override { set: String, problem: String },
}

impl Error {
    /// What the user could do, where there is a cure.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Yaml(error) => error.hint(),
            _ => None,
        }
    }
}
