//! Results of single scans, each kept by what decides it.
//!
//! A stage that works on scans one by one keeps each result as soon as it is there: a stopped run
//! goes on at the scan where it was, and a cohort that grew by one scan computes that one only.
//! Scans run beside each other, within cores and memory.
pub(crate) mod file;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Error, Result,
    event::{Control, Event},
    media::{Failure, Media},
    reasons::Reason,
    stage::work::{none_in_reach, write_failures},
};

pub(crate) const UNITS: &str = "units.json";

/// Where the result of one scan lies, and what is asked of it without reading it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Unit {
    pub(crate) key: String,
    pub(crate) path: PathBuf,
    pub(crate) facts: Value,
}

/// What a stage does with each scan.
pub(crate) struct Job<'a> {
    pub(crate) stage: &'static str,
    /// Everything that decides the result of a scan, as a key.
    pub(crate) key: &'a dyn Fn(usize) -> Result<String>,
    /// The most bytes that work on a scan takes.
    pub(crate) cost: &'a dyn Fn(usize) -> u64,
    /// The bytes of its file.
    pub(crate) work: &'a (dyn Fn(usize, &str) -> Result<Vec<u8>> + Sync),
}

/// A key from everything that decides a result.
pub(crate) fn key(decides: &Value) -> String {
    files::sha256_bytes(decides.to_string().as_bytes())
}

fn path_of(root: &Path, stage: &str, key: &str) -> PathBuf {
    root.join(stage).join("scans").join(format!("{}.safetensors", &key[..32]))
}

/// How long to wait before scans are tried again whose files could not be read: a network folder may
/// be away for a moment.
const WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// Works on each scan that is still there and not yet done; one that fails is left out, with its
/// reason. Where the contents of its files are not to blame it is tried again, now and in later runs.
pub(crate) fn each_unit(
    state: &Media<'_>,
    dir: &Path,
    control: &mut Control<'_>,
    job: &Job<'_>,
) -> Result<()> {
    control.checkpoint()?;
    let mut round = Round::new(state, job);
    let all = (0..state.scans().len()).filter(|idx| !state.failures.contains_key(idx)).collect();
    let mut failed = round.run(all, control)?;
    for wait in WAITS {
        let again: Vec<usize> =
            failed.iter().filter(|it| it.tried_again).map(|it| it.failure.scan_idx).collect();
        if again.is_empty() {
            break;
        }
        control.tell(Event::TriedAgain { stage: job.stage, n: again.len() });
        control.wait(wait)?;
        failed.retain(|it| !it.tried_again);
        failed.extend(round.run(again, control)?);
    }
    let scans = state.scans();
    let mut failures: Vec<Failure> = failed.into_iter().map(|it| it.failure).collect();
    failures.sort_by_key(|failure| failure.scan_idx);
    let n_done = round.keys.iter().flatten().count();
    none_in_reach(&failures, n_done)?;
    for Failure { scan_idx, reason, .. } in &failures {
        let place = (*scan_idx, scans.len());
        control.tell(Event::unit_failed(job.stage, place, &scans[*scan_idx].name, reason));
    }
    let kept = round.keys.iter().map(Option::as_ref).collect();
    files::write_json(&dir.join(UNITS), &Listed { keys: kept })?;
    write_failures(dir, &failures)
}

/// A scan that failed.
struct Failed {
    failure: Failure,
    /// Another try may succeed at once.
    tried_again: bool,
}

/// The scans of a stage, as far as they are done.
struct Round<'a> {
    state: &'a Media<'a>,
    job: &'a Job<'a>,
    /// Of the scans that are done.
    keys: Vec<Option<String>>,
    done: usize,
    /// Scans whose end was told.
    total: usize,
}

impl<'a> Round<'a> {
    fn new(state: &'a Media<'a>, job: &'a Job<'a>) -> Self {
        let total = state.scans().len() - state.failures.len();
        Self { state, job, keys: vec![None; state.scans().len()], done: 0, total }
    }

    /// Works on these scans; the ones that failed.
    fn run(&mut self, scans: Vec<usize>, control: &mut Control<'_>) -> Result<Vec<Failed>> {
        let (state, stage) = (self.state, self.job.stage);
        let root = &state.plan.cache_dir;
        let (mut failed, mut pending) = (Vec::new(), Vec::new());
        for idx in scans {
            let key = match (self.job.key)(idx) {
                Ok(key) => key,
                Err(error) => {
                    failed.push(self.failed(idx, error)?);
                    continue;
                }
            };
            let path = path_of(root, stage, &key);
            match file::check(&path, &key) {
                Ok(_) => {
                    self.keys[idx] = Some(key);
                    self.done += 1;
                    continue;
                }
                Err(problem) if path.exists() => {
                    let unit = state.scans()[idx].name.clone();
                    let reason = format!("{}: {problem}", files::shown(&path));
                    control.tell(Event::UnitRedone { stage, unit, reason });
                }
                Err(_) => {}
            }
            pending.push((idx, key));
        }
        control.tell(Event::Advanced { stage, done: self.done, total: self.total });
        control.checkpoint()?;
        let (cost, of_scan) = (self.job.cost, self.job.work);
        let work = |_: usize, (idx, key): &(usize, String)| {
            Ok(files::write_atomic(&path_of(root, stage, key), &of_scan(*idx, key)?)?)
        };
        state.plan.budget.each(
            &pending,
            |(idx, _)| cost(*idx),
            work,
            |at, result: Result<()>| {
                let (idx, key) = &pending[at];
                match result {
                    Ok(()) => {
                        self.keys[*idx] = Some(key.clone());
                        self.done += 1;
                    }
                    Err(error) => failed.push(self.failed(*idx, error)?),
                }
                let done = self.done + failed.len();
                control.tell(Event::Advanced { stage, done, total: self.total });
                control.checkpoint()
            },
        )?;
        Ok(failed)
    }

    /// The reason of a scan; an error that is of no scan stops the run.
    fn failed(&self, idx: usize, error: Error) -> Result<Failed> {
        if error.stops_the_run() {
            return Err(error);
        }
        let over_budget = matches!(error, Error::Scan(scan::Error::OverBudget { .. }));
        let changed = !over_budget && !self.state.is_unchanged(idx);
        // this library says nothing of the system's errors
        let unclear = matches!(error, Error::Scan(scan::Error::Hdf5 { .. }));
        let tried_again = changed || error.is_of_the_system();
        let reason = Reason::of(&error, &self.state.scans()[idx]);
        let failure = Failure { scan_idx: idx, reason, transient: tried_again || over_budget };
        Ok(Failed { failure, tried_again: tried_again || unclear })
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    keys: Vec<Option<&'a String>>,
}

#[derive(Deserialize)]
struct Known {
    keys: Vec<Option<String>>,
}

/// The results that a stage listed in `dir`; one that is damaged since is an error, so that the
/// stage is done again.
pub(crate) fn listed(state: &Media<'_>, stage: &str, dir: &Path) -> Result<Vec<Option<Unit>>> {
    let known: Known = files::read_json(&dir.join(UNITS))?;
    let unit = |key: String| {
        let path = path_of(&state.plan.cache_dir, stage, &key);
        match file::check(&path, &key) {
            Ok(header) => Ok(Unit { key, path, facts: header.facts }),
            Err(problem) => Err(Error::Damaged { path, problem }),
        }
    };
    known.keys.into_iter().map(|key| key.map(unit).transpose()).collect()
}
