//! Where the voxels of an image are: how many along each axis, and the map to the world.

use serde::{Deserialize, Serialize};

use crate::affine::Affine;

/// A shape and its place in the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Voxels along each axis.
    pub shape: [usize; 3],
    /// Voxel indices to mm.
    pub affine: Affine,
}

impl Grid {
    /// Number of voxels.
    pub fn n_voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the voxels of both are the same ones: equal shapes, and affines that differ by no
    /// more than 32-bit headers make them. As `numpy.allclose`, which nilearn asks.
    pub fn matches(&self, other: &Self) -> bool {
        let rows = |grid: &Self| *grid.affine.rows();
        let (a, b) = (rows(self), rows(other));
        let mut entries = a.as_flattened().iter().zip(b.as_flattened());
        self.shape == other.shape && entries.all(|(a, b)| (a - b).abs() <= 1e-8 + 1e-5 * b.abs())
    }
}
