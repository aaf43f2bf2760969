//! Scans to tokens: the joint between a scan and the model.
//!
//! Anything that turns preprocessed windows into tokens is a [`BrainEncoder`]; the resampler and
//! the gates only ever see its [`Tokens`]. Adding one is one file, one arm of [`EncoderConfig`],
//! one file in `configs/`, one parity case.

pub mod clip;
mod error;
mod image;
mod media;
mod registry;
mod spec;
mod stored;
mod voxel_frames;

use candle_core::{Result as CandleResult, Tensor};

pub use clip::{ClipActivation, ClipConfig, ClipVision, VisionFeature};
pub use error::{Error, Result};
pub use image::{ClipPreprocess, Order, Photo};
pub use media::MediaEncoder;
pub use registry::EncoderConfig;
pub use spec::{EncoderSpec, InputShape, InputSpace};
pub use stored::{Stored, StoredConfig};
pub use voxel_frames::{VoxelFrames, VoxelFramesConfig};

/// Preprocessed windows, or pictures, of a batch.
///
/// `n_media` counts scans (one `<image>` in the text each), `n_windows` the windows of one scan, or
/// the frames of one film: two axes, because text attends to scans, and the resampler joins the
/// windows of one.
#[derive(Clone, Debug)]
pub struct EncoderInput {
    /// `(batch, n_media, n_windows, …)`, then the dimensions of one item: [`InputShape::dims`].
    pub values: Tensor,
}

/// What an encoder makes of its input.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// `(batch, n_media, n_windows, n_tokens, vis_dim)`.
    pub values: Tensor,
    /// `(batch, n_media, n_windows, n_tokens)` in `u8`, 1 where a token is real; absent: all are.
    pub mask: Option<Tensor>,
}

/// A network from preprocessed scan windows to tokens. Pure: the same input gives the same tokens.
pub trait BrainEncoder: Send + Sync {
    /// What the encoder must be fed, and what it gives.
    fn spec(&self) -> &EncoderSpec;

    /// Windows to tokens.
    fn encode(&self, input: &EncoderInput) -> CandleResult<Tokens>;
}
