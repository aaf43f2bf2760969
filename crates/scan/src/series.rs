//! Time series of the voxels of a mask.

use ndarray::Array2;

/// Values `(n_frames, n_voxels)` and the repetition time in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct VoxelSeries {
    /// One row a frame, one column a voxel in the order of the mask.
    pub values: Array2<f32>,
    /// Seconds between two frames.
    pub t_r: f64,
}

impl VoxelSeries {
    /// Number of frames.
    pub fn n_frames(&self) -> usize {
        self.values.nrows()
    }

    /// Number of voxels.
    pub fn n_voxels(&self) -> usize {
        self.values.ncols()
    }
}
