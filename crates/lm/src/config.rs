//! Which language model a `config.json` describes.

use std::path::Path;

use candle_core::Result as CandleResult;
use nn::Builder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
        let config = Self::parse(&text).map_err(|error| wrong(error.to_string()))?;
        config.problem().map_or(Ok(config), |problem| Err(wrong(problem)))
    }

    /// A config as any version of transformers wrote it.
    fn parse(text: &str) -> serde_json::Result<Self> {
        let mut fields: Map<String, Value> = serde_json::from_str(text)?;
        tidy(&mut fields);
        serde_json::from_value(Value::Object(fields))
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

/// Fields for which `null` says what absence says.
const OPTIONAL: [&str; 7] = [
    "rope_scaling",
    "rope_parameters",
    "rope_theta",
    "rotary_emb_base",
    "attention_bias",
    "mlp_bias",
    "attn_config",
];

/// Drops what says nothing or says it twice, gives a field its newer name, and says what Mistral's
/// class assumes where it is not what LLaMA's does.
fn tidy(fields: &mut Map<String, Value>) {
    fields.retain(|name, value| !(value.is_null() && OPTIONAL.contains(&name.as_str())));
    if fields.get("rope_scaling").is_some_and(|old| fields.get("rope_parameters") == Some(old)) {
        fields.remove("rope_scaling");
    }
    if !fields.contains_key("max_position_embeddings") {
        let mistral = fields.get("model_type").and_then(Value::as_str) == Some("mistral");
        let class = mistral.then(|| Value::from(131_072));
        // the first LLaMA files; later ones have both
        let old = fields.get("max_sequence_length").filter(|length| !length.is_null());
        if let Some(length) = old.cloned().or(class) {
            fields.insert("max_position_embeddings".to_owned(), length);
        }
    }
}

/// The longest sequence where a file does not say, in the classes of all families but Mistral.
pub(crate) fn n_positions() -> usize {
    2048
}

/// The value of switches that are on where a file does not say.
pub(crate) fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A config of the fields that every file has, and of these.
    fn llama(fields: &str) -> LlamaConfig {
        let text = format!(
            r#"{{"model_type": "llama", "hidden_size": 64, "intermediate_size": 96,
                "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 10 {fields}}}"#
        );
        match LmConfig::parse(&text).unwrap() {
            LmConfig::Llama(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_old_llama_files_leave_out_is_what_the_class_assumes() {
        let bare = llama("");
        assert_eq!((bare.max_position_embeddings, bare.rms_norm_eps), (2048, 1e-6));
        assert_eq!(bare.problem(), None);
        let first = llama(r#", "max_sequence_length": 512, "rms_norm_eps": 1e-05"#);
        assert_eq!((first.max_position_embeddings, first.rms_norm_eps), (512, 1e-5));
        let both = llama(r#", "max_sequence_length": 512, "max_position_embeddings": 1024"#);
        assert_eq!(both.max_position_embeddings, 1024);
    }

    #[test]
    fn null_says_what_absence_says() {
        let nulls = r#", "rope_scaling": null, "rope_theta": null, "attention_bias": null,
            "mlp_bias": null, "max_sequence_length": null"#;
        assert_eq!(llama(nulls), llama(""));
        let rope = r#"{"rope_type": "default", "rope_theta": 500.0}"#;
        let new = llama(&format!(r#", "rope_parameters": {rope}"#));
        assert_eq!(new.rope_scaling.as_ref().and_then(|rope| rope.theta), Some(500.));
        for old in ["null", rope] {
            let both = format!(r#", "rope_scaling": {old}, "rope_parameters": {rope}"#);
            assert_eq!(llama(&both), new);
        }
    }

    #[test]
    fn bare_files_of_other_families_are_read() {
        let read = |text: &str| LmConfig::parse(text).unwrap();
        let opt = r#"{"model_type": "opt", "hidden_size": 12, "ffn_dim": 20, "vocab_size": 10,
            "num_hidden_layers": 2, "num_attention_heads": 3}"#;
        let LmConfig::Opt(opt) = read(opt) else { panic!("no OPT") };
        assert_eq!((opt.max_position_embeddings, opt.problem()), (2048, None));
        let mistral = r#"{"model_type": "mistral", "hidden_size": 64, "intermediate_size": 96,
            "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 10}"#;
        let LmConfig::Mistral(mistral) = read(mistral) else { panic!("no Mistral") };
        assert_eq!(mistral.llama.max_position_embeddings, 131_072);
        let neox = r#"{"model_type": "gpt_neox", "hidden_size": 16, "intermediate_size": 24,
            "vocab_size": 10, "num_hidden_layers": 2, "num_attention_heads": 2}"#;
        let LmConfig::NeoX(neox) = read(neox) else { panic!("no GPT-NeoX") };
        assert_eq!((neox.max_position_embeddings, neox.problem()), (2048, None));
        assert_eq!((neox.rotary_pct, neox.rotary_emb_base), (0.25, 10_000.));
        for attention in ["", r#", "attn_config": null"#, r#", "attn_config": {}"#] {
            let mpt = format!(
                r#"{{"model_type": "mpt", "d_model": 12, "n_heads": 3, "n_layers": 2,
                    "expansion_ratio": 2, "vocab_size": 10 {attention}}}"#
            );
            let expected = MptConfig { max_seq_len: 2048, ..MptConfig::tiny(10) };
            assert_eq!(read(&mpt), LmConfig::Mpt(expected));
        }
    }
}
