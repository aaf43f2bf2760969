//! Which language model a `config.json` describes.

use std::path::Path;

use candle_core::Result as CandleResult;
use nn::Builder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::read_text;
use crate::tie::{SharedNames, Tie};
use crate::{CausalLm, Error, LlamaConfig, MistralConfig, MosaicGptConfig, MptConfig};
use crate::{NeoXConfig, OptConfig, Qwen3Config, Result, SmolLm3Config};

/// What the config of one family knows of its models.
pub(crate) trait Architecture {
    /// What is wrong with the numbers, in one sentence.
    fn problem(&self) -> Option<String>;

    /// Rows of the embedding.
    fn vocab_size(&self) -> usize;

    /// This crate's name of a checkpoint's tensor; nothing for a buffer.
    fn rename(&self, name: &str) -> Option<String>;

    /// What embedding and head are called.
    fn shared_names(&self) -> SharedNames;

    /// Whether head and embedding are one matrix.
    fn tie(&mut self) -> Tie<'_>;

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
    /// Qwen3, dense and without a sliding window.
    #[serde(rename = "qwen3")]
    Qwen3(Qwen3Config),
    /// SmolLM3, some of whose blocks have no positions.
    #[serde(rename = "smollm3")]
    SmolLm3(SmolLm3Config),
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
        let text = read_text(path)?;
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
            Self::Qwen3(config) => config,
            Self::SmolLm3(config) => config,
            Self::Opt(config) => config,
            Self::NeoX(config) => config,
            Self::Mpt(config) => config,
            Self::MosaicGpt(config) => config,
        }
    }

    fn architecture_mut(&mut self) -> &mut dyn Architecture {
        match self {
            Self::Llama(config) => config,
            Self::Mistral(config) => config,
            Self::Qwen3(config) => config,
            Self::SmolLm3(config) => config,
            Self::Opt(config) => config,
            Self::NeoX(config) => config,
            Self::Mpt(config) => config,
            Self::MosaicGpt(config) => config,
        }
    }

    pub(crate) fn shared_names(&self) -> SharedNames {
        self.architecture().shared_names()
    }

    pub(crate) fn tie(&mut self) -> Tie<'_> {
        self.architecture_mut().tie()
    }

    /// What is wrong with the numbers, in one sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        self.architecture().problem()
    }

    /// Rows of the embedding.
    pub fn vocab_size(&self) -> usize {
        self.architecture().vocab_size()
    }

    /// This crate's name of a checkpoint's tensor; nothing for a buffer.
    pub fn rename(&self, name: &str) -> Option<String> {
        self.architecture().rename(name)
    }

    /// The model, its tensors asked from `vb`.
    pub fn build(&self, vb: Builder) -> CandleResult<Box<dyn CausalLm>> {
        self.architecture().build(vb)
    }
}

/// Fields for which `null` says what absence says.
const OPTIONAL: [&str; 9] = [
    "rope_scaling",
    "rope_parameters",
    "rope_theta",
    "rotary_emb_base",
    "original_max_position_embeddings",
    "attention_bias",
    "mlp_bias",
    "attn_config",
    "no_rope_layers",
];

/// The rotary settings of transformers up to version 4, and since version 5.
const ROPE: [&str; 2] = ["rope_scaling", "rope_parameters"];

/// Drops what says nothing or says it twice, gives a field its newer name, and says what a class
/// assumes where it is not what LLaMA's does.
fn tidy(fields: &mut Map<String, Value>) {
    fields.retain(|name, value| !(value.is_null() && OPTIONAL.contains(&name.as_str())));
    tidy_rope(fields);
    let family = fields.get("model_type").and_then(Value::as_str).unwrap_or_default();
    let class: &[(&str, Value)] = match family {
        "mistral" => &[("max_position_embeddings", json!(131_072))],
        "qwen3" => &[
            ("max_position_embeddings", json!(32_768)),
            ("num_key_value_heads", json!(32)),
            ("head_dim", json!(128)),
        ],
        "smollm3" => &[
            ("max_position_embeddings", json!(32_768)),
            ("num_key_value_heads", json!(4)),
            ("rope_theta", json!(2_000_000.)),
            ("tie_word_embeddings", json!(true)),
        ],
        _ => &[],
    };
    // the first LLaMA files; later ones have both
    let old = fields.get("max_sequence_length").filter(|length| !length.is_null());
    if let (false, Some(length)) = (fields.contains_key("max_position_embeddings"), old.cloned()) {
        fields.insert("max_position_embeddings".to_owned(), length);
    }
    for (name, value) in class {
        fields.entry(*name).or_insert_with(|| value.clone());
    }
}

