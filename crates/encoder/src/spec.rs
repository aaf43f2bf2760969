//! What an encoder must be fed; preprocessing is planned from it, before any scan is opened.

use serde::{Deserialize, Serialize};

/// The kind of data that an encoder reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSpace {
    /// Parcel time series of one atlas.
    Parcels {
        /// Name and version of the atlas.
        atlas: String,
        /// Parcels, in the atlas's order.
        n: usize,
        /// Whether the encoder reads the parcels' coordinates too.
        coordinates: bool,
    },
    /// A volume on a fixed grid.
    Volume {
        /// Voxels along each axis.
        shape: [usize; 3],
        /// Orientation, such as `LAS`.
        axes: String,
    },
    /// A connectivity matrix.
    Connectome {
        /// Parcels.
        n: usize,
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
    },
    /// The voxels of a mask.
    Voxels {
        /// Voxels in the mask.
        n: usize,
    },
}

/// The size of one preprocessed item: what stands for one frame of one `<image>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum InputShape {
    /// A window of a scan.
    Window {
        /// Volumes in a window.
        n_frames: usize,
        /// Values in a volume: voxels or parcels.
        n_voxels: usize,
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
}

impl InputShape {
    /// The array's dimensions: `(n_frames, n_voxels)`, `(3, size, size)` or `(n_tokens, dim)`.
    pub fn dims(&self) -> Vec<usize> {
        match *self {
            Self::Window { n_frames, n_voxels } => vec![n_frames, n_voxels],
            Self::Image { size } => vec![3, size, size],
            Self::Tokens { n_tokens, dim } => vec![n_tokens, dim],
        }
    }
}

impl std::fmt::Display for InputShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Window { n_frames, n_voxels } => {
                write!(f, "a window of {n_frames} frames and {n_voxels} voxels")
            }
            Self::Image { size } => write!(f, "a picture of {size} × {size} pixels"),
            Self::Tokens { n_tokens, dim } => write!(f, "{n_tokens} tokens of {dim} numbers"),
        }
    }
}

/// What an encoder needs and gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EncoderSpec {
    /// Name and version of the architecture.
    pub id: String,
    /// The kind of data.
    pub input: InputSpace,
    /// Volumes in a window.
    pub n_frames: usize,
    /// Repetition time in seconds, where the weights were trained on one; absent: any.
    pub t_r_s: Option<f64>,
    /// Orientation that the volume must have; absent: none.
    pub orientation: Option<String>,
    /// Name of the normalisation that the weights expect.
    pub normalisation: String,
    /// Width of a token.
    pub vis_dim: usize,
    /// Tokens for one window.
    pub n_tokens: usize,
    /// Licence of the weights.
    pub licence: String,
}
