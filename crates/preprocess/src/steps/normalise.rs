//! `normalise`: parcel series on the scale that an encoder was trained on, fitted on the training
//! scans only.
use std::path::{Path, PathBuf};

use engine::Unit;
use flamingo::PackageFile;
use scan::{FittedNormalisation, Normalisation, Split};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::said_by_names;
use crate::{
    AboutSeries, Data, Error, Fitted, Given, Made, Need, Planned, Recording, Result, SeriesFacts,
    Step, StepId, StoredSeries, Training,
    settings::Settings,
    stats::read_stats,
    step::{Packing, packed},
};

/// The normalisation formula and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormaliseConfig {
    /// The formula.
    pub formula: Normalisation,
    /// First frames of each scan that the robust formulas are fitted to. Default: 200, as for BrainLM.
    #[serde(default = "pool_frames")]
    pub pool_frames: usize,
    /// File of fitted statistics (`encoder stats --export`) to use instead of fitting; relative to
    /// the file that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<PathBuf>,
}

const fn pool_frames() -> usize {
    200
}

/// The formula's name in the file.
pub fn formula_name(formula: Normalisation) -> String {
    let name = serde_json::to_value(formula).expect("a plain word");
    name.as_str().expect("a plain word").to_owned()
}

/// Where what was fitted lies, in the result of a stage and in a package.
pub const FITTED: &str = "normalisation.json";

impl Step for NormaliseConfig {
    fn id(&self) -> StepId {
        StepId { name: "normalise", version: 1 }
    }

    fn said(&self) -> String {
        said_by_names(self)
    }

    fn check(&self) -> Result<()> {
        Settings(self.id().name).at_least(1, &[("pool_frames", self.pool_frames)])
    }

    fn makes(&self, made: &mut Made, _planned: Option<Planned<'_>>) -> Result<()> {
        made.normalisation = Some(formula_name(self.formula));
        Ok(())
    }

    fn needs(&self, _reads_volumes: bool) -> Vec<Need> {
        let pools =
            matches!(self.formula, Normalisation::RobustPaper | Normalisation::RobustToolkitBug);
        let need = Need { of_training: true, ..Need::of(Some("pool_frames"), self.pool_frames) };
        pools.then_some(need).into_iter().collect()
    }

    fn learns(&self) -> bool {
        true
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        self.stats.iter_mut().collect()
    }

    fn is_by_recording(&self) -> bool {
        self.stats.is_some() || self.formula.asks_each_alone()
    }

    fn learns_from(&self, training: &Training<'_>) -> Option<Value> {
        Some(fitted_on(self.stats.as_deref(), training))
    }

    fn pack(&mut self, kept: &Packing<'_>) -> Result<Vec<PackageFile>> {
        Ok(pack(&mut self.stats, kept))
    }

    fn parts(&self) -> Vec<PathBuf> {
        vec![FITTED.into()]
    }

    fn in_methods(&self) -> Option<String> {
        let formula = formula_name(self.formula);
        Some(format!("Parcel series were brought to scale by the formula {formula}."))
    }

    fn fit(&self, training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        let stats = self.stats.as_deref();
        Ok(Box::new(ToScale::new(fit(stats, self.formula, self.pool_frames, training)?)))
    }

    fn after(
        &self,
        before: Option<AboutSeries>,
        kept: &dyn Fn(&str) -> PathBuf,
    ) -> Result<AboutSeries> {
        after(self.said(), before, kept)
    }
}

/// What a fit depends on: the training scans, or the file of numbers that are taken.
pub(super) fn fitted_on(stats: Option<&Path>, training: &Training<'_>) -> Value {
    match stats {
        Some(path) => json!(scan::sha256_file(training.inputs.place(path)).ok()),
        None => json!(training.trained_on),
    }
}

/// What was fitted, as a package keeps it; where the numbers came from is of no use there.
pub(super) fn pack(stats: &mut Option<PathBuf>, kept: &Packing<'_>) -> Vec<PackageFile> {
    *stats = None;
    let fitted = kept.about.and_then(|it| it.normalisation.as_ref());
    vec![packed(FITTED, fitted.expect("it was fitted"))]
}

/// The numbers in `stats`, or else a formula fitted to the training scans, which are read one at a time,
/// again for other parcels where memory asks for it.
pub(super) fn fit(
    stats: Option<&Path>,
    formula: Normalisation,
    pool_frames: usize,
    training: &Training<'_>,
) -> Result<FittedNormalisation> {
    if let Some(path) = training.inputs.fitted(FITTED) {
        return Ok(files::read_json(&path)?);
    }
    if let Some(path) = stats {
        return read_stats(&training.inputs.place(path), formula);
    }
    // without a fit each recording is its own measure, and one says how many parcels there are
    let n = if formula.asks_each_alone() { 1 } else { usize::MAX };
    let series = &training.series[..training.series.len().min(n)];
    if series.is_empty() {
        return Err(Error::NothingLeft { split: Split::Train, reason: training.reason.clone() });
    }
    let damaged = |unit: &Unit| engine::Error::damaged(&unit.path, "it does not say its frames");
    let n_frames = |unit: &&Unit| Ok(SeriesFacts::of(unit).ok_or_else(|| damaged(unit))?.n_frames);
    let n_frames: Vec<usize> = series.iter().map(n_frames).collect::<Result<_>>()?;
    FittedNormalisation::fit_from(formula, &n_frames, pool_frames, training.n_bytes, |idx| {
        (training.stop)()?;
        Ok(StoredSeries::read(series[idx])?.values)
    })
}

/// What all series share after they were brought to scale.
pub(super) fn after(
    said: String,
    before: Option<AboutSeries>,
    kept: &dyn Fn(&str) -> PathBuf,
) -> Result<AboutSeries> {
    let (path, before) = (kept(FITTED), before.expect("series come from an atlas"));
    let normalisation = Some(files::read_json(&path)?);
    let said = format!("{said} {}", scan::sha256_file(&path)?);
    Ok(AboutSeries { normalisation, ..before }.and(said))
}

/// Writes what was fitted into `dir`.
pub(super) fn keep(fitted: &FittedNormalisation, dir: &Path) -> Result<()> {
    Ok(files::write_json(&dir.join(FITTED), fitted)?)
}

/// The digest of the file that [`keep`] writes.
pub(super) fn digest(fitted: &FittedNormalisation) -> Value {
    json!(files::sha256_bytes(format!("{}\n", files::to_json(fitted)).as_bytes()))
}

/// A scale that was fitted.
struct ToScale {
    fitted: FittedNormalisation,
}

impl ToScale {
    fn new(fitted: FittedNormalisation) -> Self {
        Self { fitted }
    }
}

impl Fitted for ToScale {
    fn footprint(&self, _recording: &Recording, given: Option<Given<'_>>) -> u64 {
        given.map_or(0, |given| given.n_bytes(given.facts.n_frames))
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        Ok(normalised(&self.fitted, given.into_series())?.into())
    }

    fn decides(&self) -> Option<Value> {
        Some(digest(&self.fitted))
    }

    fn keep(&self, dir: &Path) -> Result<()> {
        keep(&self.fitted, dir)
    }
}

/// A series on the scale that was fitted.
pub fn normalised(fitted: &FittedNormalisation, mut series: StoredSeries) -> Result<StoredSeries> {
    series.values = fitted.apply(&series.values)?;
    Ok(series)
}
