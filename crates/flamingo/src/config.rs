//! The architecture around the language model, as files state it.

use encoder::{EncoderConfig, InputShape, LoraConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{GatesConfig, ResamplerConfig};

/// Everything around the language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlamingoConfig {
    /// Scans to tokens.
    pub encoder: EncoderConfig,
    /// Tokens to latents.
    pub resampler: ResamplerConfig,
    /// Latents into the language model.
    pub gates: GatesConfig,
    /// Corrections of low rank beside the linear layers of the frozen language model. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// The media of a report by the names that prompts have for them, where there are several. Default: one, without a
    /// name, which `encoder` reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<MediumConfig>,
    /// Which implementation's bugs to reproduce. Default: none.
    #[serde(default, skip_serializing_if = "Compat::is_none")]
    pub compat: Compat,
}

/// One of several media of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediumConfig {
    /// Its name: `<image:name>` in prompts.
    pub name: String,
    /// The encoder that reads it; absent: the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<OwnEncoder>,
}

/// An encoder beside the model's own. Where its tokens have another width, a linear map without a bias brings them to that of
/// the model's own; both are trained with the resampler and lie in the adapter, under `media.NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnEncoder {
    /// Its settings.
    pub encoder: EncoderConfig,
    /// What one medium is.
    pub input: InputShape,
}

/// Where an original is plainly wrong, the right behaviour is ours, unless its numbers are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compat {
    /// The right behaviour. No special token but `<|endofchunk|>` is ever written, neither `<image>`
    /// nor those that the language model's own vocabulary has.
    #[default]
    None,
    /// OpenFlamingo 2.0.1: without `only_attend_immediate_media`, text before the first image looks
    /// at every image, also at those after it; a written `<image>` turns the attention of the whole
    /// batch to the first image or to none, and nothing forbids to write it or any other special
    /// token; the length of a beam counts its prompt's padding; cached likelihoods see the padding.
    OpenFlamingo,
}

impl Compat {
    /// Whether the right behaviour is asked for.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}
