//! Arrays that never come without their geometry, and runs that never come without their timing.

use std::path::{Path, PathBuf};

use ndarray::{Array3, Array4, Axis, ShapeBuilder};

use crate::{
    affine::Affine,
    error::{Error, Result},
    geometry::Grid,
};

/// One image, `(x, y, z)`, with its place in the world.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    data: Array3<f32>,
    grid: Grid,
}

impl Volume {
    /// Joins values and geometry; the array becomes row-major if it is not.
    pub fn new(data: Array3<f32>, affine: Affine) -> Result<Self> {
        if data.is_empty() {
            return Err(Error::EmptyArray { found: data.shape().to_vec() });
        }
        let grid = Grid { shape: data.dim().into(), affine };
        Ok(Self { data: data.as_standard_layout().into_owned(), grid })
    }

    /// Values, `(x, y, z)`, row-major.
    pub fn data(&self) -> &Array3<f32> {
        &self.data
    }

    /// Shape and place in the world.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Voxel indices to mm.
    pub fn affine(&self) -> &Affine {
        &self.grid.affine
    }

    /// Number of voxels along each axis.
    pub fn grid_shape(&self) -> [usize; 3] {
        self.grid.shape
    }

    /// The values in 64 bits, x fastest.
    pub fn x_fastest(&self) -> Vec<f64> {
        self.data.t().iter().map(|&x| f64::from(x)).collect()
    }

    /// An image of values with x fastest, as many as the grid has voxels.
    pub fn from_x_fastest(values: &[f64], grid: Grid) -> Result<Self> {
        let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        let [x, y, z] = grid.shape;
        let found = values.len();
        let data = Array3::from_shape_vec((x, y, z).f(), values);
        let data = data.map_err(|_| Error::VoxelCount {
            task: "an image",
            found,
            expected: grid.n_voxels(),
        })?;
        Self::new(data, grid.affine)
    }

    /// Gives the values away.
    pub fn into_data(self) -> Array3<f32> {
        self.data
    }
}

/// One functional run, `(x, y, z, t)`, with its place in the world and its repetition time.
#[derive(Clone, Debug)]
pub struct Bold {
    data: Array4<f32>,
    grid: Grid,
    t_r: f64,
    path: Option<PathBuf>,
}

/// Where a run was read from is no part of what it is.
impl PartialEq for Bold {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data && self.grid == other.grid && self.t_r == other.t_r
    }
}

impl Bold {
    /// Joins values, geometry and repetition time (seconds); the array becomes row-major if it is
    /// not.
    pub fn new(data: Array4<f32>, affine: Affine, t_r: f64) -> Result<Self> {
        if data.is_empty() {
            return Err(Error::EmptyArray { found: data.shape().to_vec() });
        }
        if !(t_r.is_finite() && t_r > 0.0) {
            return Err(Error::BadRepetitionTime { found: t_r });
        }
        let data =
            if data.is_standard_layout() { data } else { data.as_standard_layout().into_owned() };
        let (x, y, z, _) = data.dim();
        Ok(Self { data, grid: Grid { shape: [x, y, z], affine }, t_r, path: None })
    }

    /// Remembers the file, so that later errors can name it.
    pub(crate) fn with_path(mut self, path: &Path) -> Self {
        self.path = Some(path.to_path_buf());
        self
    }

    /// Values, `(x, y, z, t)`, row-major: the series of a voxel is contiguous.
    pub fn data(&self) -> &Array4<f32> {
        &self.data
    }

    /// Shape of one frame and its place in the world.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Voxel indices to mm.
    pub fn affine(&self) -> &Affine {
        &self.grid.affine
    }

    /// Seconds between two frames.
    pub fn t_r(&self) -> f64 {
        self.t_r
    }

    /// The file this run was read from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The file, or words for a run that came from none; for sentences.
    pub(crate) fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "scan".to_owned(), |path| path.display().to_string())
    }

    /// Number of voxels along each axis.
    pub fn grid_shape(&self) -> [usize; 3] {
        self.grid.shape
    }

    /// Number of frames.
    pub fn n_frames(&self) -> usize {
        self.data.len_of(Axis(3))
    }

    /// Length of the run in seconds.
    pub fn duration_s(&self) -> f64 {
        self.n_frames() as f64 * self.t_r
    }

    /// Number of values that are NaN or infinite. Reading keeps them; [`VoxelMask::apply`]
    /// refuses them where they matter.
    ///
    /// [`VoxelMask::apply`]: crate::VoxelMask::apply
    pub fn n_nonfinite(&self) -> usize {
        self.data.iter().filter(|x| !x.is_finite()).count()
    }

    /// The mean over time, summed in 64 bits.
    pub fn frame_mean(&self) -> Volume {
        let n_frames = self.n_frames() as f64;
        let mean = |series: ndarray::ArrayView1<f32>| {
            (series.iter().map(|&x| f64::from(x)).sum::<f64>() / n_frames) as f32
        };
        Volume { data: self.data.map_axis(Axis(3), mean), grid: self.grid.clone() }
    }

    /// Gives the values away.
    pub fn into_data(self) -> Array4<f32> {
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array;

    fn identity() -> Affine {
        let row = |i| std::array::from_fn(|j| f64::from(u8::from(i == j)));
        Affine::new(std::array::from_fn(row)).unwrap()
    }

    #[test]
    fn frame_mean_averages_time_only() {
        let data = Array::from_shape_fn((2, 1, 2, 4), |(x, _, z, t)| (10 * x + 5 * z + t) as f32);
        let bold = Bold::new(data, identity(), 2.0).unwrap();
        let mean = bold.frame_mean();
        assert_eq!(mean.data().as_slice().unwrap(), [1.5, 6.5, 11.5, 16.5]);
        assert_eq!(bold.duration_s(), 8.0);
    }

    #[test]
    fn column_major_arrays_become_row_major_with_the_same_values() {
        let values = Array::from_shape_vec((2, 3, 1, 2).f(), (0..12u8).map(f32::from).collect());
        let values = values.unwrap();
        let bold = Bold::new(values.clone(), identity(), 2.0).unwrap();
        assert!(bold.data().is_standard_layout());
        assert_eq!(bold.data(), &values);
    }

    #[test]
    fn refuses_runs_without_frames_or_timing() {
        let empty = Bold::new(Array4::zeros((2, 2, 2, 0)), identity(), 2.0);
        assert!(empty.unwrap_err().to_string().contains("[2, 2, 2, 0] is empty"));
        for t_r in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Bold::new(Array4::zeros((1, 1, 1, 1)), identity(), t_r).is_err(), "{t_r}");
        }
    }
}
