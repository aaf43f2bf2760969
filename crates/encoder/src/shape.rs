//! Kinds and sizes of what an encoder reads.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of data that an encoder reads, or that preprocessing gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSpace {
    /// Parcel time series of one atlas.
    Parcels {
        /// Name and version of the atlas; absent: any.
        atlas: Option<String>,
        /// Parcels, in the atlas's order.
        n: usize,
        /// Whether the parcels' coordinates are read too, or there to be read.
        coordinates: bool,
    },
    /// A volume on a fixed grid.
    Volume {
        /// Voxels along each axis.
        shape: [usize; 3],
        /// Where the axes point, such as `LAS`.
        axes: String,
    },
    /// Square pictures.
    Image {
        /// Pixels along a side.
        size: usize,
    },
    /// Tokens of another model.
    Tokens {
        /// Tokens for one item.
        n: usize,
        /// Width of a token.
        dim: usize,
    },
    /// The voxels of a mask.
    Voxels {
        /// Voxels in the mask; of a plan, at most.
        n: usize,
    },
    /// Numbers of a person, such as polygenic scores.
    Columns {
        /// Columns of the table.
        n: usize,
    },
}

impl fmt::Display for InputSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parcels { atlas, n, coordinates } => {
                let atlas = atlas.as_deref().unwrap_or("any atlas");
                write!(f, "series of the {n} parcels of {atlas}")?;
                f.write_str(if *coordinates { " with coordinates" } else { "" })
            }
            Self::Volume { shape: [x, y, z], axes } => {
                write!(f, "volumes of {x}×{y}×{z} voxels in {axes} order")
            }
            Self::Image { size } => write!(f, "pictures of {size} × {size} pixels"),
            Self::Tokens { n, dim } => write!(f, "{n} tokens of {dim} numbers"),
            Self::Voxels { .. } => f.write_str("series of the voxels of a mask"),
            Self::Columns { n } => write!(f, "{n} columns of numbers"),
        }
    }
}

/// The size of one preprocessed item: what stands for one window of one `<image>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum InputShape {
    /// A window of voxel or parcel series.
    Window {
        /// Frames in a window.
        n_frames: usize,
        /// Values in a frame: voxels or parcels.
        n_voxels: usize,
    },
    /// A window of whole volumes.
    Volume {
        /// Frames in a window.
        n_frames: usize,
        /// Voxels along each axis.
        grid: [usize; 3],
    },
    /// A square picture in red, green and blue.
    Image {
        /// Pixels along a side.
        size: usize,
    },
    /// Tokens of another model.
    Tokens {
        /// Tokens for one item.
        n_tokens: usize,
        /// Width of a token.
        dim: usize,
    },
    /// Numbers of a person: standardised values, and where they are missing.
    Columns {
        /// Columns of the table.
        n: usize,
    },
}

impl InputShape {
    /// The array's dimensions: `(n_frames, n_voxels)`, `(n_frames, x, y, z)`, `(3, size, size)`,
    /// `(n_tokens, dim)` or `(2, n_columns)`.
    pub fn dims(&self) -> Vec<usize> {
        match *self {
            Self::Window { n_frames, n_voxels } => vec![n_frames, n_voxels],
            Self::Volume { n_frames, grid: [x, y, z] } => vec![n_frames, x, y, z],
            Self::Image { size } => vec![3, size, size],
            Self::Tokens { n_tokens, dim } => vec![n_tokens, dim],
            Self::Columns { n } => vec![2, n],
        }
    }
}

impl fmt::Display for InputShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Window { n_frames, n_voxels } => {
                write!(f, "a window of {n_frames} frames and {n_voxels} voxels")
            }
            Self::Volume { n_frames, grid: [x, y, z] } => {
                write!(f, "a window of {n_frames} volumes of {x}×{y}×{z} voxels")
            }
            Self::Image { size } => write!(f, "a picture of {size} × {size} pixels"),
            Self::Tokens { n_tokens, dim } => write!(f, "{n_tokens} tokens of {dim} numbers"),
            Self::Columns { n } => write!(f, "{n} columns of numbers"),
        }
    }
}
