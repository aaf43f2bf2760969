//! Time series of the voxels of a mask, and of the parcels of an atlas.

use ndarray::Array2;

use crate::atlas::Parcel;

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

/// Series of the regions of an atlas.
#[derive(Clone, Debug, PartialEq)]
pub struct ParcelSeries {
    /// One row a frame, one column a parcel, `(n_frames, n_parcels)`.
    pub values: Array2<f64>,
    /// Seconds between two frames.
    pub t_r: f64,
    /// What the columns are.
    pub parcels: Vec<Parcel>,
    /// Labels of columns that are 0 because the run has no data of them.
    pub lost: Vec<i32>,
    /// The share of each parcel that the run has data of, from 0 to 1; none where no voxels or
    /// vertices were averaged.
    pub coverage: Option<Vec<f64>>,
    /// Frames with values of parcels that are not finite, beside those that are so in every frame; such a
    /// value counts as 0, as in nilearn.
    pub n_nonfinite_frames: usize,
}

/// How many frames hold more values that are not finite than the frame with the fewest: what is so in every
/// frame lies outside of the field of view or of a mask, and is a matter of coverage.
pub(crate) fn n_above_least(counts: &[usize]) -> usize {
    let least = counts.iter().min().copied().unwrap_or(0);
    counts.iter().filter(|n| **n > least).count()
}

impl ParcelSeries {
    /// Number of frames.
    pub fn n_frames(&self) -> usize {
        self.values.nrows()
    }

    /// Number of parcels.
    pub fn n_parcels(&self) -> usize {
        self.values.ncols()
    }
}
