//! Results of single scans, each kept by what decides it.
//!
//! A stage that works on scans one by one keeps each result as soon as it is there: a stopped run
//! goes on at the scan where it was, and a cohort that grew by one scan computes that one only.
//! Scans run beside each other, within cores and memory.
pub(crate) mod file;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Error, Result,
    event::{Control, Event},
    files,
    stage::work::write_failures,
    state::{Failure, State},
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
    pub(crate) key: &'a dyn Fn(usize) -> String,
    /// The most bytes that work on a scan takes.
    pub(crate) cost: &'a dyn Fn(usize) -> u64,
    /// The bytes of its file.
    pub(crate) work: &'a (dyn Fn(usize, &str) -> Result<Vec<u8>> + Sync),
}

/// A key from everything that decides a result.
pub(crate) fn key(decides: &Value) -> String {
    scan::sha256_bytes(decides.to_string().as_bytes())
}

fn path_of(root: &Path, stage: &str, key: &str) -> PathBuf {
    root.join(stage).join("scans").join(format!("{}.safetensors", &key[..32]))
}

/// Works on each scan that is still there and not yet done; one that fails is left out, with its
/// reason.
pub(crate) fn each_unit(
    state: &State<'_>,
    dir: &Path,
    control: &mut Control<'_>,
    job: &Job<'_>,
) -> Result<()> {
    let (stage, scans) = (job.stage, state.scans());
    let root = &state.plan.cache_dir;
    let keys: Vec<Option<String>> = (0..scans.len())
        .map(|idx| (!state.failures.contains_key(&idx)).then(|| (job.key)(idx)))
        .collect();
    let mut pending = Vec::new();
    for (idx, key) in keys.iter().enumerate() {
        let Some(key) = key else { continue };
        let path = path_of(root, stage, key);
        if !path.exists() {
            pending.push(idx);
        } else if let Err(problem) = file::check(&path, key) {
            let (unit, file) = (scans[idx].name.clone(), files::shown(&path));
            control.tell(Event::UnitRedone { stage, unit, reason: format!("{file}: {problem}") });
            pending.push(idx);
        }
    }
    let n_there = keys.iter().flatten().count() - pending.len();
    let (mut done, total) = (n_there, n_there + pending.len());
    let mut failures = Vec::new();
    control.checkpoint()?;
    let cost = |idx: &usize| (job.cost)(*idx);
    let (of_scan, keys_ref) = (job.work, &keys);
    let work = |_: usize, idx: &usize| {
        let key = keys_ref[*idx].as_ref().expect("pending scans have a key");
        files::write_atomic(&path_of(root, stage, key), &of_scan(*idx, key)?)
    };
    state.plan.budget.each(&pending, cost, work, |at, result: Result<()>| {
        let idx = pending[at];
        if let Err(error) = result {
            if error.is_about_the_machine() {
                return Err(error);
            }
            // absolute folders name people and machines
            let path = scans[idx].path.display().to_string();
            let reason = error.to_string().replace(&path, &scans[idx].file);
            let unit = scans[idx].name.clone();
            control.tell(Event::UnitFailed { stage, unit, reason: reason.clone() });
            let passing = matches!(error, Error::Scan(scan::Error::OverBudget { .. }));
            failures.push(Failure { scan_idx: idx, reason, passing });
        }
        done += 1;
        control.tell(Event::Advanced { stage, done, total });
        control.checkpoint()
    })?;
    failures.sort_by_key(|failure| failure.scan_idx);
    let failed = |idx: usize| failures.iter().any(|failure| failure.scan_idx == idx);
    let kept: Vec<Option<&String>> =
        keys.iter().enumerate().map(|(idx, key)| key.as_ref().filter(|_| !failed(idx))).collect();
    files::write_json(&dir.join(UNITS), &Listed { keys: kept })?;
    write_failures(dir, &failures)
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
pub(crate) fn listed(state: &State<'_>, stage: &str, dir: &Path) -> Result<Vec<Option<Unit>>> {
    let known: Known = files::read_json(&dir.join(UNITS))?;
    let unit = |key: String| {
        let path = path_of(&state.plan.cache_dir, stage, &key);
        match file::check(&path, &key) {
            Ok(header) => Ok(Unit { key, path, facts: header.facts }),
            Err(problem) => Err(Error::Arrays { path, problem }),
        }
    };
    known.keys.into_iter().map(|key| key.map(unit).transpose()).collect()
}
