//! What a stage does with each scan, as units of the engine.

use std::path::Path;

use engine::{Engine, Failure, Judged, Key, Store, Unit, Units};

use crate::{Error, Result, event::Control, media::Media, reasons};

/// What a stage does with each scan.
pub(crate) struct Job<'a> {
    pub(crate) stage: &'static str,
    /// Everything that decides the result of a scan, as a key.
    pub(crate) key: &'a (dyn Fn(usize) -> Result<Key> + Sync),
    /// The most bytes that work on a scan takes.
    pub(crate) cost: &'a (dyn Fn(usize) -> u64 + Sync),
    /// The bytes of its file.
    pub(crate) work: &'a (dyn Fn(usize, &Key) -> Result<Vec<u8>> + Sync),
}

/// Works on each scan that is still there and not yet done, and lists what became of them in `dir`.
pub(crate) fn each_unit(
    media: &Media<'_>,
    dir: &Path,
    control: &mut Control<'_>,
    job: &Job<'_>,
) -> Result<()> {
    let store = Store::new(&media.plan.cache_dir);
    let engine = Engine::new(&store, media.plan.budget);
    let outcomes = engine.each(&Scans { media, job }, control)?;
    Ok(outcomes.write(dir)?)
}

/// The results that a stage listed in `dir`.
pub(crate) fn listed(media: &Media<'_>, stage: &str, dir: &Path) -> Result<Vec<Option<Unit>>> {
    Ok(Store::new(&media.plan.cache_dir).listed(stage, dir)?)
}

/// The scans of a run.
struct Scans<'a> {
    media: &'a Media<'a>,
    job: &'a Job<'a>,
}

impl Units for Scans<'_> {
    type Error = Error;

    fn stage(&self) -> &'static str {
        self.job.stage
    }

    fn len(&self) -> usize {
        self.media.scans().len()
    }

    fn is_there(&self, unit: usize) -> bool {
        !self.media.failures.contains_key(&unit)
    }

    fn name(&self, unit: usize) -> &str {
        &self.media.scans()[unit].name
    }

    fn key(&self, unit: usize) -> Result<Key> {
        (self.job.key)(unit)
    }

    fn footprint(&self, unit: usize) -> u64 {
        (self.job.cost)(unit)
    }

    fn make(&self, unit: usize, key: &Key) -> Result<Vec<u8>> {
        (self.job.work)(unit, key)
    }

    fn judge(&self, unit: usize, error: Error) -> Result<Judged> {
        if error.stops_the_run() {
            return Err(error);
        }
        let of_scan = error.of_scan();
        let over_budget = matches!(of_scan, Some(scan::Error::OverBudget { .. }))
            || matches!(error.of_engine(), Some(engine::Error::OverBudget { .. }));
        let changed = !over_budget && !self.media.is_unchanged(unit);
        // this library says nothing of the system's errors
        let unclear = matches!(of_scan, Some(scan::Error::Hdf5 { .. }));
        let again = changed || error.is_of_the_system();
        let reason = reasons::of(&error, &self.media.scans()[unit]);
        let failure = Failure { unit, reason, transient: again || over_budget };
        Ok(Judged { failure, again: again || unclear })
    }
}
