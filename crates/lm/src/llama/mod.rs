//! LLaMA (Touvron et al. 2023): RMS norms, rotary positions, grouped queries, gated SiLU.
//!
//! ```text
//! ids ─ embed ─ [norm ─ attention ─ +  norm ─ SwiGLU ─ +] × n_blocks ─ norm ─ head ─ logits
//! ```
//! Tensor names and the half-split rotary pairs are those of Hugging Face's `LlamaForCausalLM`.

mod config;
mod kin;
#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor};
use nn::{Builder, Linear, RmsNorm, split_heads, view_heads};

pub use self::config::LlamaConfig;
pub(crate) use self::kin::Variant;
pub use self::kin::{MistralConfig, Qwen3Config, SmolLm3Config};
use crate::attend::{Past, attend};
use crate::embedding::Embedding;
use crate::rotary::Rotary;
use crate::{Activation, Cache, CausalLm, LmShape, PaddedRows, Step};

/// A LLaMA-architecture language model. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Llama {
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: RmsNorm,
    head: Linear,
    shape: LmShape,
}

impl Llama {
    /// Reads `model.embed_tokens`, `model.layers.N`, `model.norm` and, when untied, `lm_head`.
    pub fn new(config: &LlamaConfig, vb: Builder) -> Result<Self> {
        Self::of(config, &Variant::default(), vb)
    }

    /// The same for a model whose blocks differ.
    pub(crate) fn of(config: &LlamaConfig, variant: &Variant, vb: Builder) -> Result<Self> {
        let dim = config.hidden_size;
        let model = vb.pp("model");
        let embedding = Embedding::new(config.vocab_size, dim, model.pp("embed_tokens"))?;
        let rotary = Rotary::new(config.frequencies(), config.n_positions(), vb.ops());
        let rotary = rotary.magnified(config.rotary_magnitude());
        let block = |idx: usize| {
            let rotary = (!variant.unrotated.contains(&idx)).then_some(&rotary);
            Block::new(config, rotary, variant.normed_heads, model.pp("layers").pp(idx))
        };
        Ok(Self {
            head: embedding.head(config.tie_word_embeddings, vb.pp("lm_head"))?,
            embedding,
            blocks: (0..config.num_hidden_layers).map(block).collect::<Result<_>>()?,
            norm: RmsNorm::new(dim, config.rms_norm_eps, model.pp("norm"))?,
            shape: LmShape {
                dim,
                embedding_dim: dim,
                n_blocks: config.num_hidden_layers,
                vocab_size: config.vocab_size,
                n_positions: config.n_positions(),
                tied: config.tie_word_embeddings,
                blocks_name: "model.layers",
                embedding_name: "model.embed_tokens",
                padded_rows: PaddedRows::OneMask,
            },
        })
    }
}

impl CausalLm for Llama {
    fn shape(&self) -> &LmShape {
        &self.shape
    }

    fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        self.embedding.forward(ids)
    }

    fn block(
        &self,
        idx: usize,
        xs: &Tensor,
        step: &Step,
        cache: Option<&mut Cache>,
    ) -> Result<Tensor> {
        self.blocks[idx].forward(xs, step, cache.map(|cache| (idx, cache)))
    }

    fn norm(&self, xs: &Tensor) -> Result<Tensor> {
        xs.apply(&self.norm)
    }

    fn head(&self, xs: &Tensor) -> Result<Tensor> {
        xs.apply(&self.head)
    }
}

#[derive(Clone, Debug)]
struct Block {
    attention_norm: RmsNorm,
    attention: SelfAttention,
    feed_forward_norm: RmsNorm,
    feed_forward: SwiGlu,
}

impl Block {
    fn new(
        config: &LlamaConfig,
        rotary: Option<&Rotary>,
        normed_heads: bool,
        vb: Builder,
    ) -> Result<Self> {
        let norm = |name| RmsNorm::new(config.hidden_size, config.rms_norm_eps, vb.pp(name));
        Ok(Self {
            attention_norm: norm("input_layernorm")?,
            attention: SelfAttention::new(config, rotary, normed_heads, vb.pp("self_attn"))?,
            feed_forward_norm: norm("post_attention_layernorm")?,
            feed_forward: SwiGlu::new(config, vb.pp("mlp"))?,
        })
    }

