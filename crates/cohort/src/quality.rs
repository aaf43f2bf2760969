//! Thresholds beyond which a recording is left out.

use files::FileIndex;
use scan::{ConfoundTable, MotionFigures};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    reason::{Part, Reason},
    recording::Recording,
    value::Value,
};

/// Quality thresholds; an absent one is not applied.
///
/// Motion is read from a column `mean_fd` or `max_fd`, else from the confounds table: the mean and
/// the maximum over the frames that have a framewise displacement, or six parameters of motion to compute it
/// from. The number of frames is that of
/// the scan's header or a column `n_timepoints`, temporal signal-to-noise that of a column `tsnr`;
/// what neither says is measured when the scan is read. A recording without any value is left out,
/// because it cannot be judged.
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
    /// Smallest median temporal signal-to-noise ratio: a column `tsnr`, else `median_tsnr` of the
    /// output tables, over the voxels or parcels that the first stage reads.
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
    pub(crate) fn judge(&self, recording: &Recording, known: &FileIndex) -> Option<Reason> {
        let by_frames = recording.n_frames.and_then(|found| self.judge_frames(found));
        by_frames
            .or_else(|| self.judge_motion(recording, known))
            .or_else(|| self.judge_tsnr(figure(recording, &TSNR)?))
    }

    /// The thresholds that only a scan that was read can be held against: neither its header nor a
    /// table gives the figure.
    pub fn measured_when_read(&self, recording: &Recording) -> Vec<&'static str> {
        let frames = self.min_timepoints.is_some() && recording.n_frames.is_none();
        let tsnr = self.measures_tsnr(recording);
        let both = [("min_timepoints", frames), ("min_tsnr", tsnr)];
        both.into_iter().filter(|(_, is_open)| *is_open).map(|(threshold, _)| threshold).collect()
    }

    /// Why a recording is left out, by what was found when it was read: its true number of frames,
    /// and its median temporal signal-to-noise ratio where it has one.
    pub fn judge_read(
        &self,
        recording: &Recording,
        n_frames: usize,
        median_tsnr: Option<f64>,
    ) -> Option<Reason> {
        self.judge_frames(n_frames).or_else(|| {
            if !self.measures_tsnr(recording) {
                return None;
            }
            let Some(found) = median_tsnr.filter(|it| it.is_finite()) else {
                let needs = "raw intensities or a column tsnr";
                return Some(Reason::Unmeasured { threshold: "min_tsnr", needs });
            };
            self.judge_tsnr(found)
        })
    }

    fn judge_frames(&self, found: usize) -> Option<Reason> {
        let limit = self.min_timepoints.filter(|least| found < *least)? as f64;
        Some(Reason::Quality { threshold: "min_timepoints", limit, found: found as f64 })
    }

    fn judge_tsnr(&self, found: f64) -> Option<Reason> {
        let limit = self.min_tsnr.filter(|least| found < *least)?;
        Some(Reason::Quality { threshold: "min_tsnr", limit, found })
    }

    fn measures_tsnr(&self, recording: &Recording) -> bool {
        self.min_tsnr.is_some() && figure(recording, &TSNR).is_none()
    }

    fn judge_motion(&self, recording: &Recording, known: &FileIndex) -> Option<Reason> {
        let asked = [
            ("motion_fd_mean", self.motion_fd_mean, figure(recording, &FD_MEAN)),
            ("motion_fd_max", self.motion_fd_max, figure(recording, &FD_MAX)),
        ];
        let mut measured = None;
        for (position, (threshold, limit, stated)) in asked.into_iter().enumerate() {
            let Some(limit) = limit else { continue };
            let found = match stated {
                Some(found) => found,
                None => match measured.get_or_insert_with(|| motion(recording, known)) {
                    Ok(figures) => match figures[position] {
                        Ok(found) => found,
                        Err(needs) => return Some(Reason::Unmeasured { threshold, needs }),
                    },
                    Err(reason) => return Some(reason.clone()),
                },
            };
            if found > limit {
                return Some(Reason::Quality { threshold, limit, found });
            }
        }
        None
    }
}

/// Mean and largest displacement in the confounds table, or what would give each of them.
fn motion(
    recording: &Recording,
    known: &FileIndex,
) -> Result<[Result<f64, &'static str>; 2], Reason> {
    let Some(path) = &recording.confounds else {
        return Ok([Err("a confounds table or a column of framewise displacement"); 2]);
    };
    let unreadable = |error: scan::Error| {
        let kind = error.kind();
        let problem = error.to_string().replace(&format!("{}: ", path.display()), "");
        Reason::Unreadable { part: Part::Confounds, problem, kind }
    };
    // none where there is no column
    let figures: Option<[Option<f64>; 2]> =
        known.fact(path, &[path.with_extension("json")], "displacement", || {
            let table = ConfoundTable::read(path).map_err(unreadable)?;
            if table.displacement().is_none() {
                return Ok(None);
            }
            let figures = MotionFigures::measure(&table, None).map_err(unreadable)?;
            Ok(Some([figures.fd_mean_mm, figures.fd_max_mm]))
        })?;
    let Some(figures) = figures else {
        return Ok(
            [Err("a column framewise_displacement or six of motion in its confounds table"); 2],
        );
    };
    let needs = "a value of framewise_displacement in its confounds table";
    Ok(figures.map(|figure| figure.ok_or(needs)))
}

fn figure(recording: &Recording, columns: &[&str]) -> Option<f64> {
    columns.iter().find_map(|column| match recording.labels.get(*column) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    })
}
