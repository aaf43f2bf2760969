//! Which encoder to build: the one place that knows them all.

use nn::Builder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BrainLm, BrainLmConfig, ClipConfig, ClipVision, Connectivity, ConnectivityConfig, EncoderSpec,
    InputShape, MediaEncoder, Result, Stored, StoredConfig, VoxelFrames, VoxelFramesConfig,
};

/// An encoder and its settings, as a pipeline file states them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncoderConfig {
    /// A small trainable encoder of masked voxels: one token per group of frames.
    VoxelFrames(VoxelFramesConfig),
    /// The vision transformer of CLIP.
    Clip(ClipConfig),
    /// Functional connectivity: one token a parcel, its row of the matrix.
    Connectivity(ConnectivityConfig),
    /// BrainLM, of regions × time or of pictures.
    #[serde(rename = "brainlm")]
    BrainLm(BrainLmConfig),
    /// Tokens computed elsewhere.
    Stored(StoredConfig),
}

impl EncoderConfig {
    /// What the encoder needs and gives for windows of this size.
    ///
    /// # Errors
    /// One sentence when the windows do not fit.
    pub fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        match self {
            Self::VoxelFrames(config) => config.spec(input),
            Self::Clip(config) => config.spec(input),
            Self::Connectivity(config) => config.spec(input),
            Self::BrainLm(config) => config.spec(input),
            Self::Stored(config) => config.spec(input),
        }
    }

    /// Builds the encoder from the weights under `vb`.
    ///
    /// # Errors
    /// As [`Self::spec`], or candle's error when a weight is missing.
    pub fn build(&self, input: InputShape, vb: Builder) -> candle_core::Result<MediaEncoder> {
        self.spec(input).map_err(candle_core::Error::wrap)?;
        let brain = |encoder| Ok(MediaEncoder::Brain(encoder));
        match self {
            Self::VoxelFrames(config) => brain(Box::new(VoxelFrames::new(config, input, vb)?)),
            Self::Clip(config) => Ok(MediaEncoder::Clip(ClipVision::new(config, vb)?)),
            Self::Connectivity(config) => {
                let encoder = Connectivity::new(config, input);
                brain(Box::new(encoder.map_err(candle_core::Error::wrap)?))
            }
            Self::BrainLm(config) => brain(Box::new(BrainLm::new(config, input, vb)?)),
            Self::Stored(config) => {
                brain(Box::new(Stored::new(config, input).map_err(candle_core::Error::wrap)?))
            }
        }
    }
}
