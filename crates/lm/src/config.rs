//! Which language model a `config.json` describes.

use std::path::Path;

use candle_core::Result as CandleResult;
use nn::Builder;
use serde::{Deserialize, Serialize};

use crate::{CausalLm, Error, LlamaConfig, MistralConfig, MosaicGptConfig, MptConfig};
use crate::{NeoXConfig, OptConfig, Result};

/// What the config of one family knows of its models.
pub(crate) trait Architecture {
    /// What is wrong with the numbers, in one sentence.
    fn problem(&self) -> Option<String>;

    /// Rows of the embedding.
    fn vocab_size(&self) -> usize;

    /// This crate's name of a checkpoint's tensor; nothing for what is no weight: buffers, and a
    /// second copy of a tied head.
    fn rename(&self, name: &str) -> Option<String>;

    /// The model, its tensors asked from `vb`.
    fn build(&self, vb: Builder) -> CandleResult<Box<dyn CausalLm>>;
}

/// A language model's `config.json`, told apart by its `model_type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "model_type")]
pub enum LmConfig {
    /// LLaMA, SmolLM2 and others of their blocks.
    #[serde(rename = "llama")]
    Llama(LlamaConfig),
    /// Mistral, where it has no sliding window.
    #[serde(rename = "mistral")]
    Mistral(MistralConfig),
    /// OPT.
    #[serde(rename = "opt")]
    Opt(OptConfig),
    /// GPT-NeoX, Pythia, RedPajama-INCITE.
    #[serde(rename = "gpt_neox")]
    NeoX(NeoXConfig),
    /// MPT-7B, and Hugging Face's own class.
    #[serde(rename = "mpt")]
    Mpt(MptConfig),
    /// MPT-1B, whose class is called MosaicGPT.
    #[serde(rename = "mosaic_gpt")]
    MosaicGpt(MosaicGptConfig),
}

impl LmConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// Names the file, and the architecture or number that is not supported.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::Config { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let config: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        config.problem().map_or(Ok(config), |problem| Err(wrong(problem)))
    }

    /// The family's part, whichever it is.
    fn architecture(&self) -> &dyn Architecture {
        match self {
            Self::Llama(config) => config,
            Self::Mistral(config) => config,
            Self::Opt(config) => config,
            Self::NeoX(config) => config,
            Self::Mpt(config) => config,
            Self::MosaicGpt(config) => config,
        }
    }

    /// What is wrong with the numbers, in one sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        self.architecture().problem()
    }

    /// Rows of the embedding.
    pub fn vocab_size(&self) -> usize {
        self.architecture().vocab_size()
    }

    /// This crate's name of a checkpoint's tensor; nothing for what is no weight: buffers, and a
    /// second copy of a tied head.
    pub fn rename(&self, name: &str) -> Option<String> {
        self.architecture().rename(name)
    }

    /// The model, its tensors asked from `vb`.
    pub fn build(&self, vb: Builder) -> CandleResult<Box<dyn CausalLm>> {
        self.architecture().build(vb)
    }
}

/// The value of switches that are on where a file does not say.
pub(crate) fn yes() -> bool {
    true
}
