//! What is trained and used.
use std::path::{Path, PathBuf};

use config::Component;
use encoder::EncoderConfig;
use flamingo::{Compat, FlamingoConfig, GatesConfig, Precision, ResamplerConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Encoder, resampler and gates are trained; the language model stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Scans to tokens.
    pub encoder: Component<EncoderConfig>,
    /// Tokens to a fixed number of latents.
    pub resampler: Component<ResamplerConfig>,
    /// Where gated cross-attention is inserted into the language model.
    pub gates: Component<GatesConfig>,
    /// The frozen language model.
    pub lm: LmSpec,
    /// Puts each prompt into the turn of a user, as the language model's chat template writes it, and lets the report
    /// be the assistant's. Default: false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub chat: bool,
    /// Precision of the language model's weights during training. Default: f32. The written model
    /// keeps its files as they are.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub precision: Precision,
    /// Which implementation's bugs to reproduce. Default: none.
    #[serde(default, skip_serializing_if = "Compat::is_none")]
    pub compat: Compat,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Which language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LmSpec {
    /// A Hugging Face folder: config.json, tokenizer.json, and the weights as safetensors or
    /// PyTorch's `.bin`, whole or in shards.
    Hf(PathBuf),
    /// One GGUF file, or one of the parts of a split one.
    Gguf(PathBuf),
}

impl LmSpec {
    /// The folder or file.
    pub fn path(&self) -> &Path {
        let (Self::Hf(path) | Self::Gguf(path)) = self;
        path
    }

    pub(super) fn path_mut(&mut self) -> &mut PathBuf {
        let (Self::Hf(path) | Self::Gguf(path)) = self;
        path
    }
}

impl ModelSpec {
    /// The trained part, once components are inlined.
    pub fn flamingo(&self) -> FlamingoConfig {
        FlamingoConfig {
            encoder: self.encoder.get().clone(),
            resampler: self.resampler.get().clone(),
            gates: self.gates.get().clone(),
            lora: None,
            media: Vec::new(),
            compat: self.compat,
        }
    }

    /// Refuses sizes of nothing, and those of no model.
    pub(crate) fn check(&self) -> Result<()> {
        let (resampler, gates) = (self.resampler.get(), self.gates.get());
        let sizes = [
            ("resampler.n_latents", resampler.n_latents, 4096),
            ("resampler.depth", resampler.depth, 100),
            ("resampler.n_heads", resampler.n_heads, 256),
            ("resampler.head_dim", resampler.head_dim, 1024),
            ("resampler.ff_mult", resampler.ff_mult, 64),
            ("resampler.max_num_media", resampler.max_num_media.unwrap_or(1), 1 << 20),
            ("resampler.max_num_frames", resampler.max_num_frames.unwrap_or(1), 1 << 20),
            // compared with the language model's blocks where that is read
            ("gates.every", gates.every, usize::MAX),
            ("gates.n_heads", gates.n_heads, 256),
            ("gates.head_dim", gates.head_dim, 1024),
            ("gates.ff_mult", gates.ff_mult, 64),
        ];
        let key = |key: &str| format!("model.{key}");
        match sizes.into_iter().find(|(_, size, most)| !(1..=*most).contains(size)) {
            None => Ok(()),
            Some((name, 0, _)) => Err(Error::Size { key: key(name) }),
            Some((name, found, most)) => Err(Error::TooManyOf { key: key(name), found, most }),
        }
    }

    pub(super) fn inline(self, dir: &Path) -> Result<Self> {
        Ok(Self {
            encoder: self.encoder.inline_with(dir, |encoder, folder| {
                encoder.relocate(&|path| files::join(folder, path));
            })?,
            resampler: self.resampler.inline(dir)?,
            gates: self.gates.inline(dir)?,
            lm: self.lm,
            chat: self.chat,
            precision: self.precision,
            compat: self.compat,
        })
    }
}
