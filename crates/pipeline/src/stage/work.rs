//! What every stage can do.
use std::path::Path;

use serde_json::Value;

use super::Artifact;
use crate::{
    Result,
    event::{Control, Event},
    files,
    state::{Failure, State},
};

/// One stage: computes into a folder, and reads its result from there, whether new or stored.
pub(crate) trait Work {
    /// Its name in the file.
    fn name(&self) -> &'static str;

    /// Raised when the same inputs would now give another result.
    fn version(&self) -> u32;

    /// What it takes and what it gives.
    fn signature(&self) -> (Artifact, Artifact);

    /// What it makes of what is there; none where it cannot use it.
    fn gives(&self, have: Artifact) -> Option<Artifact> {
        let (takes, gives) = self.signature();
        (have == takes).then_some(gives)
    }

    /// Whether it needs the section `model`.
    fn needs_model(&self) -> bool {
        false
    }

    /// Refuses settings that could only fail later.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// What decides the result beside the parameters and the stage before.
    fn inputs(&self, state: &State<'_>) -> Value;

    /// Writes the result into `dir`.
    fn compute(&self, state: &State<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()>;

    /// Puts the result in `dir` into `state`.
    fn load(&self, state: &mut State<'_>, dir: &Path) -> Result<()>;
}

pub(super) const FAILURES: &str = "failures.json";

/// Applies `step` to each scan that is still there; one that fails is left out, with its reason.
pub(crate) fn each_scan<T>(
    state: &State<'_>,
    stage: &'static str,
    dir: &Path,
    control: &mut Control<'_>,
    mut step: impl FnMut(usize) -> Result<T>,
) -> Result<Vec<Option<T>>> {
    let scans = state.scans();
    let mut failures = Vec::new();
    let mut results = Vec::with_capacity(scans.len());
    for (scan_idx, scan) in scans.iter().enumerate() {
        control.checkpoint()?;
        if state.failures.contains_key(&scan_idx) {
            results.push(None);
            continue;
        }
        let result = step(scan_idx);
        if let Err(error) = &result {
            // absolute folders name people and machines
            let reason = error.to_string().replace(&scan.path.display().to_string(), &scan.file);
            let unit = scan.unit.clone();
            control.tell(Event::UnitFailed { stage, unit, reason: reason.clone() });
            failures.push(Failure { scan_idx, reason, passing: false });
        }
        results.push(result.ok());
        control.tell(Event::Advanced { stage, done: scan_idx + 1, total: scans.len() });
    }
    write_failures(dir, &failures)?;
    Ok(results)
}

/// Writes which scans a stage left out, and why.
pub(crate) fn write_failures(dir: &Path, failures: &[Failure]) -> Result<()> {
    files::write_json(&dir.join(FAILURES), &failures)
}

/// Which scans a stage left out, and why.
pub(crate) fn read_failures(dir: &Path) -> Result<Vec<Failure>> {
    files::read_json(&dir.join(FAILURES))
}

/// Remembers the scans a stage left out.
pub(crate) fn load_failures(state: &mut State<'_>, stage: &'static str, dir: &Path) -> Result<()> {
    let failures = read_failures(dir)?;
    state.failures.extend(failures.into_iter().map(|it| (it.scan_idx, (stage, it.reason))));
    Ok(())
}
