//! How much a head moved, and whether that is too much.

use std::borrow::Cow;

use ndarray::{Array2, ArrayView2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfoundTable;
use crate::error::Result;

/// Columns of translations in mm, then of rotations in radians, as fMRIPrep calls them.
pub(super) const MOTION: [&str; 6] = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"];

/// Radius of the sphere on whose surface rotations become lengths, in mm.
const HEAD_MM: f64 = 50.0;

/// Framewise displacement in mm from six motion parameters a frame: three translations in mm, three
/// rotations in radians. The first frame has none and is NaN.
///
/// Source: Power et al., `NeuroImage` 59 (2012).
///
/// ```
/// let motion = ndarray::array![[0.0, 0.0, 0.0, 0.0, 0.0, 0.0], [0.1, -0.2, 0.0, 0.0, 0.01, 0.0]];
/// let displacement = scan::framewise_displacement(motion.view());
/// assert!(displacement[0].is_nan());
/// assert!((displacement[1] - 0.8).abs() < 1e-12);
/// ```
pub fn framewise_displacement(motion: ArrayView2<f64>) -> Vec<f64> {
    let frames: Vec<_> = motion.rows().into_iter().collect();
    let moved = frames.windows(2).map(|pair| {
        let steps = pair[0].iter().zip(pair[1]).map(|(a, b)| (b - a).abs());
        let lengths = steps.enumerate().map(|(i, x)| if i < 3 { x } else { HEAD_MM * x });
        lengths.sum()
    });
    frames.first().map(|_| f64::NAN).into_iter().chain(moved).collect()
}

/// Mean framewise displacement in mm over the frames that have a value; `None` where no frame has
/// one. Every mean that is judged or published is this one.
///
/// The first frame of a run never has a value, and `n/a` in a table is NaN.
///
/// ```
/// assert_eq!(scan::mean_displacement(&[f64::NAN, 0.1, 0.3]), Some(0.2));
/// assert_eq!(scan::mean_displacement(&[f64::NAN; 3]), None);
/// ```
pub fn mean_displacement(displacement: &[f64]) -> Option<f64> {
    let known = || displacement.iter().filter(|x| !x.is_nan());
    let n = known().count();
    (n > 0).then(|| known().sum::<f64>() / n as f64)
}

/// The largest framewise displacement in mm; `None` where no frame has one.
///
/// ```
/// assert_eq!(scan::largest_displacement(&[f64::NAN, 0.1, 0.3, 0.2]), Some(0.3));
/// assert_eq!(scan::largest_displacement(&[f64::NAN; 3]), None);
/// ```
pub fn largest_displacement(displacement: &[f64]) -> Option<f64> {
    displacement.iter().copied().filter(|x| !x.is_nan()).reduce(f64::max)
}

impl ConfoundTable {
    /// Framewise displacement of each frame in mm, NaN where there is none: the column
    /// `framewise_displacement`, or [`framewise_displacement`] of the six columns `trans_x` to `rot_z`, which
    /// is how fMRIPrep computes that column.
    pub fn displacement(&self) -> Option<Cow<'_, [f64]>> {
        if let Some(column) = self.column("framewise_displacement") {
            return Some(Cow::Borrowed(column));
        }
        let columns: Vec<&[f64]> =
            MOTION.iter().map(|name| self.column(name)).collect::<Option<_>>()?;
        let motion = Array2::from_shape_fn((self.n_frames(), MOTION.len()), |(frame, of)| {
            columns[of][frame]
        });
        Some(Cow::Owned(framewise_displacement(motion.view())))
    }

    /// The same where it must be there.
    pub(super) fn needed_displacement(&self) -> Result<Cow<'_, [f64]>> {
        match self.displacement() {
            Some(displacement) => Ok(displacement),
            None => self.needed("framewise_displacement").map(Cow::Borrowed),
        }
    }
}

/// Motion of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MotionFigures {
    /// Mean framewise displacement in mm, over the frames that have one; `None` where none has.
    pub fd_mean_mm: Option<f64>,
    /// Largest framewise displacement in mm; `None` where no frame has one.
    pub fd_max_mm: Option<f64>,
    /// Frames of the run.
    pub n_frames: usize,
    /// Frames left after scrubbing.
    pub n_kept: usize,
}

/// From where on a run is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MotionLimits {
    /// Largest mean framewise displacement, mm.
    #[serde(default)]
    pub fd_mean_mm: Option<f64>,
    /// Largest displacement of any frame, mm.
    #[serde(default)]
    pub fd_max_mm: Option<f64>,
    /// Fewest frames that must be left.
    #[serde(default)]
    pub min_frames: Option<usize>,
}

impl MotionFigures {
    /// Measures the displacement of a table; `kept` are the frames that scrubbing left.
    pub fn measure(table: &ConfoundTable, kept: Option<&[usize]>) -> Result<Self> {
        let moved = table.needed_displacement()?;
        let n_frames = table.n_frames();
        Ok(Self {
            fd_mean_mm: mean_displacement(&moved),
            fd_max_mm: largest_displacement(&moved),
            n_frames,
            n_kept: kept.map_or(n_frames, <[usize]>::len),
        })
    }

    /// Why the run is left out, in words; nothing where it is good.
    pub fn excluded_by(&self, limits: &MotionLimits) -> Option<String> {
        let above = |what: &str, found: Option<f64>, limit: Option<f64>| {
            let limit = limit?;
            let Some(found) = found else {
                return Some(format!(
                    "no frame has a framewise displacement, the limit is {limit} mm"
                ));
            };
            (found > limit).then_some(())?;
            Some(format!("{what} framewise displacement is {found:.3} mm, the limit is {limit} mm"))
        };
        above("mean", self.fd_mean_mm, limits.fd_mean_mm)
            .or_else(|| above("largest", self.fd_max_mm, limits.fd_max_mm))
            .or_else(|| {
                let least = limits.min_frames.filter(|least| self.n_kept < *least)?;
                Some(format!("{} frames are left, at least {least} are needed", self.n_kept))
            })
    }
}
