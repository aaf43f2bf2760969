//! What every stage says of itself, and what those can do that prepare scans.
use std::path::Path;

use ::cohort::Reason;
use engine::{Event, Failure, none_in_reach};
use preprocess::Need;
use serde_json::Value;

use super::Artifact;
use crate::{Result, event::Control, media::Media, reasons};

/// What the plan and the store ask of a stage.
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

    /// Every number of frames that it needs.
    fn needs(&self) -> Vec<Need> {
        Vec::new()
    }

    /// Whether it cannot do without recordings that are learned from.
    fn learns(&self) -> bool {
        false
    }

    /// Itself, if it prepares scans.
    fn preparation(&self) -> Option<&dyn Preparation> {
        None
    }
}

/// A stage that prepares scans: it computes into a folder, and reads its result from there, whether new
/// or stored.
pub(crate) trait Preparation {
    /// What decides the result beside the parameters and the stage before.
    fn inputs(&self, media: &Media<'_>) -> Value;

    /// Whether it works on each recording by itself, so that a task of an array may do it for its own.
    fn is_by_recording(&self) -> bool {
        false
    }

    /// Writes the result into `dir`.
    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()>;

    /// Puts the result in `dir` into `media`.
    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()>;

    /// Scans that are whole and not wanted, each with the reason.
    fn unwanted(&self, _media: &Media<'_>) -> Result<Vec<(usize, Reason)>> {
        Ok(Vec::new())
    }
}

impl<P: Preparation + ?Sized> Preparation for &P {
    fn is_by_recording(&self) -> bool {
        P::is_by_recording(self)
    }

    fn inputs(&self, media: &Media<'_>) -> Value {
        P::inputs(self, media)
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        P::compute(self, media, dir, control)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        P::load(self, media, dir)
    }

    fn unwanted(&self, media: &Media<'_>) -> Result<Vec<(usize, Reason)>> {
        P::unwanted(self, media)
    }
}

pub(crate) const FAILURES: &str = "failures.json";

/// Applies `step` to each scan that is still there; one that fails is left out, with its reason.
pub(crate) fn each_scan<T>(
    media: &Media<'_>,
    stage: &'static str,
    dir: &Path,
    control: &mut Control<'_>,
    mut step: impl FnMut(usize) -> Result<T>,
) -> Result<Vec<Option<T>>> {
    let scans = media.scans();
    let mut failures = Vec::new();
    let mut results = Vec::with_capacity(scans.len());
    control.tell(Event::Advanced { stage, done: 0, total: scans.len() });
    for (scan_idx, scan) in scans.iter().enumerate() {
        control.checkpoint()?;
        if media.failures.contains_key(&scan_idx) {
            results.push(None);
            continue;
        }
        let result = step(scan_idx);
        if let Err(error) = &result {
            if error.stops_the_run() {
                return result.map(|_| Vec::new());
            }
            let transient = error.is_of_the_system() || !media.is_unchanged(scan_idx);
            let reason = reasons::of(error, scan);
            control.unit_failed(stage, (scan_idx, scans.len()), &scan.unit, &reason);
            failures.push(Failure { unit: scan_idx, reason, transient });
        }
        results.push(result.ok());
        control.tell(Event::Advanced { stage, done: scan_idx + 1, total: scans.len() });
    }
    control.checkpoint()?;
    none_in_reach(&failures, results.iter().flatten().count(), "scans")?;
    write_failures(dir, &failures)?;
    Ok(results)
}

/// Writes which scans a stage left out, and why.
pub(crate) fn write_failures(dir: &Path, failures: &[Failure]) -> Result<()> {
    Ok(files::write_json(&dir.join(FAILURES), &failures)?)
}

/// Which scans a stage left out, and why.
pub(crate) fn read_failures(dir: &Path) -> Result<Vec<Failure>> {
    Ok(files::read_json(&dir.join(FAILURES))?)
}

/// Remembers the scans a stage left out.
pub(crate) fn load_failures(media: &mut Media<'_>, stage: &'static str, dir: &Path) -> Result<()> {
    let failures = read_failures(dir)?;
    media.failures.extend(failures.into_iter().map(|it| (it.unit, (stage, it.reason))));
    Ok(())
}
