//! The joint that the rest of the model sees: whatever the media are, tokens come out.

use candle_core::{Result, Tensor};

use crate::{BrainEncoder, ClipVision, EncoderInput, TokenLayout, TokenPolicy, Tokens};

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

    /// How the tokens of one window lie, and which of them are handed on; of a tower of CLIP nothing is known but their
    /// number.
    pub fn layout(&self) -> Option<(&TokenLayout, TokenPolicy)> {
        match self {
            Self::Clip(_) => None,
            Self::Brain(encoder) => Some((&encoder.spec().layout, encoder.spec().tokens)),
        }
    }

    /// One vector `(batch, dim)` for the one medium of each row, by which similar media are found.
    ///
    /// Of a picture the embedding that CLIP shares with captions, where the weights have the projection to it; else
    /// the mean of the tokens. Of a scan the mean over all tokens of its windows.
    pub fn embedding(&self, input: &EncoderInput) -> Result<Tensor> {
        if let Self::Clip(clip) = self
            && clip.config().embed_dim > 0
            && input.mask.is_none()
            && input.values.dims()[1..3] == [1, 1]
        {
            return clip.pooled(&input.values.flatten(0, 2)?);
        }
        let Tokens { values, mask } = self.encode(input)?;
        let values = values.flatten(1, 3)?;
        let Some(mask) = mask else { return values.mean(1) };
        let mask = mask.flatten(1, 3)?.to_dtype(values.dtype())?;
        // tokens that are not real are zero
        values.sum(1)?.broadcast_div(&mask.sum_keepdim(1)?.to_dtype(values.dtype())?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::{ClipConfig, InputShape, Trainable, VisionFeature};

    fn clip(embed_dim: usize) -> MediaEncoder {
        let config = ClipConfig {
            image_size: 8,
            patch_size: 4,
            width: 8,
            layers: 1,
            head_width: 4,
            mlp_ratio: 2.0,
            embed_dim,
            activation: crate::ClipActivation::QuickGelu,
            vision_feature: VisionFeature::PreLnPost,
            weights: None,
            trainable: Trainable::default(),
        };
        let weights = nn::weights::Random::new(nn::Precision::F32).unwrap();
        let config = crate::EncoderConfig::Clip(config);
        let input = InputShape::Image { size: 8 };
        config.build(input, weights.builder()).unwrap()
    }

    fn pictures(values: &[f32]) -> EncoderInput {
        let size = 3 * 8 * 8;
        let values =
            values.iter().flat_map(|shift| (0..size).map(move |at| (at as f32 * shift).sin()));
        let n = values.clone().count() / size;
        let values = Tensor::from_vec(values.collect::<Vec<_>>(), (n, 1, 1, 3, 8, 8), &Device::Cpu);
        EncoderInput::new(values.unwrap())
    }

    #[test]
    fn a_picture_has_its_captions_embedding_or_the_mean_of_its_tokens() -> Result<()> {
        let input = pictures(&[0.1, 0.7]);
        let encoder = clip(6);
        let MediaEncoder::Clip(tower) = &encoder else { unreachable!() };
        let found = encoder.embedding(&input)?.to_vec2::<f32>()?;
        assert_eq!(found, tower.pooled(&input.values.flatten(0, 2)?)?.to_vec2::<f32>()?);
        assert_ne!(found[0], found[1]);
        let plain = clip(0);
        let found = plain.embedding(&input)?.to_vec2::<f32>()?;
        let tokens = plain.encode(&input)?.values.flatten(1, 3)?.to_vec3::<f32>()?;
        for (found, tokens) in found.iter().zip(&tokens) {
            for (at, value) in found.iter().enumerate() {
                let mean = tokens.iter().map(|it| it[at]).sum::<f32>() / tokens.len() as f32;
                assert!((value - mean).abs() < 1e-6);
            }
        }
        Ok(())
    }

    #[test]
    fn frames_that_are_not_there_do_not_count() -> Result<()> {
        let encoder = clip(0);
        let one = pictures(&[0.3]);
        let padded = Tensor::cat(&[&one.values, &one.values.zeros_like()?], 2)?;
        let mask = Tensor::from_slice(&[1u8, 0], (1, 1, 2), &Device::Cpu)?;
        let [alone, padded] = [one, EncoderInput::new(padded).with_mask(mask)]
            .map(|input| encoder.embedding(&input).unwrap().to_vec2::<f32>().unwrap());
        assert_eq!(alone, padded);
        Ok(())
    }
}
