//! What the system refuses, with the path.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A file or folder that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the sentence beside each variant says what its fields hold")]
pub enum Error {
    #[error("{}: cannot {action}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: is not the JSON it should be: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
}

impl Error {
    /// Whether the system refused to do something else than read: the disk is full, or a folder is
    /// not ours.
    pub fn is_of_writing(&self) -> bool {
        matches!(self, Self::Io { action, .. } if *action != "read")
    }

    /// The path, and what the system said.
    pub fn into_parts(self) -> (PathBuf, io::Error) {
        match self {
            Self::Io { path, source, .. } => (path, source),
            Self::Json { path, source } => (path, source.into()),
        }
    }

    /// Whether a file or folder is not there.
    pub fn is_of_absence(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// For `map_err`: what could not be done, with which file.
pub fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
