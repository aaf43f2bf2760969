//! One recording of any cohort, as steps see it.
use std::path::{Path, PathBuf};

use cohort::Kept;
use ndarray::Array1;
use scan::ConfoundTable;
use serde_json::{Value, json};

use crate::{Error, Result};

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
    /// Onsets of the events that a table lists in it, in its order, in seconds from the time of the first
    /// frame.
    pub events_s: Vec<f64>,
}

impl Recording {
    /// The tables beside it.
    pub fn beside(&self) -> impl Iterator<Item = &Path> {
        [&self.confounds, &self.coverage].into_iter().filter_map(|it| it.as_deref())
    }

    /// Framewise displacement in mm of each of its frames; NaN where its table has no value, as in the first
    /// frame.
    pub fn displacement(&self, n_frames: usize) -> Result<Option<Array1<f64>>> {
        let Some(path) = self.confounds.as_deref() else { return Ok(None) };
        let table = ConfoundTable::read(path)?;
        let Some(fd_mm) = table.displacement() else { return Ok(None) };
        if let Some(kept) = self.kept.as_ref().filter(|kept| kept.of == fd_mm.len()) {
            return Ok(Some(kept.frames.iter().map(|&frame| fd_mm[frame]).collect()));
        }
        if fd_mm.len() != n_frames {
            let (found, expected) = (fd_mm.len(), n_frames);
            let problem = format!("has {found} rows, but the scan has {expected} frames");
            return Err(Error::Arrays { path: path.to_owned(), problem });
        }
        Ok(Some(fd_mm.to_vec().into()))
    }

    /// Everything that decides when its frames were taken.
    pub fn timing(&self) -> Value {
        match &self.kept {
            None => json!(self.t_r_s),
            Some(kept) => json!([self.t_r_s, kept]),
        }
    }
}
