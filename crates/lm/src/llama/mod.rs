//! LLaMA (Touvron et al. 2023): RMS norms, rotary positions, grouped queries, gated SiLU.
//!
//! ```text
//! ids ─ embed ─ [norm ─ attention ─ +  norm ─ SwiGLU ─ +] × n_blocks ─ norm ─ head ─ logits
//! ```
//! Tensor names and the half-split rotary pairs are those of Hugging Face's `LlamaForCausalLM`.

mod config;
#[cfg(test)]
mod tests;

use candle_core::{Module, Result, Tensor};
use nn::{Builder, Linear, RmsNorm, split_heads};

pub use self::config::{LlamaConfig, MistralConfig};
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
        let dim = config.hidden_size;
        let model = vb.pp("model");
        let embedding = Embedding::new(config.vocab_size, dim, model.pp("embed_tokens"))?;
        let rotary = Rotary::new(config.frequencies(), config.n_positions());
        Ok(Self {
            head: embedding.head(config.tie_word_embeddings, vb.pp("lm_head"))?,
            embedding,
            blocks: (0..config.num_hidden_layers)
                .map(|idx| Block::new(config, &rotary, model.pp("layers").pp(idx)))
                .collect::<Result<_>>()?,
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
    fn new(config: &LlamaConfig, rotary: &Rotary, vb: Builder) -> Result<Self> {
        let norm = |name| RmsNorm::new(config.hidden_size, config.rms_norm_eps, vb.pp(name));
        Ok(Self {
            attention_norm: norm("input_layernorm")?,
            attention: SelfAttention::new(config, rotary, vb.pp("self_attn"))?,
            feed_forward_norm: norm("post_attention_layernorm")?,
            feed_forward: SwiGlu::new(config, vb.pp("mlp"))?,
        })
    }

    fn forward(&self, xs: &Tensor, step: &Step, past: Past) -> Result<Tensor> {
        let xs = (xs + self.attention.forward(&xs.apply(&self.attention_norm)?, step, past)?)?;
        &xs + xs.apply(&self.feed_forward_norm)?.apply(&self.feed_forward)?
    }
}

#[derive(Clone, Debug)]
struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    rotary: Rotary,
    n_heads: usize,
    n_kv_heads: usize,
    scale: f64,
}

impl SelfAttention {
    fn new(config: &LlamaConfig, rotary: &Rotary, vb: Builder) -> Result<Self> {
        let (dim, head_dim) = (config.hidden_size, config.head_dim());
        let (n_heads, n_kv_heads) = (config.num_attention_heads, config.n_kv_heads());
        let linear = |dim_in, dim_out, name| {
            Linear::maybe_biased(dim_in, dim_out, config.attention_bias, vb.pp(name))
        };
        Ok(Self {
            q_proj: linear(dim, n_heads * head_dim, "q_proj")?,
            k_proj: linear(dim, n_kv_heads * head_dim, "k_proj")?,
            v_proj: linear(dim, n_kv_heads * head_dim, "v_proj")?,
            o_proj: linear(n_heads * head_dim, dim, "o_proj")?,
            rotary: rotary.clone(),
            n_heads,
            n_kv_heads,
            scale: (head_dim as f64).powf(-0.5),
        })
    }

    fn forward(&self, xs: &Tensor, step: &Step, past: Past) -> Result<Tensor> {
        let q = split_heads(&xs.apply(&self.q_proj)?, self.n_heads)?;
        let k = split_heads(&xs.apply(&self.k_proj)?, self.n_kv_heads)?;
        let v = split_heads(&xs.apply(&self.v_proj)?, self.n_kv_heads)?;
        let q = self.rotary.forward(&q, &step.positions)?;
        let k = self.rotary.forward(&k, &step.positions)?;
        attend(&q, k, v, self.scale, &step.mask, past)?.apply(&self.o_proj)
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

impl Module for SwiGlu {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let gate = xs.apply(&self.gate_proj)?.apply(&self.activation)?;
        (gate * xs.apply(&self.up_proj)?)?.apply(&self.down_proj)
    }
}
