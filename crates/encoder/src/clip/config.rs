//! The size of a vision transformer of the CLIP family.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    EncoderSpec, Error, InputShape, InputSpace, Licence, Result, TokenLayout, TokenPolicy,
    Trainable, WeightsSource, WindowLength,
};

pub(super) const NAME: &str = "clip";

/// One vision transformer, in open_clip's terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClipConfig {
    /// Pixels along a side of the picture.
    pub image_size: usize,
    /// Pixels along a side of a patch.
    pub patch_size: usize,
    /// Width of a token (`vis_dim`).
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Width of one attention head.
    pub head_width: usize,
    /// Hidden width of the feed-forward, as a multiple of the width.
    pub mlp_ratio: f64,
    /// Width of the embedding that picture and caption share; 0 where the weights have no projection
    /// to it, as those of transformers' `CLIPVisionModel`: patch tokens need none.
    pub embed_dim: usize,
    /// Non-linearity; OpenAI's weights were trained with the quick one.
    #[serde(default)]
    pub activation: ClipActivation,
    /// Which tokens are handed out.
    #[serde(default)]
    pub vision_feature: VisionFeature,
    /// Where its numbers come from; absent: from the package that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsSource>,
    /// Which of these weights are trained.
    #[serde(default, skip_serializing_if = "Trainable::is_none")]
    pub trainable: Trainable,
}

/// The non-linearity of the feed-forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClipActivation {
    /// `x · sigmoid(1.702 x)`.
    #[default]
    QuickGelu,
    /// The exact GELU.
    Gelu,
}

/// Patch tokens of the last block, without class token and projection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VisionFeature {
    /// As they leave the block: what OpenFlamingo's models were trained on (open_clip before 2.23).
    #[default]
    PreLnPost,
    /// After the last norm, as open_clip hands them out since 2.23.
    PostLnPost,
}

impl ClipConfig {
    /// Patches along a side.
    pub(crate) fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Tokens of one picture, the class token left out.
    pub fn n_tokens(&self) -> usize {
        self.grid() * self.grid()
    }

    /// What the encoder needs and gives for pictures of this size.
    pub(crate) fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        self.check(input)?;
        Ok(EncoderSpec {
            name: NAME,
            id: "clip_v1".to_owned(),
            input: InputSpace::Image { size: self.image_size },
            window: WindowLength::Exactly(1),
            t_r: None,
            normalisations: Vec::new(),
            vis_dim: self.width,
            layout: TokenLayout::plain(self.n_tokens()),
            tokens: TokenPolicy::All,
            licence: Licence::named("the weights' own"),
            short_scans: Vec::new(),
            drops_masked: false,
        })
    }

    /// What a picture of this size lacks, if anything.
    pub(crate) fn check(&self, input: InputShape) -> Result<()> {
        let Self { image_size, patch_size, width, head_width, .. } = *self;
        let setting = |reason| Err(Error::Setting { encoder: NAME, reason });
        if patch_size == 0 || image_size == 0 || !image_size.is_multiple_of(patch_size) {
            return setting(format!("patches of {patch_size} do not tile {image_size} pixels"));
        }
        if head_width == 0 || !width.is_multiple_of(head_width) {
            return setting(format!("heads of {head_width} do not divide a width of {width}"));
        }
        let expected = InputShape::Image { size: image_size };
        if input == expected {
            return Ok(());
        }
        let (expected, found) = (expected.to_string(), input.to_string());
        Err(Error::Input { encoder: NAME, expected, found })
    }
}