/// Leaves one object of rotary settings: `rope_scaling` where both are there, as transformers does.
/// The original length of Llama 3's rule is the one beside that object, where there is one, else the
/// one in it, else the longest sequence.
fn tidy_rope(fields: &mut Map<String, Value>) {
    for name in ROPE {
        if fields.get(name).and_then(Value::as_object).is_some_and(Map::is_empty) {
            fields.remove(name);
        }
    }
    if ROPE.iter().all(|name| fields.contains_key(*name)) {
        fields.remove(ROPE[1]);
    }
    let original = "original_max_position_embeddings";
    let beside = fields.get(original).cloned();
    let longest = fields.get("max_position_embeddings").cloned();
    let partial = fields.get("partial_rotary_factor").filter(|part| !part.is_null()).cloned();
    let Some(rope) = ROPE.iter().find(|name| fields.contains_key(**name)) else {
        if let Some(partial) = partial {
            fields.insert(ROPE[1].to_owned(), json!({ "partial_rotary_factor": partial }));
        }
        return;
    };
    let Some(rope) = fields.get_mut(*rope).and_then(Value::as_object_mut) else { return };
    let kind = ["rope_type", "type"].iter().find_map(|name| rope.get(*name)?.as_str());
    if kind == Some("llama3") {
        if let Some(beside) = beside {
            rope.insert(original.to_owned(), beside);
        } else if let (false, Some(longest)) = (rope.contains_key(original), longest) {
            rope.insert(original.to_owned(), longest);
        }
    }
    if let (false, Some(partial)) = (rope.contains_key("partial_rotary_factor"), partial) {
        rope.insert("partial_rotary_factor".to_owned(), partial);
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
        for old in ["null", "{}", rope] {
            let both = format!(r#", "rope_scaling": {old}, "rope_parameters": {rope}"#);
            assert_eq!(llama(&both), new);
        }
    }

    #[test]
    fn of_two_rotary_settings_the_older_name_counts() {
        // transformers 5.24: `rope_scaling or rope_parameters`, the base from beside them
        let both = llama(
            r#", "rope_theta": 300.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0},
            "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}"#,
        );
        let rope = both.rope_scaling.clone().unwrap();
        assert_eq!(rope.scaling, crate::RopeScaling::Linear { factor: 2. });
        assert_eq!((rope.theta, both.rope_theta), (None, 300.));
    }

    #[test]
    fn the_original_length_of_llama_3_is_read_beside_the_rule_in_it_or_is_the_longest() {
        let original = |fields: &str, rule: &str| {
            let text = format!(
                r#", "max_position_embeddings": 4096 {fields}, "rope_scaling": {{"factor": 8.0,
                "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_type": "llama3" {rule}}}"#
            );
            match llama(&text).rope_scaling.unwrap().scaling {
                crate::RopeScaling::Llama3 { original, .. } => original,
                other => panic!("{other:?}"),
            }
        };
        let (beside, inside) = (
            r#", "original_max_position_embeddings": 512"#,
            r#", "original_max_position_embeddings": 256"#,
        );
        assert_eq!(original("", inside), 256.);
        assert_eq!(original(beside, ""), 512.);
        assert_eq!(original(beside, inside), 512.);
        assert_eq!(original("", ""), 4096.);
    }

    #[test]
    fn bare_files_of_qwen3_and_smollm3_are_what_their_classes_assume() {
        let read = |family: &str| {
            let text = format!(
                r#"{{"model_type": "{family}", "hidden_size": 64, "intermediate_size": 96,
                "num_attention_heads": 32, "num_hidden_layers": 2, "vocab_size": 10}}"#
            );
            LmConfig::parse(&text).unwrap()
        };
        let LmConfig::Qwen3(Qwen3Config { llama: qwen, .. }) = read("qwen3") else {
            panic!("no Qwen3")
        };
        let heads = (qwen.head_dim, qwen.num_key_value_heads, qwen.tie_word_embeddings);
        assert_eq!(heads, (Some(128), Some(32), false));
        let LmConfig::SmolLm3(SmolLm3Config { llama: smol, .. }) = read("smollm3") else {
            panic!("no SmolLM3")
        };
        assert_eq!((smol.rope_theta, smol.tie_word_embeddings), (2e6, true));
        assert_eq!((smol.max_position_embeddings, smol.num_key_value_heads), (32_768, Some(4)));
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
