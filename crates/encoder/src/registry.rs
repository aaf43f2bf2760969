//! Which encoder to build: the one place that knows them all.

use nn::Builder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EncoderSpec, InputShape, MediaEncoder, Result, VoxelFrames, VoxelFramesConfig};

/// An encoder and its settings, as a pipeline file states them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncoderConfig {
    /// A small trainable encoder of masked voxels: one token per group of frames.
    VoxelFrames(VoxelFramesConfig),
}

impl EncoderConfig {
    /// What the encoder needs and gives for windows of this size.
    ///
    /// # Errors
    /// One sentence when the windows do not fit.
    pub fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        match self {
            Self::VoxelFrames(config) => config.spec(input),
        }
    }

    /// Builds the encoder from the weights under `vb`.
    ///
    /// # Errors
    /// As [`Self::spec`], or candle's error when a weight is missing.
    pub fn build(&self, input: InputShape, vb: Builder) -> candle_core::Result<MediaEncoder> {
        self.spec(input).map_err(candle_core::Error::wrap)?;
        match self {
            Self::VoxelFrames(config) => {
                Ok(MediaEncoder::Brain(Box::new(VoxelFrames::new(config, input, vb)?)))
            }
        }
    }
}
