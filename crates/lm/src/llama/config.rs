//! `config.json` of LLaMA and of the models with its blocks.

use candle_core::Result;
use nn::Builder;
use serde::{Deserialize, Serialize};

use crate::config::{Architecture, n_positions};
use crate::limits::{self, LAYERS, POSITIONS, VOCABULARY, WIDTH};
use crate::names::rooted;
use crate::tie::{SharedNames, Tie};
use crate::{Activation, CausalLm, Llama, Rope, RopeScaling};

/// The fields of Hugging Face's `config.json` that shape the model; others are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LlamaConfig {
    /// Width of a token.
    pub hidden_size: usize,
    /// Hidden width of the feed-forward.
    pub intermediate_size: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; absent: as many as query heads.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Width of a head; absent: the heads share the width of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Added to the mean square in every norm.
    #[serde(default = "rms_norm_eps")]
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    #[serde(default = "rope_theta")]
    pub rope_theta: f64,
    /// How the rotary positions are stretched.
    #[serde(default, alias = "rope_parameters", skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<Rope>,
    /// Longest sequence.
    #[serde(default = "n_positions")]
    pub max_position_embeddings: usize,
    /// Non-linearity of the feed-forward's gate.
    #[serde(default = "hidden_act")]
    pub hidden_act: Activation,
    /// Whether the attention's four linear maps have biases.
    #[serde(default)]
    pub attention_bias: bool,
    /// Whether the feed-forward's three linear maps have biases.
    #[serde(default)]
    pub mlp_bias: bool,
    /// Whether the head is the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
}

// the values that Hugging Face's class assumes where a file does not say

fn rms_norm_eps() -> f64 {
    1e-6
}

fn rope_theta() -> f64 {
    10_000.
}

fn hidden_act() -> Activation {
    Activation::Silu
}

impl LlamaConfig {
    /// The smallest useful model, for tests: two blocks, two key heads for four query heads.
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            hidden_size: 16,
            intermediate_size: 24,
            vocab_size,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: Some(2),
            head_dim: None,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.,
            rope_scaling: None,
            max_position_embeddings: 64,
            hidden_act: Activation::Silu,
            attention_bias: false,
            mlp_bias: false,
            tie_word_embeddings: true,
        }
    }

    /// Key and value heads.
    pub(crate) fn n_kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub(crate) fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads)
    }

    fn scaling(&self) -> &RopeScaling {
        self.rope_scaling.as_ref().map_or(&RopeScaling::Plain, |rope| &rope.scaling)
    }

    /// Base of the rotary frequencies, from where it is said.
    fn theta(&self) -> f64 {
        self.rope_scaling.as_ref().and_then(|rope| rope.theta).unwrap_or(self.rope_theta)
    }

    /// All that is said of the rotary positions.
    pub(crate) fn rope(&self) -> Rope {
        Rope { theta: Some(self.theta()), ..self.rope_scaling.clone().unwrap_or_default() }
    }

    /// The rotary frequencies, one a pair.
    pub(crate) fn frequencies(&self) -> Vec<f64> {
        self.scaling().frequencies(self.head_dim(), self.theta())
    }

    /// What cosines and sines of the rotary positions are multiplied with.
    pub(crate) fn rotary_magnitude(&self) -> f64 {
        self.rope_scaling.as_ref().and_then(|rope| rope.magnitude).unwrap_or(1.)
    }

    /// Longest sequence that the stretched positions reach.
    pub(crate) fn n_positions(&self) -> usize {
        self.scaling().reach(self.max_position_embeddings)
    }
}

impl Architecture for LlamaConfig {
    fn problem(&self) -> Option<String> {
        let Self { hidden_size, num_attention_heads: heads, .. } = *self;
        let kv = self.n_kv_heads();
        let counts = limits::count(&[
            ("num_hidden_layers", self.num_hidden_layers, LAYERS),
            ("vocab_size", self.vocab_size, VOCABULARY),
            ("hidden_size", hidden_size, WIDTH),
            ("intermediate_size", self.intermediate_size, WIDTH),
            ("max_position_embeddings", self.max_position_embeddings, POSITIONS),
        ]);
        if let Some(problem) = counts
            .or_else(|| limits::positive("rope_theta", self.theta()))
            .or_else(|| limits::eps("rms_norm_eps", self.rms_norm_eps))
        {
            return Some(problem);
        }
        if heads == 0 || (self.head_dim.is_none() && hidden_size % heads != 0) {
            return Some(format!("hidden_size {hidden_size} does not split into {heads} heads"));
        }
        let head_dim = self.head_dim();
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Some(format!("rotary positions need heads of even width, found {head_dim}"));
        }
        if kv == 0 || heads % kv != 0 {
            return Some(format!("{heads} query heads cannot share {kv} key-value heads"));
        }
        if self.rope_scaling.as_ref().and_then(|rope| rope.partial).is_some_and(|part| part != 1.) {
            return Some("a LLaMA that rotates only a part of each head is not known".to_owned());
        }
        let width = heads.saturating_mul(head_dim);
        limits::count(&[("num_attention_heads × head_dim", width, WIDTH)])
            .or_else(|| self.scaling().problem(head_dim, self.max_position_embeddings))
            .or_else(|| limits::positive("magnitude of the rotary table", self.rotary_magnitude()))
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn rename(&self, name: &str) -> Option<String> {
        let buffer = name.ends_with(".rotary_emb.inv_freq");
        let children = ["embed_tokens.", "layers.", "norm."];
        (!buffer).then(|| rooted("model.", &children, name))
    }

