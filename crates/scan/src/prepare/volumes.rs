//! Runs of volumes as the code around SwiFT reads them: another rate, one scale, cubes of 96.
//!
//! Source: `brainmarks` 0.1.1; SwiFT's `preprocessing.py` has the same scale and no other rate.

use std::ops::Range;

use ndarray::{Array4, Axis, Slice};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Background, EncoderPolicy, GlobalZ};
use crate::affine::Affine;
use crate::bold::Bold;
use crate::error::{Error, Result};

/// Voxels added before the first and after the last of an axis; negative numbers cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Margins {
    /// Along the first axis.
    pub x: [i32; 2],
    /// Along the second axis.
    pub y: [i32; 2],
    /// Along the third axis.
    pub z: [i32; 2],
}

/// From 91 × 109 × 91 voxels to 96 a side.
const SWIFT: Margins = Margins { x: [3, 2], y: [-7, -6], z: [3, 2] };

/// Frames of SwiFT's windows: of a longer run, those that fill no window decide nothing.
const WINDOW: usize = 20;

impl Margins {
    /// The grid that comes out of one.
    ///
    /// # Errors
    /// Where an axis is cut off entirely.
    pub fn grid(&self, grid: [usize; 3]) -> Result<[usize; 3]> {
        let axes = [self.x, self.y, self.z];
        let mut framed = [0; 3];
        for (axis, [low, high]) in axes.into_iter().enumerate() {
            let side = grid[axis] as i64 + i64::from(low) + i64::from(high);
            framed[axis] =
                usize::try_from(side).ok().filter(|side| *side > 0).ok_or(Error::Setting {
                    field: "margins",
                    found: side as f64,
                    expected: "at least one voxel left of every axis",
                })?;
        }
        Ok(framed)
    }

    /// A run with these margins, filled with `filler`; its voxels stay where they are in mm.
    ///
    /// # Errors
    /// As [`Self::grid`].
    pub fn apply(&self, run: &Bold, filler: f32) -> Result<Bold> {
        let grid = run.grid_shape();
        let [x, y, z] = self.grid(grid)?;
        let mut framed = Array4::from_elem((x, y, z, run.n_frames()), filler);
        let axes = [self.x, self.y, self.z];
        // what is kept of an axis, where it was and where it comes
        let kept = |axis: usize, side: usize| {
            let low = axes[axis][0];
            let (from, to) = (low.min(0).unsigned_abs() as usize, low.max(0) as usize);
            let n = (grid[axis] - from.min(grid[axis])).min(side - to.min(side));
            (from..from + n, to..to + n)
        };
        copy(run.data(), &mut framed, [kept(0, x), kept(1, y), kept(2, z)]);
        let first =
            run.affine().apply([self.x[0], self.y[0], self.z[0]].map(|low| -f64::from(low)));
        let mut rows = *run.affine().rows();
        rows.iter_mut().zip(first).for_each(|(row, at)| row[3] = at);
        Bold::new(framed, Affine::new(rows)?, run.t_r())
    }
}

/// Copies a block of voxels, of each axis from one range to another of the same length.
fn copy(from: &Array4<f32>, to: &mut Array4<f32>, axes: [(Range<usize>, Range<usize>); 3]) {
    let (mut seen, mut filled) = (from.view(), to.view_mut());
    for (axis, (from, to)) in axes.into_iter().enumerate() {
        seen.slice_axis_inplace(Axis(axis), Slice::from(from));
        filled.slice_axis_inplace(Axis(axis), Slice::from(to));
    }
    filled.assign(&seen);
}

/// A run at another repetition time, by straight lines between the middles of its frames.
///
/// # Errors
/// Where it has one frame, or a time is none.
pub fn resample_run(run: &Bold, to_t_r: f64) -> Result<Bold> {
    let t_r = run.t_r();
    let n = run.n_frames();
    if !(to_t_r.is_finite() && to_t_r > 0.0) {
        return Err(Error::BadRepetitionTime { found: to_t_r });
    }
    if n < 2 {
        return Err(Error::TooFewFrames { task: "resampling in time", found: n, expected: 2 });
    }
    // ties to even, as Python rounds
    let n_new = ((t_r * n as f64 / to_t_r).round_ties_even() as usize).max(1);
    let step = n as f64 / n_new as f64;
    let [x, y, z] = run.grid_shape();
    let mut values = Array4::<f32>::zeros((x, y, z, n_new));
    for frame in 0..n_new {
        let place = ((frame as f64 + 0.5) * step - 0.5).max(0.0);
        let low = (place as usize).min(n - 1);
        let high = (low + 1).min(n - 1);
        let share = (place - low as f64) as f32;
        let (low, high) =
            (run.data().index_axis(Axis(3), low), run.data().index_axis(Axis(3), high));
        ndarray::Zip::from(values.index_axis_mut(Axis(3), frame))
            .and(low)
            .and(high)
            .for_each(|to, &low, &high| *to = low * (1.0 - share) + high * share);
    }
    Bold::new(values, run.affine().clone(), to_t_r)
}

