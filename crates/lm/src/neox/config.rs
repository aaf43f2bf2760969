//! `config.json` of GPT-NeoX.

use candle_core::Result;
use nn::Builder;
use serde::{Deserialize, Serialize};

use crate::config::{Architecture, n_positions, yes};
use crate::limits::{self, LAYERS, POSITIONS, VOCABULARY, WIDTH};
use crate::names::rooted;
use crate::tie::{SharedNames, Tie};
use crate::{Activation, CausalLm, NeoX, Rope};

/// The fields of Hugging Face's `config.json` that shape the model; others are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeoXConfig {
    /// Width of a token.
    pub hidden_size: usize,
    /// Hidden width of the feed-forward.
    pub intermediate_size: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Longest sequence.
    #[serde(default = "n_positions")]
    pub max_position_embeddings: usize,
    /// Non-linearity of the feed-forward.
    #[serde(default = "hidden_act")]
    pub hidden_act: Activation,
    /// Share of each head that is rotated, from its first entry on.
    #[serde(default = "rotary_pct")]
    pub rotary_pct: f64,
    /// Base of the rotary frequencies.
    #[serde(default = "rotary_emb_base")]
    pub rotary_emb_base: f64,
    /// How the rotary positions are stretched.
    #[serde(default, alias = "rope_parameters", skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<Rope>,
    /// Added to the variance in every norm.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
    /// Whether attention and feed-forward read the same tokens, or the latter what the former made.
    #[serde(default = "yes")]
    pub use_parallel_residual: bool,
    /// Whether the attention's linear maps have biases.
    #[serde(default = "yes")]
    pub attention_bias: bool,
    /// Whether the head is the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
}

// the values that Hugging Face's class assumes where a file does not say

fn hidden_act() -> Activation {
    Activation::Gelu
}

fn rotary_pct() -> f64 {
    0.25
}

fn rotary_emb_base() -> f64 {
    10_000.
}

fn layer_norm_eps() -> f64 {
    1e-5
}

impl NeoXConfig {
    /// The smallest useful model, for tests: two blocks, half of each head rotated.
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            hidden_size: 16,
            intermediate_size: 24,
            vocab_size,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            max_position_embeddings: 32,
            hidden_act: hidden_act(),
            rotary_pct: 0.5,
            rotary_emb_base: rotary_emb_base(),
            rope_scaling: None,
            layer_norm_eps: layer_norm_eps(),
            use_parallel_residual: true,
            attention_bias: true,
            tie_word_embeddings: false,
        }
    }

    fn rope(&self) -> Rope {
        self.rope_scaling.clone().unwrap_or_default()
    }

    /// Width of a head.
    pub(crate) fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Entries of each head that are rotated.
    pub(crate) fn n_rotated(&self) -> usize {
        let part = self.rope().partial.unwrap_or(self.rotary_pct);
        (self.head_dim() as f64 * part) as usize
    }

    /// The rotary frequencies, one a pair.
    pub(crate) fn frequencies(&self) -> Vec<f64> {
        let Rope { scaling, theta, .. } = self.rope();
        scaling.frequencies(self.n_rotated(), theta.unwrap_or(self.rotary_emb_base))
    }

    /// Longest sequence that the stretched positions reach.
    pub(crate) fn n_positions(&self) -> usize {
        self.rope().scaling.reach(self.max_position_embeddings)
    }
}

impl Architecture for NeoXConfig {
    fn problem(&self) -> Option<String> {
        let Self { hidden_size, num_attention_heads: heads, .. } = *self;
        let base = self.rope().theta.map_or(("rotary_emb_base", self.rotary_emb_base), |theta| {
            ("rope_theta", theta) // the name that it has beside the scaling
        });
        let counts = limits::count(&[
            ("num_hidden_layers", self.num_hidden_layers, LAYERS),
            ("vocab_size", self.vocab_size, VOCABULARY),
            ("hidden_size", hidden_size, WIDTH),
            ("intermediate_size", self.intermediate_size, WIDTH),
            ("max_position_embeddings", self.max_position_embeddings, POSITIONS),
        ]);
        if let Some(problem) = counts
            .or_else(|| limits::positive(base.0, base.1))
            .or_else(|| limits::eps("layer_norm_eps", self.layer_norm_eps))
        {
            return Some(problem);
        }
        if heads == 0 || hidden_size % heads != 0 {
            return Some(format!("hidden_size {hidden_size} does not split into {heads} heads"));
        }
        let (rotated, head_dim) = (self.n_rotated(), self.head_dim());
        if rotated == 0 || rotated % 2 != 0 || rotated > head_dim {
            return Some(format!(
                "rotary positions need an even part of each head of {head_dim}, found {rotated}"
            ));
        }
        self.rope().scaling.problem(rotated, self.max_position_embeddings)
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn rename(&self, name: &str) -> Option<String> {
        let buffers = [".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"];
        let buffer = buffers.iter().any(|buffer| name.ends_with(buffer));
        let children = ["embed_in.", "layers.", "final_layer_norm."];
        (!buffer).then(|| rooted("gpt_neox.", &children, name))
    }

    fn shared_names(&self) -> SharedNames {
        SharedNames { embedding: "gpt_neox.embed_in.weight", head: "embed_out.weight" }
    }

    fn tie(&mut self) -> Tie<'_> {
        Tie::Switch(&mut self.tie_word_embeddings)
    }

    fn build(&self, vb: Builder) -> Result<Box<dyn CausalLm>> {
        Ok(Box::new(NeoX::new(self, vb)?))
    }
}
