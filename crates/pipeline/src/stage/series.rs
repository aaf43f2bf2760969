//! What the stages between parcel series and parcel series have in common.
use std::path::Path;

use engine::{Key, Unit};
use scan::{FittedNormalisation, Normalisation, Split};
use serde_json::{Value, json};

use super::{
    parcellate::{SeriesFacts, StoredSeries},
    work::{Work, load_failures},
};
use crate::{
    Error, Result,
    event::Control,
    media::Media,
    units::{self, Job},
};

/// Everything that decides the series of each scan after `stage`; `more` beside its settings.
pub(super) fn keys(stage: &dyn Work, said: &str, more: &Value, media: &Media<'_>) -> Value {
    json!({
        "before": parcels(media).units.iter().map(|it| it.as_ref().map(|it| &it.key)).collect::<Vec<_>>(),
        "stage": said,
        "version": stage.version(),
        "more": more,
    })
}

/// What a stage does with a series.
pub(super) struct Change<'a> {
    /// Frames of a series afterwards, and the most bytes that are taken beside the series that was
    /// and the one that becomes.
    pub(super) cost: &'a (dyn Fn(usize, &SeriesFacts) -> (usize, u64) + Sync),
    pub(super) work: &'a (dyn Fn(usize, StoredSeries) -> Result<StoredSeries> + Sync),
}

/// Changes each series that is there.
pub(super) fn each_series(
    stage: &(dyn Work + Sync),
    said: &str,
    more: &(dyn Fn(usize) -> Result<Value> + Sync),
    media: &Media<'_>,
    dir: &Path,
    control: &mut Control<'_>,
    change: &Change<'_>,
) -> Result<()> {
    let before = &parcels(media).units;
    let unit = |idx: usize| before[idx].as_ref().expect("failed scans are passed over");
    let key = |idx: usize| {
        let (before, version) = (&unit(idx).key, stage.version());
        Ok(Key::of(&json!({
            "before": before, "stage": said, "version": version, "more": more(idx)?,
        })))
    };
    let n_parcels = parcels(media).parcels.len();
    let cost = |idx: usize| {
        let Some(facts) = SeriesFacts::of(unit(idx)) else { return 0 };
        let (n_frames, more) = (change.cost)(idx, &facts);
        // as it was and as it becomes; its file is read, and then written, as bytes and as a whole
        4 * 8 * (facts.n_frames.max(n_frames) * n_parcels) as u64 + more
    };
    let work = |idx: usize, key: &Key| {
        Ok((change.work)(idx, StoredSeries::read(unit(idx))?)?.to_bytes(key))
    };
    let job = Job { stage: stage.name(), key: &key, cost: &cost, work: &work };
    units::each_unit(media, dir, control, &job)
}

/// Takes the changed series.
pub(super) fn load(
    stage: &dyn Work,
    said: String,
    media: &mut Media<'_>,
    dir: &Path,
) -> Result<()> {
    let units = units::listed(media, stage.name(), dir)?;
    load_failures(media, stage.name(), dir)?;
    let parcels = media.parcels.as_mut().expect("series come from an atlas");
    parcels.units = units;
    parcels.preparation.push(said);
    Ok(())
}

/// Fits a formula to the training scans, which are read one at a time, again for other parcels where
/// memory asks for it.
pub(super) fn fitted(
    media: &Media<'_>,
    control: &Control<'_>,
    formula: Normalisation,
    pool_frames: usize,
) -> Result<FittedNormalisation> {
    let units = &parcels(media).units;
    let mut trained: Vec<&Unit> =
        media.trained_on().into_iter().filter_map(|idx| units[idx].as_ref()).collect();
    if trained.is_empty() {
        let first = media.failures.values().next();
        let reason = first.map_or_else(String::new, |(_, reason)| reason.anonymous.clone());
        return Err(Error::NothingLeft { split: Split::Train, reason });
    }
    if formula.asks_each_alone() {
        // nothing is fitted: each recording is its own measure
        trained.truncate(1);
    }
    let damaged = |unit: &&Unit| engine::Error::damaged(&unit.path, "it does not say its frames");
    let n_frames = |unit: &&Unit| Ok(SeriesFacts::of(unit).ok_or(damaged(unit))?.n_frames);
    let n_frames: Vec<usize> = trained.iter().map(n_frames).collect::<Result<_>>()?;
    let n_bytes = media.plan.budget.n_bytes;
    FittedNormalisation::fit_from(formula, &n_frames, pool_frames, n_bytes, |idx| {
        control.checkpoint()?;
        Ok(StoredSeries::read(trained[idx])?.values)
    })
}

pub(super) fn parcels<'a>(media: &'a Media<'_>) -> &'a super::Parcels {
    media.parcels.as_ref().expect("series come from an atlas")
}
