//! The steps that prepare recordings, as stages of a run: what is kept of them, by which keys, and who
//! is left out.
use std::path::{Path, PathBuf};

use engine::{Key, Unit};
use preprocess::{
    Data, Deferred, Fitted, Given, Inputs, Kind, Recording, SeriesFacts, Step, StepId,
    StoredSeries, Training, steps::look,
};
use serde_json::{Value, json};

use super::{
    Parcels, compare,
    work::{Preparation, load_failures, write_failures},
};
use crate::{
    Result,
    event::Control,
    media::Media,
    spec::stack,
    units::{self, Job},
};

/// A step as a stage of a run. What is done when a recording is encoded looks at the cohort as a whole.
pub(super) fn preparation(step: &dyn Step) -> Box<dyn Preparation + '_> {
    match step.deferred() {
        None => Box::new(Steps(step)),
        Some(Deferred::Volumes(config)) => Box::new(config),
        Some(Deferred::Windows(config)) => Box::new(config),
    }
}

/// A step, one unit of work a recording.
struct Steps<'a>(&'a dyn Step);

impl Preparation for Steps<'_> {
    fn is_by_recording(&self) -> bool {
        self.0.is_by_recording()
    }

    fn inputs(&self, media: &Media<'_>) -> Value {
        let Self(step) = self;
        if step.volume_policy().is_some() {
            return json!(step.said());
        }
        let recordings = media.scans().iter();
        if self.opens_scans() {
            let keys = recordings.map(|it| self.key_of_scan(media, it).ok());
            return json!(keys.collect::<Vec<_>>());
        }
        let decided = || -> Vec<_> {
            recordings
                .map(|it| step.decides(it, media).map(Option::unwrap_or_default).ok())
                .collect()
        };
        let more = training(media, &|| Ok(()), |training| step.learns_from(training));
        let more = more.or_else(|| self.asks_each(media).then(|| json!(decided())));
        let before = parcels(media).units.iter().map(|it| it.as_ref().map(|it| &it.key));
        json!({
            "before": before.collect::<Vec<_>>(),
            "stage": step.said(),
            "version": step.id().version,
            "more": more,
        })
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let Self(step) = self;
        if step.volume_policy().is_some() {
            return write_failures(dir, &[]);
        }
        let fitted = training(media, &|| control.checkpoint(), |training| step.fit(training))?;
        fitted.keep(dir)?;
        self.each(media, fitted.as_ref(), dir, control)?;
        let Some((check, sides)) = fitted.compares() else { return Ok(()) };
        let look = |unit: &Unit| Ok(look(&StoredSeries::read(unit)?));
        compare::leave_out(check, media, sides, &look, dir, control)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        let Self(step) = self;
        let StepId { name, .. } = step.id();
        if let Some(policy) = step.volume_policy() {
            load_failures(media, name, dir)?;
            let volumes = media.volumes.as_mut().expect("the chain of stages was checked");
            volumes.policy = Some(policy);
        } else {
            let units = units::listed(media, name, dir)?;
            load_failures(media, name, dir)?;
            if self.opens_scans() {
                let quality = |unit: &Unit| SeriesFacts::of(unit).map(|it| it.quality);
                media.quality = units.iter().map(|it| it.as_ref().and_then(quality)).collect();
            }
            let before = media.parcels.take().map(|it| it.about);
            let about = step.after(before, &|file| dir.join(file))?;
            media.parcels = Some(Parcels { units, about });
        }
        media.cut = step.cut().or(media.cut.take());
        Ok(())
    }
}

impl Steps<'_> {
    /// Whether it reads files, not what a stage before it made.
    fn opens_scans(&self) -> bool {
        self.0.accepts(Kind::Scans).is_some()
    }

    /// Whether something beside settings and input decides the result of a recording.
    fn asks_each(&self, media: &Media<'_>) -> bool {
        media.scans().iter().any(|it| !matches!(self.0.decides(it, media), Ok(None)))
    }

    /// Everything that decides what becomes of a scan.
    fn key_of_scan(&self, media: &Media<'_>, recording: &Recording) -> Result<Key> {
        Ok(Key::of(&self.0.decides(recording, media)?.unwrap_or_default()))
    }

    /// Applies it to each recording that is there.
    fn each(
        &self,
        media: &Media<'_>,
        fitted: &dyn Fitted,
        dir: &Path,
        control: &mut Control<'_>,
    ) -> Result<()> {
        let Self(step) = self;
        let (recordings, opens_scans) = (media.scans(), self.opens_scans());
        let before =
            |idx: usize| parcels(media).units[idx].as_ref().expect("failed scans are passed over");
        let key = |idx: usize| {
            let recording = &recordings[idx];
            if opens_scans {
                return self.key_of_scan(media, recording);
            }
            let more = match fitted.decides() {
                None => step.decides(recording, media)?,
                more => more,
            };
            let (before, version) = (&before(idx).key, step.id().version);
            Ok(Key::of(&json!({
                "before": before, "stage": step.said(), "version": version, "more": more,
            })))
        };
        let cost = |idx: usize| {
            if opens_scans {
                return fitted.footprint(&recordings[idx], None);
            }
            let Some(facts) = &SeriesFacts::of(before(idx)) else { return 0 };
            let n_parcels = parcels(media).about.parcels.len();
            fitted.footprint(&recordings[idx], Some(Given { facts, n_parcels }))
        };
        let work = |idx: usize, key: &Key| {
            let given =
                if opens_scans { Data::Scan } else { StoredSeries::read(before(idx))?.into() };
            Ok(fitted.apply(&recordings[idx], given)?.into_series().to_bytes(key))
        };
        let job = Job { stage: step.id().name, key: &key, cost: &cost, work: &work };
        units::each_unit(media, dir, control, &job)
    }
}

fn parcels<'a>(media: &'a Media<'_>) -> &'a Parcels {
    media.parcels.as_ref().expect("series come from an atlas")
}

/// What a step may be fitted on.
fn training<T>(
    media: &Media<'_>,
    stop: &dyn Fn() -> engine::Result<()>,
    fit: impl FnOnce(&Training<'_>) -> T,
) -> T {
    let trained_on = media.trained_on();
    let units = media.parcels.as_ref().map_or(&[][..], |it| &it.units);
    let there = trained_on.iter().filter_map(|&idx| units.get(idx)?.as_ref());
    let series: Vec<&Unit> = if media.is_part {
        // a task comes here only where nothing is fitted: any recording is as good
        units.iter().flatten().collect()
    } else {
        there.collect()
    };
    let first = media.failures.values().next();
    fit(&Training {
        inputs: media,
        stack: stack(media.plan.spec()),
        parcels: media.parcels.as_ref().map_or(&[][..], |it| &it.about.parcels),
        series,
        trained_on,
        reason: first.map_or_else(String::new, |(_, reason)| reason.anonymous.clone()),
        n_bytes: media.plan.budget.n_bytes,
        stop,
    })
}

impl Inputs for Media<'_> {
    fn place(&self, path: &Path) -> PathBuf {
        Media::place(self, path)
    }

    fn digest(&self, path: &Path) -> preprocess::Result<String> {
        Ok(self.digest_of(path)?)
    }
}
