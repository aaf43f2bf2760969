//! `normalise`: parcel series on the scale that an encoder was trained on, fitted on the training
//! scans only.
use std::path::Path;

use scan::{FittedNormalisation, Normalisation, Split};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Artifact,
    parcellate::{SeriesFacts, StoredSeries},
    series::{self, Change},
    settings::Settings,
    work::Work,
};
use crate::{Error, Result, event::Control, files, state::State, units::Unit};

/// Which formula, and how much of each scan it looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormaliseConfig {
    /// The formula.
    pub formula: Normalisation,
    /// Frames of the start of each scan that the robust formulas look at; BrainLM's are 200.
    pub pool_frames: usize,
}

/// The formula's name in the file.
pub(crate) fn formula_name(formula: Normalisation) -> String {
    let name = serde_json::to_value(formula).expect("a plain word");
    name.as_str().expect("a plain word").to_owned()
}

pub(crate) const FITTED: &str = "normalisation.json";

impl Work for NormaliseConfig {
    fn name(&self) -> &'static str {
        "normalise"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::ParcelSeries, Artifact::ParcelSeries)
    }

    fn check(&self) -> Result<()> {
        Settings(self.name()).at_least(1, &[("pool_frames", self.pool_frames)])
    }

    fn inputs(&self, state: &State<'_>) -> Value {
        series::keys(self, &super::said(self), &json!(state.trained_on()), state)
    }

    fn compute(&self, state: &State<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let fitted = self.fit(state, control)?;
        let path = dir.join(FITTED);
        files::write_json(&path, &fitted)?;
        let digest = scan::sha256_file(&path)?;
        let more = |_: usize| Ok(json!(digest));
        let cost = |_: usize, facts: &SeriesFacts| (facts.n_frames, 0);
        let work = |_: usize, series: StoredSeries| normalised(&fitted, series);
        let change = Change { cost: &cost, work: &work };
        series::each_series(self, &super::said(self), &more, state, dir, control, &change)
    }

    fn load(&self, state: &mut State<'_>, dir: &Path) -> Result<()> {
        let path = dir.join(FITTED);
        let fitted: FittedNormalisation = files::read_json(&path)?;
        let said = format!("{} {}", super::said(self), scan::sha256_file(&path)?);
        series::load(self, said, state, dir)?;
        state.parcels.as_mut().expect("series come from an atlas").normalisation = Some(fitted);
        Ok(())
    }
}

/// A series on the scale that was fitted.
pub(crate) fn normalised(
    fitted: &FittedNormalisation,
    mut series: StoredSeries,
) -> Result<StoredSeries> {
    series.values = fitted.apply(&series.values)?;
    Ok(series)
}

impl NormaliseConfig {
    /// Reads the training scans one at a time, again for other parcels where memory asks for it.
    fn fit(&self, state: &State<'_>, control: &Control<'_>) -> Result<FittedNormalisation> {
        use Normalisation as N;
        let alone = matches!(self.formula, N::PerRecording | N::MinMaxRecording | N::Demean);
        let units = &series::parcels(state).units;
        let mut trained: Vec<&Unit> =
            state.trained_on().into_iter().filter_map(|idx| units[idx].as_ref()).collect();
        if trained.is_empty() {
            let first = state.failures.values().next();
            let reason = first.map_or_else(String::new, |(_, reason)| reason.anonymous.clone());
            return Err(Error::NothingLeft { split: Split::Train, reason });
        }
        if alone {
            // nothing is fitted: each recording is its own measure
            trained.truncate(1);
        }
        let damaged = |unit: &&Unit| Error::damaged(&unit.path, "it does not say its frames");
        let n_frames = |unit: &&Unit| Ok(SeriesFacts::of(unit).ok_or(damaged(unit))?.n_frames);
        let n_frames: Vec<usize> = trained.iter().map(n_frames).collect::<Result<_>>()?;
        let n_bytes = state.plan.budget.n_bytes;
        FittedNormalisation::fit_from(self.formula, &n_frames, self.pool_frames, n_bytes, |idx| {
            control.checkpoint()?;
            Ok(StoredSeries::read(trained[idx])?.values)
        })
    }
}
