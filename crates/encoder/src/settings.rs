//! What is asked of the settings of any encoder.

use std::fmt;

use nn::Builder;

use crate::{EncoderSpec, InputShape, MediaEncoder, Result};

/// The settings of an encoder: what it needs, and how it is built.
pub trait EncoderSettings: fmt::Debug + Send + Sync {
    /// Its name in messages.
    fn name(&self) -> &'static str;

    /// Raised when the same settings give other tokens: stored ones are made again then, and packages that were trained
    /// on the old ones refused.
    fn version(&self) -> u32 {
        1
    }

    /// What the encoder needs and gives for windows of this size.
    ///
    /// # Errors
    /// One sentence when the windows do not fit.
    fn spec(&self, input: InputShape) -> Result<EncoderSpec>;

    /// Builds the encoder from the weights under `vb`, for windows that fit.
    ///
    /// # Errors
    /// candle's error when a weight is missing.
    fn build(&self, input: InputShape, vb: Builder) -> candle_core::Result<MediaEncoder>;

    /// Whether it begins from the seed of the run and learns with the model. An encoder that does not is run
    /// once, before the training.
    fn learns(&self) -> bool {
        false
    }
}
