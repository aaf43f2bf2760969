//! Thresholds beyond which a recording is left out.

use std::path::Path;

use scan::{ConfoundTable, MotionFigures};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    reason::{Part, Reason},
    recording::Recording,
    value::Value,
};

/// Thresholds; what is absent is not asked.
///
/// Motion is read from the confounds table, or from a column `mean_fd` or `max_fd`; the number of
/// frames from the scan's header, or a column `n_timepoints`; temporal signal-to-noise from a
/// column `tsnr`, else it is measured when the scan is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QcThresholds {
    /// Largest mean framewise displacement in mm (Power et al. 2012).
    #[serde(default, alias = "mean_fd_threshold", skip_serializing_if = "Option::is_none")]
    pub motion_fd_mean: Option<f64>,
    /// Largest framewise displacement of any frame in mm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motion_fd_max: Option<f64>,
    /// Fewest frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_timepoints: Option<usize>,
    /// Smallest median temporal signal-to-noise ratio.
    #[serde(default, alias = "tsnr", skip_serializing_if = "Option::is_none")]
    pub min_tsnr: Option<f64>,
}

/// Columns that say a figure, in tables of the field.
const FD_MEAN: [&str; 4] = ["mean_fd", "fd_mean", "motion_fd_mean", "framewise_displacement_mean"];
const FD_MAX: [&str; 3] = ["max_fd", "fd_max", "motion_fd_max"];
const TSNR: [&str; 2] = ["tsnr", "median_tsnr"];

impl QcThresholds {
    /// The first setting that could never be met, and what it should be.
    pub fn check(&self) -> Result<(), (&'static str, f64)> {
        let figures = [
            ("qc_thresholds.motion_fd_mean", self.motion_fd_mean),
            ("qc_thresholds.motion_fd_max", self.motion_fd_max),
            ("qc_thresholds.min_tsnr", self.min_tsnr),
        ];
        let wrong = figures.into_iter().find_map(|(field, value)| {
            let value = value.filter(|value| !(value.is_finite() && *value > 0.0))?;
            Some((field, value))
        });
        wrong.map_or(Ok(()), Err)
    }

    /// Why a recording is left out, by what tables and header say of it.
    pub(crate) fn judge(&self, recording: &Recording) -> Option<Reason> {
        if let (Some(least), Some(found)) = (self.min_timepoints, recording.n_frames)
            && found < least
        {
            let (limit, found) = (least as f64, found as f64);
            return Some(Reason::Quality { threshold: "min_timepoints", limit, found });
        }
        if self.min_timepoints.is_some() && recording.n_frames.is_none() {
            let needs = "a column n_timepoints";
            return Some(Reason::Unmeasured { threshold: "min_timepoints", needs });
        }
        self.judge_motion(recording).or_else(|| self.judge_tsnr(figure(recording, &TSNR)?))
    }

    /// Why a recording is left out, by its median temporal signal-to-noise ratio.
    pub fn judge_tsnr(&self, found: f64) -> Option<Reason> {
        let limit = self.min_tsnr.filter(|least| found < *least)?;
        Some(Reason::Quality { threshold: "min_tsnr", limit, found })
    }

    /// Whether the ratio has to be measured, because no table says it.
    pub fn measures_tsnr(&self, recording: &Recording) -> bool {
        self.min_tsnr.is_some() && figure(recording, &TSNR).is_none()
    }

    fn judge_motion(&self, recording: &Recording) -> Option<Reason> {
        let asked = [
            ("motion_fd_mean", self.motion_fd_mean, figure(recording, &FD_MEAN)),
            ("motion_fd_max", self.motion_fd_max, figure(recording, &FD_MAX)),
        ];
        let mut measured = None;
        for (position, (threshold, limit, stated)) in asked.into_iter().enumerate() {
            let Some(limit) = limit else { continue };
            let found = match (stated, &recording.confounds) {
                (Some(found), _) => found,
                (None, None) => {
                    let needs = "a confounds table or a column of framewise displacement";
                    return Some(Reason::Unmeasured { threshold, needs });
                }
                (None, Some(path)) => {
                    if measured.is_none() {
                        measured = Some(motion(path));
                    }
                    match measured.as_ref().expect("just measured") {
                        Ok(figures) => [figures.fd_mean_mm, figures.fd_max_mm][position],
                        Err(problem) => {
                            let (part, problem) = (Part::Confounds, problem.clone());
                            return Some(Reason::Unreadable { part, problem });
                        }
                    }
                }
            };
            if found > limit {
                return Some(Reason::Quality { threshold, limit, found });
            }
        }
        None
    }
}

fn motion(path: &Path) -> Result<MotionFigures, String> {
    let figures = ConfoundTable::read(path).and_then(|table| MotionFigures::measure(&table, None));
    figures.map_err(|error| error.to_string().replace(&format!("{}: ", path.display()), ""))
}

fn figure(recording: &Recording, columns: &[&str]) -> Option<f64> {
    columns.iter().find_map(|column| match recording.labels.get(*column) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    })
}
