//! The pages of a run.
use std::path::PathBuf;

/// Figures and pages, in a stored folder.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    pub(crate) dir: PathBuf,
    /// Relative to it, and to the run directory.
    pub(crate) names: Vec<String>,
}
