//! One recording of any cohort, as steps see it.
use std::path::{Path, PathBuf};

use cohort::Kept;
use serde_json::{Value, json};

/// One recording, wherever it was listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Subject label.
    pub subject: String,
    /// Session label, where there is one.
    pub session: Option<String>,
    /// `sub-1_ses-11_run-1`: once in a cohort, and safe as a file name.
    pub name: String,
    /// The same for people.
    pub unit: String,
    /// The file, as the cohort names it.
    pub file: String,
    /// Where it is.
    pub path: PathBuf,
    /// Digest of the file, where it is known already.
    pub sha256: Option<String>,
    /// Seconds between two frames.
    pub t_r_s: Option<f64>,
    /// Frames, where a header says it.
    pub n_frames: Option<usize>,
    /// Where they stood in the run, of a scan from which frames were left out.
    pub kept: Option<Kept>,
    /// The nuisance series beside it.
    pub confounds: Option<PathBuf>,
    /// The share of each parcel that had data, of a series that was parcelled elsewhere.
    pub coverage: Option<PathBuf>,
    /// Dataset and position along its first axis, where the file holds many.
    pub stacked: Option<(String, usize)>,
}

impl Recording {
    /// The tables beside it.
    pub fn beside(&self) -> impl Iterator<Item = &Path> {
        [&self.confounds, &self.coverage].into_iter().filter_map(|it| it.as_deref())
    }

    /// Everything that decides when its frames were taken.
    pub fn timing(&self) -> Value {
        match &self.kept {
            None => json!(self.t_r_s),
            Some(kept) => json!([self.t_r_s, kept]),
        }
    }
}