impl EncoderPolicy {
    /// The margins that its volumes get, from the grid of its scans.
    pub fn margins(self) -> Option<Margins> {
        (self == Self::SwiftEvaluation).then_some(SWIFT)
    }

    /// A run whose background is 0, in the axes of the encoder, at the rate, on the scale and on the
    /// grid of the policy.
    ///
    /// # Errors
    /// Where nothing but background is there, or the run cannot be resampled.
    pub fn volumes(self, run: Bold) -> Result<Bold> {
        let run = match self.rate().filter(|rate| rate.changes(run.t_r())) {
            Some(rate) => resample_run(&run, rate.t_r_s)?,
            None => run,
        };
        let mut scale = GlobalZ::measure(&run)?;
        let n_kept = run.n_frames() / WINDOW * WINDOW;
        let run = if n_kept == 0 || n_kept == run.n_frames() {
            run
        } else {
            let (affine, t_r) = (run.affine().clone(), run.t_r());
            let kept = run.data().slice_axis(Axis(3), Slice::from(..n_kept)).to_owned();
            let foreground = kept.iter().filter(|x| **x != 0.0);
            scale.minimum = foreground.fold(f64::INFINITY, |least, &x| least.min(f64::from(x)));
            Bold::new(kept, affine, t_r)?
        };
        let filler = ((scale.minimum - scale.mean) / scale.deviation) as f32;
        let run = scale.apply(&run, Background::Minimum)?;
        self.margins().map_or(Ok(run.clone()), |margins| margins.apply(&run, filler))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;

    fn run(n_frames: usize) -> Bold {
        let values = Array4::from_shape_fn((3, 4, 2, n_frames), |(x, y, z, t)| {
            if x == 1 { 0.0 } else { (1 + x + 3 * y + 7 * z + (t * t) % 5) as f32 }
        });
        let rows = [[-2., 0., 0., 90.], [0., 2., 0., -126.], [0., 0., 2., -72.], [0., 0., 0., 1.]];
        Bold::new(values, Affine::new(rows).unwrap(), 2.0).unwrap()
    }

    #[test]
    fn margins_add_and_cut_and_voxels_stay_where_they_are() {
        let run = run(2);
        let margins = Margins { x: [1, 2], y: [-1, -1], z: [0, 1] };
        let framed = margins.apply(&run, -9.0).unwrap();
        assert_eq!(framed.grid_shape(), [6, 2, 3]);
        assert_eq!(framed.data()[[1, 0, 0, 1]], run.data()[[0, 1, 0, 1]]);
        assert_eq!(framed.data()[[3, 1, 1, 0]], run.data()[[2, 2, 1, 0]]);
        assert_eq!(framed.data()[[0, 0, 0, 0]], -9.0);
        let (here, there) = (run.affine().apply([2., 2., 1.]), framed.affine().apply([3., 1., 1.]));
        assert!(here.iter().zip(there).all(|(a, b)| (a - b).abs() < 1e-12));
        let gone = Margins { x: [-2, -1], ..margins };
        assert!(gone.apply(&run, 0.0).unwrap_err().to_string().contains("margins"));
    }

    #[test]
    fn a_run_is_resampled_as_series_are() {
        let run = run(5);
        let seen = resample_run(&run, 0.8).unwrap();
        assert_eq!((seen.n_frames(), seen.t_r()), (12, 0.8));
        let series = run.data().slice(s![2, 3, 1, ..]).mapv(f64::from).insert_axis(Axis(1));
        let expected = crate::resample_time(&series, 2.0, 0.8, crate::Resampling::Linear).unwrap();
        for (found, expected) in seen.data().slice(s![2, 3, 1, ..]).iter().zip(&expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5);
        }
        // background stays background
        assert!(seen.data().slice(s![1, .., .., ..]).iter().all(|x| *x == 0.0));
    }
}
