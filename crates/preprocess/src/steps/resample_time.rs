//! `resample_time`: parcel series at the repetition time that an encoder was trained on.
use ndarray::{Array2, Axis};
use scan::{Resampling, resample_time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::said;
use crate::{
    Data, Fitted, Given, Made, Planned, Recording, Result, Step, StepId, StoredSeries, Timing,
    Training,
    settings::{NOT_NEGATIVE, POSITIVE, Rule, Settings},
};

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

impl Step for ResampleTimeConfig {
    fn id(&self) -> StepId {
        StepId { name: "resample_time", version: 1 }
    }

    fn said(&self) -> String {
        said(self)
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.id().name);
        settings.numbers(POSITIVE, &[("t_r_s", self.t_r_s)])?;
        settings.numbers(SECONDS, &[("t_r_s", self.t_r_s)])?;
        settings.numbers(NOT_NEGATIVE, &[("tolerance_s", self.tolerance_s)])
    }

    fn makes(&self, made: &mut Made, _planned: Option<Planned<'_>>) -> Result<()> {
        made.rate = Some((self.t_r_s, self.tolerance_s));
        Ok(())
    }

    fn timing(&self, given: Timing) -> Timing {
        match given.t_r_s {
            Some(t_r_s) if self.keeps(t_r_s) => given,
            Some(t_r_s) => Timing {
                n_frames: given.n_frames.map(|n| self.how.n_frames(n, t_r_s, self.t_r_s)),
                t_r_s: Some(self.t_r_s),
            },
            None => Timing { n_frames: None, t_r_s: Some(self.t_r_s) },
        }
    }

    fn in_methods(&self) -> Option<String> {
        Some("Parcel series were resampled to one repetition time.".to_owned())
    }

    fn fit(&self, _training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        Ok(Box::new(self.clone()))
    }
}

impl Fitted for ResampleTimeConfig {
    fn footprint(&self, _recording: &Recording, given: Option<Given<'_>>) -> u64 {
        let Some(given) = given else { return 0 };
        let seconds = given.facts.n_frames as f64 * given.facts.t_r_s;
        given.n_bytes((seconds / self.t_r_s).ceil() as usize + 1)
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        Ok(self.resampled(given.into_series())?.into())
    }
}

impl ResampleTimeConfig {
    /// Whether a scan of this repetition time stays as it is.
    pub fn keeps(&self, t_r_s: f64) -> bool {
        (t_r_s - self.t_r_s).abs() <= self.tolerance_s
    }

    /// A series at that repetition time.
    pub fn resampled(&self, mut series: StoredSeries) -> Result<StoredSeries> {
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
