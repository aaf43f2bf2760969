//! The scans of any cohort, as stages see them.
use preprocess::Recording;

use super::{Plan, SourcePlan};

impl Plan {
    /// Every scan, in the order that indices of failures and of units mean.
    pub(crate) fn scans(&self) -> Vec<Recording> {
        scans(&self.source)
    }
}

pub(super) fn scans(source: &SourcePlan) -> Vec<Recording> {
    match source {
        SourcePlan::Cohort(cohort) => {
            let view = |(idx, scan): (usize, &super::ScanPlan)| Recording {
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
                events_s: cohort.events_s(idx),
            };
            cohort.scans.iter().enumerate().map(view).collect()
        }
        SourcePlan::Recordings(recordings) => {
            recordings.recordings().iter().map(of_recording).collect()
        }
        SourcePlan::Pictures(_) | SourcePlan::Benchmark(_) | SourcePlan::Corpus { .. } => {
            Vec::new()
        }
    }
}

/// A recording as stages see it.
pub(super) fn of_recording(recording: &cohort::Recording) -> Recording {
    Recording {
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
        events_s: Vec::new(),
    }
}
