//! Images on another grid, as `nilearn.image.resample_img` computes them.
//!
//! Source: nilearn 0.14 over `scipy.ndimage.affine_transform(mode="constant", cval=0)`: a point
//! outside the first and last voxel centres is 0, never a neighbour's value.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Grid,
    fill::fill_nonfinite,
    spline::{coefficients, mirrored, weights},
};
use crate::{
    affine::Affine,
    bold::Volume,
    error::Result,
    frames::{Frame, Frames},
};

/// Coordinates nearer to each other than this, in voxels, are the same point: two orders of the
/// same sums differ by less.
const SAME_POINT: f64 = 1e9;

/// What stands between two voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The nearer voxel's value: the only choice for labels and masks.
    Nearest,
    /// A straight line.
    Linear,
    /// A cubic spline through all values.
    Cubic,
}

/// The way from one grid to another, worked out once and used for every frame.
#[derive(Clone, Debug)]
pub struct Resampler {
    from: [usize; 3],
    to: [usize; 3],
    /// Voxel of the target to voxel of the source.
    map: [[f64; 4]; 3],
    interpolation: Interpolation,
}

impl Resampler {
    /// Prepares images on the grid `from` to be seen on the grid `to`.
    pub fn new(from: &Grid, to: &Grid, interpolation: Interpolation) -> Self {
        let inverse = from.affine.inverse();
        let (a, b) = (inverse.rows(), to.affine.rows());
        let map = if from.affine == to.affine {
            std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))))
        } else {
            std::array::from_fn(|i| {
                std::array::from_fn(|j| (0..4).map(|k| a[i][k] * b[k][j]).sum::<f64>())
            })
        };
        Self { from: from.shape, to: to.shape, map, interpolation }
    }

    /// An image, x fastest, on the other grid.
    ///
    /// Values that are not finite are replaced by the mean of their neighbours for the
    /// interpolation, and become NaN where they are nearest.
    pub fn apply(&self, image: &[f64]) -> Vec<f64> {
        if image.iter().all(|x| x.is_finite()) {
            return self.finite(image.to_vec());
        }
        let holes: Vec<f64> = image.iter().map(|x| f64::from(u8::from(!x.is_finite()))).collect();
        let holes = Self { interpolation: Interpolation::Nearest, ..self.clone() }.finite(holes);
        let mut seen = self.finite(fill_nonfinite(image, self.from));
        seen.iter_mut().zip(holes).filter(|(_, hole)| *hole > 0.0).for_each(|(x, _)| *x = f64::NAN);
        seen
    }

    fn finite(&self, mut image: Vec<f64>) -> Vec<f64> {
        if self.interpolation == Interpolation::Cubic {
            coefficients(&mut image, self.from);
        }
        let [nx, ny, nz] = self.to;
        let mut seen = Vec::with_capacity(nx * ny * nz);
        for (z, y) in (0..nz).flat_map(|z| (0..ny).map(move |y| (z, y))) {
            for x in 0..nx {
                let value = self.source([x, y, z]).map_or(0.0, |point| self.at(&image, point));
                seen.push(value);
            }
        }
        seen
    }

    /// Where in the source a voxel of the target lies; nothing outside of it.
    fn source(&self, voxel: [usize; 3]) -> Option<[f64; 3]> {
        let [x, y, z] = voxel.map(|n| n as f64);
        let mut point = [0.0; 3];
        for (axis, [a, b, c, d]) in self.map.into_iter().enumerate() {
            let sum = a * x + b * y + c * z + d;
            let rounded = (sum * SAME_POINT).round() / SAME_POINT;
            let last = (self.from[axis] - 1) as f64;
            if !(0.0..=last).contains(&rounded) {
                return None;
            }
            // Ties of the nearest voxel are decided on the rounded number.
            let nearest = self.interpolation == Interpolation::Nearest;
            point[axis] = if nearest { rounded } else { sum.clamp(0.0, last) };
        }
        Some(point)
    }

    fn at(&self, image: &[f64], point: [f64; 3]) -> f64 {
        let [nx, ny, _] = self.from;
        match self.interpolation {
            Interpolation::Nearest => {
                let [x, y, z] = point.map(|p| (p + 0.5).floor() as usize);
                image[x + nx * (y + ny * z)]
            }
            Interpolation::Linear => {
                let shares = |p: f64| [1.0 - p.fract(), p.fract()];
                self.weighted(image, point, 0, point.map(shares))
            }
            Interpolation::Cubic => {
                self.weighted(image, point, 1, point.map(|p| weights(p.fract())))
            }
        }
    }

    /// The sum over `N`³ voxels that begin `before` voxels ahead of the point.
    fn weighted<const N: usize>(
        &self,
        image: &[f64],
        point: [f64; 3],
        before: isize,
        shares: [[f64; N]; 3],
    ) -> f64 {
        let [nx, ny, _] = self.from;
        let places: [[usize; N]; 3] = std::array::from_fn(|axis| {
            let first = point[axis] as isize - before;
            std::array::from_fn(|k| mirrored(first + k as isize, self.from[axis]))
        });
        let mut sum = 0.0;
        for (z, share_z) in places[2].into_iter().zip(shares[2]) {
            for (y, share_y) in places[1].into_iter().zip(shares[1]) {
                let row = &image[nx * (y + ny * z)..][..nx];
                let across = places[0].into_iter().zip(shares[0]);
                sum += share_y * share_z * across.map(|(x, share)| row[x] * share).sum::<f64>();
            }
        }
        sum
    }
}

