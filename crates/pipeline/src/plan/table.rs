//! The cohort table: its scans, and what each row says.
use std::{path::PathBuf, sync::LazyLock};

use ::cohort::Kept;
use config::Component;
use report::{
    prompt::Labels,
    slots::{Slot, SlotSet},
};
use scan::Split;

use super::OmicsPlan;
use crate::spec::{CohortSpec, PairsSpec, Spec};

/// The table, its scans, and what each row says.
#[derive(Clone, Debug)]
pub struct CohortPlan {
    /// The table.
    pub table: PathBuf,
    /// Its digest.
    pub sha256: String,
    /// Every scan once, in the order of the table.
    pub scans: Vec<ScanPlan>,
    /// Every row of the table.
    pub rows: Vec<RowPlan>,
    /// Repetition time of all scans in seconds.
    pub t_r_s: f64,
    /// Voxels along x, y, z of all scans; empty where they are no images.
    pub grid: Vec<usize>,
    /// Numbers that are shown beside the scans.
    pub omics: Vec<OmicsPlan>,
}

/// One scan.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanPlan {
    /// Subject label.
    pub subject: String,
    /// Session label.
    pub session: String,
    /// Where the subject was scanned, if the table says it; of one who was at several sites, all of them.
    pub site: Option<String>,
    /// From 1 within the session.
    pub run: usize,
    /// Where it is.
    pub path: PathBuf,
    /// As the table names it.
    pub name: String,
    /// Digest of the file.
    pub sha256: String,
    /// Frames, as far as the header can be believed.
    pub n_frames: Option<usize>,
    /// Repetition time in seconds, where the header says it.
    pub t_r_s: Option<f64>,
    /// Seconds from the start of the scan to the time that its first frame stands for: `StartTime` of a
    /// sidecar.
    pub start_s: f64,
    /// Where its frames stood in the run, of a scan from which frames were left out.
    pub kept: Option<Kept>,
    /// The table of confounds beside it, where stages take some out.
    pub confounds: Option<PathBuf>,
    /// The table of the shares of its parcels that had data, where it is a series of parcels.
    pub coverage: Option<PathBuf>,
}

impl CohortPlan {
    /// Onsets of the rows of a scan, in their order, in seconds from the time of its first frame.
    pub(crate) fn events_s(&self, scan_idx: usize) -> Vec<f64> {
        let rows = self.rows.iter().filter(|row| row.scan_idx == scan_idx);
        rows.map(|row| self.scans[scan_idx].since_first_frame(row.onset_s)).collect()
    }
}

impl ScanPlan {
    /// Seconds from the time of the first frame to an onset, which is counted from the scan's start.
    pub(crate) fn since_first_frame(&self, onset_s: f64) -> f64 {
        onset_s - self.start_s
    }

    /// `sub-1 ses-11 run-1`.
    pub fn unit(&self) -> String {
        format!("sub-{} ses-{} run-{}", self.subject, self.session, self.run)
    }
}

/// One window and its report.
#[derive(Clone, Debug, PartialEq)]
pub struct RowPlan {
    /// Line of the table; the header is line 1.
    pub row: usize,
    /// Which of [`CohortPlan::scans`].
    pub scan_idx: usize,
    /// From 1 within the scan, in the order of the table.
    pub window: usize,
    /// Seconds from the scan's start.
    pub onset_s: f64,
    /// Seconds.
    pub duration_s: f64,
    /// The true report.
    pub report: String,
    /// The true value of each slot, where it is known.
    pub truths: Vec<Option<String>>,
    /// What windows are told apart by: the true value of the scored slot, of several all of them, of free
    /// text the report.
    pub truth: Option<String>,
    /// What the prompt states of the person.
    pub labels: Labels,
    /// The cells of the columns that the questions of `ask` name; those that are empty are not there.
    pub asked: Labels,
    /// The person's sex as the table has it, in lower case.
    pub sex: Option<String>,
    /// The person's age as the table has it.
    pub age: Option<String>,
    /// The table's split.
    pub split: Split,
}

impl RowPlan {
    /// Names what a model is shown of the row: its own window where events are cut out of scans, else its scan.
    pub(crate) fn shown(&self, windowed: bool) -> usize {
        if windowed { self.row } else { self.scan_idx }
    }
}

/// Stands for what is not stated among the values of several slots.
const NOT_STATED: &str = "not stated";

/// What windows are told apart by; none where nothing of it is known.
pub(super) fn joint(slots: &SlotSet, truths: &[Option<String>], report: &str) -> Option<String> {
    if slots.scored_idxs().is_empty() {
        return Some(report.to_owned());
    }
    let values = slots.scored_idxs().iter().map(|&idx| truths[idx].as_deref());
    joined(slots, &values.collect::<Vec<_>>())
}

/// The values of all scored slots in one; a number counts by its bin. None where none is there.
pub(crate) fn joined(slots: &SlotSet, values: &[Option<&str>]) -> Option<String> {
    values.iter().any(Option::is_some).then(|| {
        let scored = slots.scored_idxs().iter().map(|&idx| &slots.slots()[idx]);
        let label = |(slot, value): (&Slot, Option<&str>)| {
            value.map_or_else(|| NOT_STATED.to_owned(), |value| slot.label(value))
        };
        scored.zip(values.iter().copied()).map(label).collect::<Vec<_>>().join("; ")
    })
}

/// The slots of the cohort's reports.
pub(crate) fn slots(spec: &Spec) -> &SlotSet {
    match &spec.cohort {
        CohortSpec::Pairs(pairs) => slots_of(pairs),
        _ => unreachable!("only stages after scans ask for slots"),
    }
}

/// The slots of a table's reports; of free text none.
pub(crate) fn slots_of(pairs: &PairsSpec) -> &SlotSet {
    static NONE: LazyLock<SlotSet> = LazyLock::new(SlotSet::default);
    pairs.slots.as_ref().map_or(&NONE, Component::get)
}
