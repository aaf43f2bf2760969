//! The joint that the rest of the model sees: whatever the media are, tokens come out.

use candle_core::Result;

use crate::{BrainEncoder, ClipVision, EncoderInput, Tokens};

/// The stock path and the pluggable path, side by side.
pub enum MediaEncoder {
    /// Pictures, through CLIP.
    Clip(Box<ClipVision>),
    /// Scans, through any brain encoder.
    Brain(Box<dyn BrainEncoder>),
}

impl MediaEncoder {
    /// Width of a token.
    pub fn vis_dim(&self) -> usize {
        match self {
            Self::Clip(clip) => clip.config().width,
            Self::Brain(encoder) => encoder.spec().vis_dim,
        }
    }

    /// Preprocessed media to tokens.
    pub fn encode(&self, input: &EncoderInput) -> Result<Tokens> {
        match self {
            Self::Clip(clip) => clip.encode(input),
            Self::Brain(encoder) => encoder.encode(input),
        }
    }
}
