//! `resample_time`: parcel series at the repetition time that an encoder was trained on.
use std::path::Path;

use ndarray::{Array2, Axis};
use scan::{Resampling, resample_time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Artifact,
    parcellate::{SeriesFacts, StoredSeries},
    series::{self, Change},
    settings::{NOT_NEGATIVE, POSITIVE, Rule, Settings},
    work::{Preparation, Work},
};
use crate::{Result, event::Control, media::Media};

/// To which repetition time, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResampleTimeConfig {
    /// Seconds between two frames, afterwards.
    pub t_r_s: f64,
    /// Scans this near to it stay as they are.
    pub tolerance_s: f64,
    /// How frames between frames are made.
    pub how: Resampling,
}

/// No scanner is faster, and no slower one has a series to speak of.
const SECONDS: Rule = ("0.01 to 1000", |x| (0.01..=1000.0).contains(&x));

impl Work for ResampleTimeConfig {
    fn name(&self) -> &'static str {
        "resample_time"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::ParcelSeries, Artifact::ParcelSeries)
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        settings.numbers(POSITIVE, &[("t_r_s", self.t_r_s)])?;
        settings.numbers(SECONDS, &[("t_r_s", self.t_r_s)])?;
        settings.numbers(NOT_NEGATIVE, &[("tolerance_s", self.tolerance_s)])
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for ResampleTimeConfig {
    fn inputs(&self, media: &Media<'_>) -> Value {
        series::keys(self, &super::said(self), &Value::Null, media)
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let none = |_: usize| Ok(Value::Null);
        let cost = |_: usize, facts: &SeriesFacts| {
            ((facts.n_frames as f64 * facts.t_r_s / self.t_r_s).ceil() as usize + 1, 0)
        };
        let work = |_: usize, series: StoredSeries| self.resampled(series);
        let change = Change { cost: &cost, work: &work };
        series::each_series(self, &super::said(self), &none, media, dir, control, &change)
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        series::load(self, super::said(self), media, dir)
    }
}

impl ResampleTimeConfig {
    /// Whether a scan of this repetition time stays as it is.
    pub(crate) fn keeps(&self, t_r_s: f64) -> bool {
        (t_r_s - self.t_r_s).abs() <= self.tolerance_s
    }

    /// A series at that repetition time.
    pub(crate) fn resampled(&self, mut series: StoredSeries) -> Result<StoredSeries> {
        let t_r_s = series.facts.t_r_s;
        if self.keeps(t_r_s) {
            return Ok(series);
        }
        series.values = resample_time(&series.values, t_r_s, self.t_r_s, self.how)?;
        // displacement is a fact of the frames that were: no curve goes through it
        if let Some(fd_mm) = series.fd_mm.take() {
            let column: Array2<f64> = fd_mm.insert_axis(Axis(1));
            let lines = resample_time(&column, t_r_s, self.t_r_s, Resampling::Linear)?;
            let n = series.values.nrows();
            let last = lines.nrows() - 1;
            series.fd_mm = Some((0..n).map(|frame| lines[[frame.min(last), 0]]).collect());
        }
        series.facts.t_r_s = self.t_r_s;
        series.facts.n_frames = series.values.nrows();
        Ok(series)
    }
}