/// The range a resampled run is kept in: that of the whole run, and zero.
///
/// A spline rings at edges; nilearn cuts what lies outside the range of the data off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest value or 0.
    pub low: f64,
    /// Largest value or 0.
    pub high: f64,
}

impl Range {
    /// The range of some values and zero; NaN does not count.
    pub fn of(values: &[f64]) -> Self {
        values.iter().fold(Self { low: 0.0, high: 0.0 }, |range, &x| range.with(x))
    }

    /// The range over all frames of a run and zero: one pass.
    pub fn of_run(run: &dyn Frames) -> Result<Self> {
        let mut values = vec![0.0; run.grid().n_voxels()];
        let mut range = Self { low: 0.0, high: 0.0 };
        run.each(&mut |_, frame: Frame<'_>| {
            frame.read(&mut values);
            range = values.iter().fold(range, |range, &x| range.with(x));
            Ok(())
        })?;
        Ok(range)
    }

    fn with(self, x: f64) -> Self {
        Self { low: self.low.min(x), high: self.high.max(x) }
    }

    /// Cuts values off at the ends of the range; NaN stays.
    pub fn clip(self, values: &mut [f64]) {
        for x in values {
            *x = x.clamp(self.low, self.high);
        }
    }
}

/// One image on another grid, cut to the range of its own values and zero.
///
/// ```
/// use scan::{Affine, Grid, Interpolation, Volume, resample};
///
/// let mm = |size: f64| Affine::new([
///     [size, 0.0, 0.0, 0.0], [0.0, size, 0.0, 0.0], [0.0, 0.0, size, 0.0], [0.0, 0.0, 0.0, 1.0],
/// ]);
/// let image = Volume::new(ndarray::Array3::from_shape_fn((3, 1, 1), |(x, _, _)| x as f32), mm(2.0)?)?;
/// let fine = Grid { shape: [5, 1, 1], affine: mm(1.0)? };
/// let seen = resample(&image, &fine, Interpolation::Linear)?;
/// assert_eq!(seen.data().as_slice().unwrap(), [0.0, 0.5, 1.0, 1.5, 2.0]);
/// # Ok::<(), scan::Error>(())
/// ```
pub fn resample(image: &Volume, to: &Grid, interpolation: Interpolation) -> Result<Volume> {
    if image.grid().matches(to) {
        return Ok(image.clone());
    }
    let values = image.x_fastest();
    let mut seen = Resampler::new(image.grid(), to, interpolation).apply(&values);
    Range::of(&values).clip(&mut seen);
    Volume::from_x_fastest(&seen, to.clone())
}

/// The grid that covers the same world with cubic or other voxels of these sizes, axes kept.
pub fn grid_of_zooms(grid: &Grid, zooms: [f64; 3]) -> Result<Grid> {
    let old = grid.affine.zooms();
    let mut rows = *grid.affine.rows();
    for row in &mut rows[..3] {
        for axis in 0..3 {
            row[axis] *= zooms[axis] / old[axis];
        }
    }
    let shape = std::array::from_fn(|axis| {
        (((grid.shape[axis] - 1) as f64 * old[axis] / zooms[axis]).ceil() as usize) + 1
    });
    Ok(Grid { shape, affine: Affine::new(rows)? })
}
