//! `normalise`: parcel series on the scale that an encoder was trained on, fitted on the training
//! scans only.
use std::path::{Path, PathBuf};

use scan::{FittedNormalisation, Normalisation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Artifact,
    parcellate::{SeriesFacts, StoredSeries},
    series::{self, Change},
    settings::Settings,
    work::{Preparation, Work},
};
use crate::{Result, event::Control, media::Media, stats::read_stats};

/// Which formula, and how much of each scan it looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormaliseConfig {
    /// The formula.
    pub formula: Normalisation,
    /// Frames of the start of each scan that the robust formulas look at; BrainLM's are 200.
    pub pool_frames: usize,
    /// Numbers that were fitted before (`encoder stats --export`), taken instead of a fit; relative to the
    /// file that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<PathBuf>,
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

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for NormaliseConfig {
    fn inputs(&self, media: &Media<'_>) -> Value {
        let more = fitted_on(self.stats.as_deref(), media);
        series::keys(self, &super::said(self), &more, media)
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let fitted = self.fit(media, control)?;
        let path = dir.join(FITTED);
        files::write_json(&path, &fitted)?;
        let digest = scan::sha256_file(&path)?;
        let more = |_: usize| Ok(json!(digest));
        let cost = |_: usize, facts: &SeriesFacts| (facts.n_frames, 0);
        let work = |_: usize, series: StoredSeries| normalised(&fitted, series);
        let change = Change { cost: &cost, work: &work };
        series::each_series(self, &super::said(self), &more, media, dir, control, &change)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        let path = dir.join(FITTED);
        let fitted: FittedNormalisation = files::read_json(&path)?;
        let said = format!("{} {}", super::said(self), scan::sha256_file(&path)?);
        series::load(self, said, media, dir)?;
        media.parcels.as_mut().expect("series come from an atlas").normalisation = Some(fitted);
        Ok(())
    }
}

/// What a fit depends on: the training scans, or the file of numbers that are taken.
pub(super) fn fitted_on(stats: Option<&Path>, media: &Media<'_>) -> Value {
    match stats {
        Some(path) => json!(scan::sha256_file(media.place(path)).ok()),
        None => json!(media.trained_on()),
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
    fn fit(&self, media: &Media<'_>, control: &Control<'_>) -> Result<FittedNormalisation> {
        if let Some(path) = &self.stats {
            return read_stats(&media.place(path), self.formula);
        }
        series::fitted(media, control, self.formula, self.pool_frames)
    }
}
