//! `config.json` of MPT and of MosaicGPT, and what both come down to.

use candle_core::Result;
use nn::Builder;
use serde::{Deserialize, Serialize};

use crate::config::{Architecture, n_positions, yes};
use crate::limits::{self, LAYERS, POSITIONS, VOCABULARY, WIDTH};
use crate::names::rooted;
use crate::tie::{SharedNames, Tie};
use crate::{CausalLm, Mpt};

/// The fields of MPT's `config.json` that shape the model; others are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MptConfig {
    /// Width of a token.
    pub d_model: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Hidden width of the feed-forward over that of a token.
    #[serde(default = "four")]
    pub expansion_ratio: f64,
    /// Longest sequence.
    #[serde(default = "n_positions")]
    pub max_seq_len: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// The attention.
    #[serde(default)]
    pub attn_config: MptAttentionConfig,
    /// Added to the variance in every norm.
    #[serde(default = "layer_norm_epsilon")]
    pub layer_norm_epsilon: f64,
    /// Whether linear maps and norms go without biases.
    #[serde(default = "yes")]
    pub no_bias: bool,
    /// Kind of norm; kinds of layer norm are known.
    #[serde(default = "norm_type")]
    pub norm_type: String,
    /// What the logits are multiplied with.
    #[serde(default)]
    pub logit_scale: Option<LogitScale>,
    /// Whether positions are learned, where ALiBi is off.
    #[serde(default = "yes")]
    pub learned_pos_emb: bool,
    /// Whether the head is the embedding.
    #[serde(default = "yes")]
    pub tie_word_embeddings: bool,
}

/// The attention's part of [`MptConfig`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MptAttentionConfig {
    /// Kind of attention; `multihead_attention` is known.
    #[serde(default = "attn_type")]
    pub attn_type: String,
    /// Whether scores carry the bias of ALiBi.
    #[serde(default = "yes")]
    pub alibi: bool,
    /// Exponent of the last head's slope.
    #[serde(default = "eight")]
    pub alibi_bias_max: f64,
    /// Largest size of an entry of queries, keys and values.
    #[serde(default)]
    pub clip_qkv: Option<f64>,
    /// What scores are multiplied with; absent: one over the root of the head's width.
    #[serde(default)]
    pub softmax_scale: Option<f64>,
    /// Whether queries and keys are normed over their whole width.
    #[serde(default)]
    pub qk_ln: bool,
    /// Whether queries and keys are normed in groups; not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qk_gn: Option<bool>,
    /// Whether a prefix sees itself whole; not known.
    #[serde(default)]
    pub prefix_lm: Option<bool>,
    /// Whether positions are rotary; not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope: Option<bool>,
}

/// What the models' own class assumes where a file does not say.
impl Default for MptAttentionConfig {
    fn default() -> Self {
        Self {
            attn_type: attn_type(),
            alibi: true,
            alibi_bias_max: eight(),
            clip_qkv: None,
            softmax_scale: None,
            qk_ln: false,
            qk_gn: None,
            prefix_lm: None,
            rope: None,
        }
    }
}

/// The fields of MosaicGPT's `config.json` that shape the model; others are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MosaicGptConfig {
    /// Width of a token.
    pub d_model: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Hidden width of the feed-forward over that of a token.
    #[serde(default = "four")]
    pub mlp_ratio: f64,
    /// Longest sequence.
    pub max_seq_len: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Whether queries and keys are normed over their whole width.
    #[serde(default)]
    pub attn_qk_ln: bool,
    /// Largest size of an entry of queries, keys and values.
    #[serde(default)]
    pub attn_clip_qkv: Option<f64>,
    /// What scores are multiplied with; absent: one over the root of the head's width.
    #[serde(default)]
    pub softmax_scale: Option<f64>,
    /// Whether a prefix sees itself whole; not known.
    #[serde(default)]
    pub prefix_lm: Option<bool>,
    /// Whether scores carry the bias of ALiBi; without it positions are learned.
    #[serde(default)]
    pub alibi: bool,
    /// Exponent of the last head's slope.
    #[serde(default = "eight")]
    pub alibi_bias_max: f64,
    /// What the logits are multiplied with.
    #[serde(default)]
    pub logit_scale: Option<LogitScale>,
    /// Whether linear maps and norms go without biases.
    #[serde(default)]
    pub no_bias: bool,
}

/// What the logits are multiplied with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LogitScale {
    /// This.
    Number(f64),
    /// `inv_sqrt_d_model`: one over the root of the width.
    Named(String),
}

// the values that the models' own classes assume where a file does not say

fn four() -> f64 {
    4.
}

fn eight() -> f64 {
    8.
}

fn layer_norm_epsilon() -> f64 {
    1e-5
}

fn norm_type() -> String {
    "low_precision_layernorm".to_owned()
}

fn attn_type() -> String {
    "multihead_attention".to_owned()
}

/// The numbers that both dialects have.
struct Common<'a> {
    dim: usize,
    n_heads: usize,
    n_layers: usize,
    /// Hidden width of the feed-forward, and what it is the product of.
    hidden: (&'static str, f64),
    max_seq_len: usize,
    vocab_size: usize,
    logit_scale: Option<&'a LogitScale>,
}