    fn shared_names(&self) -> SharedNames {
        SharedNames { embedding: "model.embed_tokens.weight", head: "lm_head.weight" }
    }

    fn tie(&mut self) -> Tie<'_> {
        Tie::Switch(&mut self.tie_word_embeddings)
    }

    fn build(&self, vb: Builder) -> Result<Box<dyn CausalLm>> {
        Ok(Box::new(Llama::new(self, vb)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MistralConfig;

    fn problem(edit: impl Fn(&mut LlamaConfig)) -> String {
        let mut config = LlamaConfig::tiny(10);
        edit(&mut config);
        config.problem().unwrap()
    }

    #[test]
    fn numbers_that_fit_no_model_are_named() {
        assert_eq!(LlamaConfig::tiny(10).problem(), None);
        assert!(problem(|c| c.num_attention_heads = 3).contains("16 does not split into 3 heads"));
        assert!(problem(|c| c.num_attention_heads = 0).contains("into 0 heads"));
        assert!(problem(|c| c.head_dim = Some(5)).contains("even width, found 5"));
        assert!(problem(|c| c.num_key_value_heads = Some(3)).contains("cannot share 3"));
        let partial = Rope { partial: Some(0.5), ..Rope::default() };
        assert!(problem(|c| c.rope_scaling = Some(partial.clone())).contains("only a part"));
    }

    #[test]
    fn numbers_out_of_all_proportion_are_refused_with_what_was_expected() {
        let layers = problem(|c| c.num_hidden_layers = 99_999_999);
        assert_eq!(layers, "num_hidden_layers is 99999999, expected 1 to 1000");
        let positions = problem(|c| c.max_position_embeddings = 1_000_000_000_000);
        assert_eq!(positions, "max_position_embeddings is 1000000000000, expected 1 to 16777216");
        assert!(problem(|c| c.max_position_embeddings = 0).contains("embeddings is 0, expected"));
        assert!(problem(|c| c.num_hidden_layers = 0).contains("num_hidden_layers is 0, expected"));
        assert!(problem(|c| c.vocab_size = 0).contains("vocab_size is 0, expected 1 to"));
        assert!(problem(|c| c.vocab_size = 1 << 25).contains("vocab_size is 33554432"));
        assert!(problem(|c| c.hidden_size = 1 << 21).contains("hidden_size is 2097152"));
        assert!(problem(|c| c.intermediate_size = 0).contains("intermediate_size is 0"));
        let heads = problem(|c| c.head_dim = Some(usize::MAX - 1));
        assert!(heads.contains("num_attention_heads × head_dim is"), "{heads}");
        for (theta, found) in [(0., "is 0,"), (-1e4, "is -10000,"), (f64::INFINITY, "is inf,")] {
            assert!(problem(|c| c.rope_theta = theta).contains(&format!("rope_theta {found}")));
            let rope = Rope { theta: Some(theta), ..Rope::default() };
            let moved = problem(|c| c.rope_scaling = Some(rope.clone()));
            assert!(moved.contains(&format!("rope_theta {found}")), "{moved}");
        }
        assert!(problem(|c| c.rms_norm_eps = -1e-6).contains("rms_norm_eps is -0.000001"));
        let mistral = LlamaConfig { max_position_embeddings: 1 << 30, ..LlamaConfig::tiny(10) };
        let mistral = MistralConfig { llama: mistral, sliding_window: Some(4096) };
        assert!(mistral.problem().unwrap().contains("max_position_embeddings is"));
    }

    #[test]
    fn names_of_a_bare_model_get_their_root_and_buffers_are_dropped() {
        let tied = LlamaConfig::tiny(10);
        let untied = LlamaConfig { tie_word_embeddings: false, ..tied.clone() };
        for (config, name, expected) in [
            (&tied, "layers.0.mlp.up_proj.weight", Some("model.layers.0.mlp.up_proj.weight")),
            (&tied, "model.norm.weight", Some("model.norm.weight")),
            (&tied, "model.layers.0.self_attn.rotary_emb.inv_freq", None),
            (&tied, "lm_head.weight", Some("lm_head.weight")),
            (&untied, "lm_head.weight", Some("lm_head.weight")),
            (&tied, "stray", Some("stray")),
        ] {
            assert_eq!(config.rename(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_rotary_base_is_read_from_either_place() {
        let text = |entries: &str| {
            let config = serde_json::to_string(&LlamaConfig::tiny(10)).unwrap();
            let text = config.replacen('{', &format!("{{{entries},"), 1);
            serde_json::from_str::<LlamaConfig>(&text).unwrap()
        };
        let new = text(r#""rope_parameters": {"rope_type": "default", "rope_theta": 100.0}"#);
        assert_eq!(new.frequencies(), vec![1., 0.1]);
        let old = text(r#""rope_scaling": null"#);
        assert_eq!(old.frequencies(), vec![1., 0.01]);
    }
}
