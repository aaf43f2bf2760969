//! Scans to tokens: the joint between a scan and the model.
//!
//! Anything that turns preprocessed windows into tokens is a [`BrainEncoder`]; the resampler and
//! the gates only ever see its [`Tokens`]. Adding one is one file, a variant of [`EncoderConfig`] with its line of `built_in`,
//! one file in `configs/`, one parity case.

mod added;
pub mod brain_jepa;
pub mod brain_semantoks;
pub mod brainlm;
pub mod brainmt;
#[cfg(test)]
mod by_hand;
pub mod clip;
mod connectivity;
pub mod cortex_mae;
mod embedding;
mod encode;
mod error;
mod filled;
mod frozen;
mod image;
mod media;
mod omics;
mod parcel_order;
mod pretrained;
mod published;
mod reconstruct;
mod registry;
mod settings;
mod shape;
mod sizes;
mod spec;
mod stored;
pub mod swift;
mod tokens;
mod trainable;
mod tuning;
mod untrained;
mod vit;
mod voxel_frames;
mod weights;

use candle_core::{Device, Result as CandleResult, Tensor};

pub use added::{AddedEncoder, EncoderRegistry};
pub use brain_jepa::{BrainJepaConfig, BrainJepaEncoder, BrainJepaSize};
pub use brain_semantoks::{
    BrainSemantoksConfig, BrainSemantoksEncoder, BrainSemantoksSize, SemantoksBranch,
    SemantoksPooling,
};
pub use brainlm::{BrainLm, BrainLmConfig, BrainLmNetwork};
pub use brainmt::{BrainMtConfig, BrainMtEncoder, BrainMtSize};
pub use clip::{ClipActivation, ClipConfig, ClipVision, VisionFeature};
pub use connectivity::{Connectivity, ConnectivityConfig};
pub use cortex_mae::{
    CortexMaeConfig, CortexMaeDecoderSize, CortexMaeDecoding, CortexMaeEncoder, CortexMaePositions,
    CortexMaeSize,
};
pub use embedding::{RunPooling, weighted_mean};
pub use error::{Error, Result};
pub use filled::{Filled, Fit};
pub use frozen::{FrozenEncoder, WindowTokens};
pub use image::{ClipPreprocess, Order, Photo};
pub use media::MediaEncoder;
pub use nn::weights::{LoraConfig, TargetModules};
pub use omics::{Omics, OmicsConfig};
pub use parcel_order::{OtherParcels, ParcelOrder, canonical_atlas, parcel_order};
pub use published::{PUBLISHED, Published, Unsaid};
pub use reconstruct::Reconstruction;
pub use registry::EncoderConfig;
pub use settings::EncoderSettings;
pub use shape::{InputShape, InputSpace};
pub use spec::{EncoderSpec, Licence, Preparation, RepetitionTime, WindowLength};
pub use stored::{Stored, StoredConfig, StoredTokens};
pub use swift::{SwiftConfig, SwiftEncoder, SwiftSize};
pub use tokens::{Places, TokenLayout, TokenOrder, TokenPolicy};
pub use trainable::Trainable;
pub use tuning::EncoderParameters;
pub use untrained::Untrained;
pub use voxel_frames::{VoxelFrames, VoxelFramesConfig};
pub use weights::WeightsSource;

/// Preprocessed windows, or pictures, of a batch.
///
/// `n_media` counts scans (one `<image>` in the text each), `n_windows` the windows of one scan, or
/// the frames of one film: two axes, because text attends to scans, and the resampler joins the
/// windows of one.
#[derive(Clone, Debug)]
pub struct EncoderInput {
    /// `(batch, n_media, n_windows, …)`, then the dimensions of one item: [`InputShape::dims`].
    pub values: Tensor,
    /// `(batch, n_media, n_windows)` in `u8`, 1 where a window is real; absent: all are.
    pub mask: Option<Tensor>,
    /// Where the parcels are, `(n_parcels, 3)` in mm, for encoders that ask for it.
    pub coordinates: Option<Tensor>,
}

impl EncoderInput {
    /// Windows that are all real.
    pub fn new(values: Tensor) -> Self {
        Self { values, mask: None, coordinates: None }
    }

    /// Scans of different length in one batch: which windows are real.
    pub fn with_mask(self, mask: Tensor) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// With the parcels' coordinates in mm.
    pub fn with_coordinates(self, coordinates: &[[f64; 3]]) -> CandleResult<Self> {
        let coordinates = places(coordinates, self.values.device())?;
        Ok(Self { coordinates: Some(coordinates), ..self })
    }
}

/// Coordinates in mm as encoders read them, `(n_parcels, 3)`.
fn places(coordinates: &[[f64; 3]], place: &Device) -> CandleResult<Tensor> {
    let flat: Vec<f32> = coordinates.iter().flatten().map(|&x| x as f32).collect();
    Tensor::from_vec(flat, (coordinates.len(), 3), place)
}

/// What an encoder makes of its input.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// `(batch, n_media, n_windows, n_tokens, vis_dim)`; zeros where the mask says so.
    pub values: Tensor,
    /// `(batch, n_media, n_windows, n_tokens)` in `u8`, 1 where a token is real; absent: all are.
    pub mask: Option<Tensor>,
}

/// A network from preprocessed scan windows to tokens. Pure: the same input gives the same tokens.
///
/// Whether it is trained is decided by the weights it was built from.
pub trait BrainEncoder: Send + Sync {
    /// What the encoder must be fed, and what it gives.
    fn spec(&self) -> &EncoderSpec;

    /// Every token of each window, in the order of [`EncoderSpec::layout`]: windows `(n, …)` of
    /// [`InputShape::dims`] and, where the encoder asks for them, the parcels' coordinates
    /// `(n_parcels, 3)` in mm, to `(n, n_all, vis_dim)`.
    fn windows(&self, windows: &Tensor, coordinates: Option<&Tensor>) -> CandleResult<Tensor>;

    /// As [`Self::windows`], of one window whose first `n_real` frames are of the scan; the others are
    /// zeros that must not count. With the tokens goes how they lie: places and moments that saw
    /// nothing may be missing from its data.
    ///
    /// # Errors
    /// Where the encoder has no mask.
    fn short_window(
        &self,
        window: &Tensor,
        coordinates: Option<&Tensor>,
        n_real: usize,
    ) -> CandleResult<(Tensor, TokenLayout)> {
        let (_, name) = ((window, coordinates, n_real), self.spec().name);
        candle_core::bail!("encoder `{name}` has no mask for frames that are not there")
    }

    /// Scans to the tokens that the encoder's policy takes; windows that are not real are not run.
    fn encode(&self, input: &EncoderInput) -> CandleResult<Tokens> {
        encode::encode(self, input)
    }
}
