//! The scans of any cohort, as stages see them.
use std::path::{Path, PathBuf};

use ::cohort::Kept;
use serde_json::{Value, json};

use super::{Plan, SourcePlan};

/// One scan, wherever it was listed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScanView {
    /// Subject label.
    pub(crate) subject: String,
    /// Session label, where there is one.
    pub(crate) session: Option<String>,
    /// `sub-1_ses-11_run-1`: once in a cohort, and safe as a file name.
    pub(crate) name: String,
    /// The same for people.
    pub(crate) unit: String,
    /// The file, as the cohort names it.
    pub(crate) file: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Digest of the file, where it is known already.
    pub(crate) sha256: Option<String>,
    /// Seconds between two frames.
    pub(crate) t_r_s: Option<f64>,
    /// Frames, where a header says it.
    pub(crate) n_frames: Option<usize>,
    /// Where they stood in the run, of a scan from which frames were left out.
    pub(crate) kept: Option<Kept>,
    /// The nuisance series beside it.
    pub(crate) confounds: Option<PathBuf>,
    /// The share of each parcel that had data, of a series that was parcelled elsewhere.
    pub(crate) coverage: Option<PathBuf>,
    /// Dataset and position along its first axis, where the file holds many.
    pub(crate) stacked: Option<(String, usize)>,
}

impl ScanView {
    /// The tables beside it.
    pub(crate) fn beside(&self) -> impl Iterator<Item = &Path> {
        [&self.confounds, &self.coverage].into_iter().filter_map(|it| it.as_deref())
    }

    /// Everything that decides when its frames were taken.
    pub(crate) fn timing(&self) -> Value {
        match &self.kept {
            None => json!(self.t_r_s),
            Some(kept) => json!([self.t_r_s, kept]),
        }
    }
}

impl Plan {
    /// Every scan, in the order that indices of failures and of units mean.
    pub(crate) fn scans(&self) -> Vec<ScanView> {
        scans(&self.source)
    }
}

pub(super) fn scans(source: &SourcePlan) -> Vec<ScanView> {
    match source {
        SourcePlan::Cohort(cohort) => {
            let view = |scan: &super::ScanPlan| ScanView {
                subject: scan.subject.clone(),
                session: Some(scan.session.clone()),
                name: scan.unit().replace(' ', "_"),
                unit: scan.unit(),
                file: scan.name.clone(),
                path: scan.path.clone(),
                sha256: Some(scan.sha256.clone()),
                t_r_s: scan.t_r_s,
                n_frames: scan.n_frames,
                kept: scan.kept.clone(),
                confounds: scan.confounds.clone(),
                coverage: scan.coverage.clone(),
                stacked: None,
            };
            cohort.scans.iter().map(view).collect()
        }
        SourcePlan::Recordings(recordings) => {
            recordings.recordings().iter().map(of_recording).collect()
        }
        SourcePlan::Pictures(_) | SourcePlan::Corpus { .. } => Vec::new(),
    }
}

/// A recording as stages see it.
pub(super) fn of_recording(recording: &cohort::Recording) -> ScanView {
    ScanView {
        subject: recording.subject().to_owned(),
        session: recording.session().map(str::to_owned),
        name: recording.name(),
        unit: recording.name(),
        file: recording.name(),
        path: recording.source.path().clone(),
        sha256: None,
        t_r_s: recording.t_r.map(|t_r| t_r.seconds),
        n_frames: recording.n_frames,
        kept: recording.kept.clone(),
        confounds: recording.confounds.clone(),
        coverage: recording.coverage.clone(),
        stacked: match &recording.source {
            cohort::Source::File(_) => None,
            cohort::Source::Stack { dataset, index, .. } => Some((dataset.clone(), *index)),
        },
    }
}
