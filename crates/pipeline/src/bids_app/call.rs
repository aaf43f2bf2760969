//! A call: its folders and labels.
use std::path::{Path, PathBuf};

use super::{
    names::label,
    output::refused,
    source::{SourceDataset, refuse_of_others},
};
use crate::{Error, Result};

/// The folder of stored results, unless another is named.
pub(super) const WORK: &str = ".work";

/// The words of a call, as they were typed.
#[derive(Clone, Debug, Default)]
pub struct BidsCall {
    /// The dataset: raw, or derivatives of it.
    pub bids_dir: PathBuf,
    /// The folder of the derivatives.
    pub out_dir: PathBuf,
    /// Where results are kept for later calls; absent: `.work` in `out_dir`.
    pub work_dir: Option<PathBuf>,
    /// Labels of people, with or without `sub-`; empty: all.
    pub participants: Vec<String>,
    /// Labels of visits, with or without `ses-`; empty: all.
    pub sessions: Vec<String>,
    /// Labels of tasks, with or without `task-`; empty: those of the pipeline file.
    pub tasks: Vec<String>,
}

/// A call whose folders and labels were checked.
#[derive(Clone, Debug)]
pub struct BidsApp {
    pub(super) bids_dir: PathBuf,
    pub(super) out_dir: PathBuf,
    pub(super) work_dir: PathBuf,
    pub(super) participants: Vec<String>,
    pub(super) sessions: Vec<String>,
    pub(super) tasks: Vec<String>,
    pub(super) source: SourceDataset,
}

impl BidsApp {
    /// Checks folders and labels.
    ///
    /// # Errors
    /// Where a label holds more than letters, digits and `+` or is of nobody, `bids_dir` is not a BIDS dataset,
    /// or `out_dir` is one of another program.
    pub fn new(call: &BidsCall) -> Result<Self> {
        let labels = |given: &[String], key, option| -> Result<Vec<String>> {
            let labels: Result<Vec<String>> =
                given.iter().map(|it| label(it, key, option)).collect();
            let mut labels = labels?;
            labels.sort_unstable();
            labels.dedup();
            Ok(labels)
        };
        let participants = labels(&call.participants, "sub-", "--participant-label")?;
        let sessions = labels(&call.sessions, "ses-", "--session-id")?;
        let tasks = labels(&call.tasks, "task-", "--task-id")?;
        let source = SourceDataset::read(&call.bids_dir)?;
        let bids_dir = call.bids_dir.canonicalize();
        let bids_dir = bids_dir.map_err(files::at("find", &call.bids_dir))?;
        if !participants.is_empty() {
            let folders = files::list(&bids_dir)?;
            for label in &participants {
                refuse_unknown(&call.bids_dir, &folders, label)?;
            }
        }
        let whole = |path: &Path| {
            std::path::absolute(path).map_err(files::at("find", path)).map_err(Error::from)
        };
        let out_dir = whole(&call.out_dir)?;
        if out_dir.canonicalize().is_ok_and(|it| it == bids_dir) {
            return Err(refused(
                &call.out_dir,
                "is the dataset itself, expected a folder of its own, such as one in derivatives/",
            ));
        }
        refuse_of_others(&out_dir)?;
        let work_dir = match &call.work_dir {
            Some(dir) => whole(dir)?,
            None => out_dir.join(WORK),
        };
        Ok(Self { bids_dir, out_dir, work_dir, participants, sessions, tasks, source })
    }
}

fn refuse_unknown(dir: &Path, folders: &[String], label: &str) -> Result<()> {
    let (folder, visits) = (format!("sub-{label}"), format!("sub-{label}_ses-"));
    if folders.iter().any(|it| *it == folder || it.starts_with(&visits)) {
        return Ok(());
    }
    Err(refused(dir, &format!("has no folder {folder}, which --participant-label asks for")))
}