/// What is wrong with them.
fn problem(config: &Common) -> Option<String> {
    let Common { dim, n_heads, logit_scale: scale, .. } = *config;
    let counts = limits::count(&[
        ("n_layers", config.n_layers, LAYERS),
        ("vocab_size", config.vocab_size, VOCABULARY),
        ("d_model", dim, WIDTH),
        (config.hidden.0, config.hidden.1 as usize, WIDTH),
        ("max_seq_len", config.max_seq_len, POSITIONS),
    ]);
    if counts.is_some() {
        return counts;
    }
    if n_heads == 0 || !dim.is_multiple_of(n_heads) {
        return Some(format!("d_model {dim} does not split into {n_heads} heads"));
    }
    match scale {
        Some(LogitScale::Named(name)) if name != "inv_sqrt_d_model" => {
            Some(format!("found logit_scale `{name}`, expected a number or `inv_sqrt_d_model`"))
        }
        _ => None,
    }
}

const SHARED_NAMES: SharedNames =
    SharedNames { embedding: "transformer.wte.weight", head: "lm_head.weight" };

/// Puts the root where it is missing, and leaves one where it stands twice.
fn rename(name: &str) -> String {
    let name = match name.strip_prefix("transformer.") {
        Some(rest) if rest.starts_with("transformer.") => rest,
        _ => name,
    };
    let children = ["wte.", "wpe.", "blocks.", "norm_f.", "ln_f."];
    rooted("transformer.", &children, name)
}

impl MptConfig {
    /// The smallest useful model, for tests: two blocks, three heads under ALiBi.
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            d_model: 12,
            n_heads: 3,
            n_layers: 2,
            expansion_ratio: 2.,
            max_seq_len: 32,
            vocab_size,
            attn_config: MptAttentionConfig::default(),
            layer_norm_epsilon: layer_norm_epsilon(),
            no_bias: true,
            norm_type: norm_type(),
            logit_scale: None,
            learned_pos_emb: true,
            tie_word_embeddings: true,
        }
    }

    fn common(&self) -> Common<'_> {
        Common {
            dim: self.d_model,
            n_heads: self.n_heads,
            n_layers: self.n_layers,
            hidden: ("d_model × expansion_ratio", self.d_model as f64 * self.expansion_ratio),
            max_seq_len: self.max_seq_len,
            vocab_size: self.vocab_size,
            logit_scale: self.logit_scale.as_ref(),
        }
    }
}

impl Architecture for MptConfig {
    fn problem(&self) -> Option<String> {
        let attention = &self.attn_config;
        let unknown = [
            ("attn_config.prefix_lm", attention.prefix_lm),
            ("attn_config.qk_gn", attention.qk_gn),
            ("attn_config.rope", attention.rope),
        ];
        if let Some((name, _)) = unknown.into_iter().find(|(_, switch)| *switch == Some(true)) {
            return Some(format!("{name} is true, which is not supported"));
        }
        if attention.attn_type != attn_type() {
            let found = &attention.attn_type;
            return Some(format!("found attn_type `{found}`, expected `{}`", attn_type()));
        }
        if !self.norm_type.ends_with("layernorm") {
            return Some(format!("found norm_type `{}`, expected a layer norm", self.norm_type));
        }
        limits::eps("layer_norm_epsilon", self.layer_norm_epsilon)
            .or_else(|| problem(&self.common()))
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn rename(&self, name: &str) -> Option<String> {
        Some(rename(name))
    }

    fn shared_names(&self) -> SharedNames {
        SHARED_NAMES
    }

    fn tie(&mut self) -> Tie<'_> {
        Tie::Switch(&mut self.tie_word_embeddings)
    }

    fn build(&self, vb: Builder) -> Result<Box<dyn CausalLm>> {
        Ok(Box::new(Mpt::new(self, vb)?))
    }
}

impl MosaicGptConfig {
    /// The smallest useful model, for tests: two blocks, normed queries and keys under ALiBi.
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            d_model: 12,
            n_heads: 3,
            n_layers: 2,
            mlp_ratio: 2.,
            max_seq_len: 32,
            vocab_size,
            attn_qk_ln: true,
            attn_clip_qkv: None,
            softmax_scale: None,
            prefix_lm: None,
            alibi: true,
            alibi_bias_max: eight(),
            logit_scale: None,
            no_bias: true,
        }
    }

    fn common(&self) -> Common<'_> {
        Common {
            dim: self.d_model,
            n_heads: self.n_heads,
            n_layers: self.n_layers,
            hidden: ("d_model × mlp_ratio", self.d_model as f64 * self.mlp_ratio),
            max_seq_len: self.max_seq_len,
            vocab_size: self.vocab_size,
            logit_scale: self.logit_scale.as_ref(),
        }
    }
}

impl Architecture for MosaicGptConfig {
    fn problem(&self) -> Option<String> {
        if self.prefix_lm == Some(true) {
            return Some("prefix_lm is true, which is not supported".to_owned());
        }
        problem(&self.common())
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn rename(&self, name: &str) -> Option<String> {
        Some(rename(name))
    }

    fn shared_names(&self) -> SharedNames {
        SHARED_NAMES
    }

    fn tie(&mut self) -> Tie<'_> {
        Tie::Always
    }

    fn build(&self, vb: Builder) -> Result<Box<dyn CausalLm>> {
        Ok(Box::new(Mpt::new(self, vb)?))
    }
}
