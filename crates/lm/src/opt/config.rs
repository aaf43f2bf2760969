//! `config.json` of OPT.

use candle_core::Result;
use nn::Builder;
use serde::{Deserialize, Serialize};

use crate::config::{Architecture, n_positions, yes};
use crate::limits::{self, LAYERS, POSITIONS, VOCABULARY, WIDTH};
use crate::names::rooted;
use crate::tie::{SharedNames, Tie};
use crate::{Activation, CausalLm, Opt};

/// The fields of Hugging Face's `config.json` that shape the model; others are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Hidden width of the feed-forward.
    pub ffn_dim: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the embedding's rows; absent: that of the residual stream.
    #[serde(default)]
    pub word_embed_proj_dim: Option<usize>,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Longest sequence.
    #[serde(default = "n_positions")]
    pub max_position_embeddings: usize,
    /// Non-linearity of the feed-forward.
    #[serde(default = "activation_function")]
    pub activation_function: Activation,
    /// Whether a norm stands before attention and feed-forward, or after (the 350M model).
    #[serde(default = "yes")]
    pub do_layer_norm_before: bool,
    /// Whether the norm after the last block is left out all the same.
    #[serde(default, rename = "_remove_final_layer_norm")]
    pub remove_final_layer_norm: bool,
    /// Whether linear maps have biases.
    #[serde(default = "yes")]
    pub enable_bias: bool,
    /// Whether norms have weights and biases; those without are refused.
    #[serde(default = "yes")]
    pub layer_norm_elementwise_affine: bool,
    /// Whether the head is the embedding.
    #[serde(default = "yes")]
    pub tie_word_embeddings: bool,
}

/// The value that Hugging Face's class assumes where a file does not say.
fn activation_function() -> Activation {
    Activation::Relu
}

impl OptConfig {
    /// The smallest useful model, for tests: two blocks, an embedding narrower than the tokens.
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            hidden_size: 12,
            ffn_dim: 20,
            vocab_size,
            word_embed_proj_dim: Some(8),
            num_hidden_layers: 2,
            num_attention_heads: 3,
            max_position_embeddings: 32,
            activation_function: Activation::Relu,
            do_layer_norm_before: true,
            remove_final_layer_norm: false,
            enable_bias: true,
            layer_norm_elementwise_affine: true,
            tie_word_embeddings: true,
        }
    }

    /// Width of the embedding's rows.
    pub(crate) fn embedding_dim(&self) -> usize {
        self.word_embed_proj_dim.unwrap_or(self.hidden_size)
    }

    /// Whether a norm follows the last block.
    pub(crate) fn has_final_norm(&self) -> bool {
        self.do_layer_norm_before && !self.remove_final_layer_norm
    }
}

impl Architecture for OptConfig {
    fn problem(&self) -> Option<String> {
        let Self { hidden_size, num_attention_heads: heads, .. } = *self;
        let counts = limits::count(&[
            ("num_hidden_layers", self.num_hidden_layers, LAYERS),
            ("vocab_size", self.vocab_size, VOCABULARY),
            ("hidden_size", hidden_size, WIDTH),
            ("ffn_dim", self.ffn_dim, WIDTH),
            ("word_embed_proj_dim", self.embedding_dim(), WIDTH),
            ("max_position_embeddings", self.max_position_embeddings, POSITIONS),
        ]);
        if counts.is_some() {
            return counts;
        }
        if heads == 0 || hidden_size % heads != 0 {
            return Some(format!("hidden_size {hidden_size} does not split into {heads} heads"));
        }
        (!self.layer_norm_elementwise_affine)
            .then(|| "norms without weights are not supported".to_owned())
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn rename(&self, name: &str) -> Option<String> {
        let version = name.ends_with("decoder.version");
        (!version).then(|| rooted("model.", &["decoder."], name))
    }

    fn shared_names(&self) -> SharedNames {
        SharedNames { embedding: "model.decoder.embed_tokens.weight", head: "lm_head.weight" }
    }

    fn tie(&mut self) -> Tie<'_> {
        Tie::Switch(&mut self.tie_word_embeddings)
    }

    fn build(&self, vb: Builder) -> Result<Box<dyn CausalLm>> {
        Ok(Box::new(Opt::new(self, vb)?))
    }
}