    fn forward(&self, xs: &Tensor, step: &Step, past: Past) -> Result<Tensor> {
        let seen = self.attention.forward(&xs.apply(&self.attention_norm)?, step, past)?;
        let xs = self.attention.o_proj.added(&seen, xs)?;
        self.feed_forward.added(&xs.apply(&self.feed_forward_norm)?, &xs)
    }
}

#[derive(Clone, Debug)]
struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    /// Norms of the queries and the keys of each head.
    norms: Option<[RmsNorm; 2]>,
    rotary: Option<Rotary>,
    n_heads: usize,
    n_kv_heads: usize,
    scale: f64,
}

impl SelfAttention {
    fn new(
        config: &LlamaConfig,
        rotary: Option<&Rotary>,
        normed_heads: bool,
        vb: Builder,
    ) -> Result<Self> {
        let (dim, head_dim) = (config.hidden_size, config.head_dim());
        let (n_heads, n_kv_heads) = (config.num_attention_heads, config.n_kv_heads());
        let linear = |dim_in, dim_out, name| {
            Linear::maybe_biased(dim_in, dim_out, config.attention_bias, vb.pp(name))
        };
        let norm = |name| RmsNorm::new(head_dim, config.rms_norm_eps, vb.pp(name));
        let norms = || Ok::<_, candle_core::Error>([norm("q_norm")?, norm("k_norm")?]);
        Ok(Self {
            norms: normed_heads.then(norms).transpose()?,
            q_proj: linear(dim, n_heads * head_dim, "q_proj")?,
            k_proj: linear(dim, n_kv_heads * head_dim, "k_proj")?,
            v_proj: linear(dim, n_kv_heads * head_dim, "v_proj")?,
            o_proj: linear(n_heads * head_dim, dim, "o_proj")?,
            rotary: rotary.cloned(),
            n_heads,
            n_kv_heads,
            scale: (head_dim as f64).powf(-0.5),
        })
    }

    /// What the heads see, before their last product.
    fn forward(&self, xs: &Tensor, step: &Step, past: Past) -> Result<Tensor> {
        let mut q = split_heads(&xs.apply(&self.q_proj)?, self.n_heads)?;
        let mut k = split_heads(&xs.apply(&self.k_proj)?, self.n_kv_heads)?;
        let v = view_heads(&xs.apply(&self.v_proj)?, self.n_kv_heads)?;
        if let Some([of_queries, of_keys]) = &self.norms {
            (q, k) = (q.apply(of_queries)?, k.apply(of_keys)?);
        }
        if let Some(rotary) = &self.rotary {
            q = rotary.forward(&q, &step.positions)?;
            k = rotary.forward(&k, &step.positions)?;
        }
        attend(self.q_proj.ops(), &q, k, v, self.scale, &step.mask, past)
    }
}

/// `down(silu(gate(x)) · up(x))` (Shazeer 2020).
#[derive(Clone, Debug)]
struct SwiGlu {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    activation: Activation,
}

impl SwiGlu {
    fn new(config: &LlamaConfig, vb: Builder) -> Result<Self> {
        let (dim, hidden) = (config.hidden_size, config.intermediate_size);
        let linear = |dim_in, dim_out, name| {
            Linear::maybe_biased(dim_in, dim_out, config.mlp_bias, vb.pp(name))
        };
        Ok(Self {
            gate_proj: linear(dim, hidden, "gate_proj")?,
            up_proj: linear(dim, hidden, "up_proj")?,
            down_proj: linear(hidden, dim, "down_proj")?,
            activation: config.hidden_act,
        })
    }
}

impl SwiGlu {
    /// What the layer makes of `xs`, added to a residual.
    fn added(&self, xs: &Tensor, residual: &Tensor) -> Result<Tensor> {
        let up = xs.apply(&self.up_proj)?;
        let hidden = if let Some(activation) = self.activation.in_one_pass() {
            self.gate_proj.gating(xs, activation, &up)?
        } else {
            let gate = xs.apply(&self.gate_proj)?;
            (self.activation.apply(self.gate_proj.ops(), &gate)? * up)?
        };
        self.down_proj.added(&hidden, residual)
    }
}
