//! The steps that prepare recordings, as stages of a run: what is kept of them, by which keys, and who
//! is left out.
use std::path::{Path, PathBuf};

use engine::{Key, Unit};
use preprocess::{
    Data, Deferred, Fitted, Given, Inputs, Kind, Recording, SeriesFacts, Step, StepId,
    StoredSeries, Training, steps::look,
};
use scan::Split;
use serde_json::{Value, json};

use super::{
    SeriesSet, compare,
    cut::Cutting,
    each_window::EachWindow,
    work::{Preparation, load_failures, write_failures},
};
use crate::{
    Error, Result,
    event::Control,
    media::Media,
    reasons,
    spec::stack,
    units::{self, Job},
};

/// A step as a stage of a run. What is done when a recording is encoded looks at the cohort as a whole.
pub(super) fn preparation(step: &dyn Step) -> Box<dyn Preparation + '_> {
    match step.deferred() {
        None => Box::new(Steps(step)),
        Some(Deferred::Volumes(config)) => Box::new(config),
        Some(Deferred::Windows(cut)) => Box::new(Cutting { stage: step.id().name, cut }),
        Some(Deferred::EachWindow) => Box::new(EachWindow(step)),
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
            let keys = recordings.map(|it| self.key_of_scan(media, it).ok()).collect::<Vec<_>>();
            return match training(media, &|| Ok(()), |it| step.learns_from(&it)) {
                None => json!(keys),
                Some(more) => json!({ "scans": keys, "more": more }),
            };
        }
        let decided = || -> Vec<_> {
            recordings
                .map(|it| step.decides(it, media).map(Option::unwrap_or_default).ok())
                .collect()
        };
        let more = training(media, &|| Ok(()), |it| step.learns_from(&it));
        let more = more.or_else(|| self.asks_each(media).then(|| json!(decided())));
        let before = series(media).units.iter().map(|it| it.as_ref().map(|it| &it.key));
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
        let fitted = training(media, &|| control.checkpoint(), |it| step.fit(&it));
        let fitted = fitted.map_err(|error| first_of(media, error))?;
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
            let before = media.series().map(|it| it.about.clone());
            let about = step.after(before, &|file| dir.join(file))?;
            let set = if about.mask.is_some() { &mut media.voxels } else { &mut media.parcels };
            *set = Some(SeriesSet { units, about });
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
            |idx: usize| series(media).units[idx].as_ref().expect("failed scans are passed over");
        let key = |idx: usize| {
            let recording = &recordings[idx];
            if opens_scans {
                let key = self.key_of_scan(media, recording)?;
                return Ok(match fitted.decides() {
                    None => key,
                    Some(fitted) => Key::of(&json!({ "scan": key, "fitted": fitted })),
                });
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
            let n_columns = series(media).about.n_columns();
            fitted.footprint(&recordings[idx], Some(Given { facts, n_columns }))
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

fn series<'a>(media: &'a Media<'_>) -> &'a SeriesSet {
    media.series().expect("the chain of stages was checked")
}

/// The error of a step that could learn from no recording, without their names.
fn first_of(media: &Media<'_>, error: preprocess::Error) -> Error {
    match error {
        preprocess::Error::NoneLearnedFrom { first, source } => {
            let reason = reasons::of(&Error::from(*source), &media.scans()[first]).anonymous;
            Error::NothingLeft { split: Split::Train, reason }
        }
        other => other.into(),
    }
}

/// What a step may be fitted on.
pub(super) fn training<T>(
    media: &Media<'_>,
    stop: &dyn Fn() -> engine::Result<()>,
    fit: impl FnOnce(Training<'_>) -> T,
) -> T {
    let trained_on = media.trained_on();
    let units = media.series().map_or(&[][..], |it| &it.units);
    let is_there = |&&idx: &&usize| !media.failures.contains_key(&idx);
    let recordings = trained_on.iter().filter(is_there).map(|&idx| (idx, &media.scans()[idx]));
    let recordings = recordings.collect();
    let there = trained_on.iter().filter_map(|&idx| units.get(idx)?.as_ref());
    let series: Vec<&Unit> = if media.is_part {
        // a task comes here only where nothing is fitted: any recording is as good
        units.iter().flatten().collect()
    } else {
        there.collect()
    };
    let first = media.failures.values().next();
    fit(Training {
        inputs: media,
        stack: stack(media.plan.spec()),
        parcels: media.series().map_or(&[][..], |it| &it.about.parcels),
        series,
        windows: Vec::new(),
        classes: Vec::new(),
        recordings,
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
