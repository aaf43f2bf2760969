//! GPT-NeoX (Black et al. 2022), of Pythia and RedPajama-INCITE: a packed projection, rotary
//! positions on a part of each head, attention and feed-forward side by side or in turn.
//!
//! ```text
//! parallel    xs + attention(norm xs) + mlp(norm' xs)
//! sequential  ys = xs + attention(norm xs);  ys + mlp(norm' ys)
//! ```
//! Tensor names are those of Hugging Face's `GPTNeoXForCausalLM`.

mod config;
#[cfg(test)]
mod tests;

use candle_core::{D, Result, Tensor};
use nn::{Builder, LayerNorm, Linear};

pub use self::config::NeoXConfig;
use crate::attend::{Past, attend};
use crate::embedding::Embedding;
use crate::rotary::Rotary;
use crate::{Activation, Cache, CausalLm, LmShape, PaddedRows, Step};

/// A GPT-NeoX language model. See the module's documentation.
#[derive(Clone, Debug)]
pub struct NeoX {
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
    shape: LmShape,
}

impl NeoX {
    /// Reads `gpt_neox` and, when untied, `embed_out`.
    pub fn new(config: &NeoXConfig, vb: Builder) -> Result<Self> {
        let dim = config.hidden_size;
        let model = vb.pp("gpt_neox");
        let embedding = Embedding::new(config.vocab_size, dim, model.pp("embed_in"))?;
        let rotary = Rotary::new(config.frequencies(), config.n_positions(), vb.ops());
        Ok(Self {
            head: embedding.head(config.tie_word_embeddings, vb.pp("embed_out"))?,
            embedding,
            blocks: (0..config.num_hidden_layers)
                .map(|idx| Block::new(config, &rotary, model.pp("layers").pp(idx)))
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(dim, config.layer_norm_eps, model.pp("final_layer_norm"))?,
            shape: LmShape {
                dim,
                embedding_dim: dim,
                n_blocks: config.num_hidden_layers,
                vocab_size: config.vocab_size,
                n_positions: config.n_positions(),
                tied: config.tie_word_embeddings,
                blocks_name: "gpt_neox.layers",
                embedding_name: "gpt_neox.embed_in",
                padded_rows: PaddedRows::OneMask,
            },
        })
    }
}

impl CausalLm for NeoX {
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
    attention_norm: LayerNorm,
    attention: SelfAttention,
    feed_forward_norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
    activation: Activation,
    parallel: bool,
}

impl Block {
    fn new(config: &NeoXConfig, rotary: &Rotary, vb: Builder) -> Result<Self> {
        let (dim, hidden) = (config.hidden_size, config.intermediate_size);
        let norm = |name| LayerNorm::new(dim, config.layer_norm_eps, vb.pp(name));
        let mlp = vb.pp("mlp");
        Ok(Self {
            attention_norm: norm("input_layernorm")?,
            attention: SelfAttention::new(config, rotary, vb.pp("attention"))?,
            feed_forward_norm: norm("post_attention_layernorm")?,
            widen: Linear::with_bias(dim, hidden, mlp.pp("dense_h_to_4h"))?,
            narrow: Linear::with_bias(hidden, dim, mlp.pp("dense_4h_to_h"))?,
            activation: config.hidden_act,
            parallel: config.use_parallel_residual,
        })
    }

    fn forward(&self, xs: &Tensor, step: &Step, past: Past) -> Result<Tensor> {
        let attended =
            (xs + self.attention.forward(&xs.apply(&self.attention_norm)?, step, past)?)?;
        let read = if self.parallel { xs } else { &attended };
        let hidden = read.apply(&self.feed_forward_norm)?.apply(&self.widen)?;
        &attended + self.activation.apply(self.widen.ops(), &hidden)?.apply(&self.narrow)?
    }
}

#[derive(Clone, Debug)]
struct SelfAttention {
    query_key_value: Linear,
    dense: Linear,
    rotary: Rotary,
    n_heads: usize,
    n_rotated: usize,
    scale: f64,
}

impl SelfAttention {
    fn new(config: &NeoXConfig, rotary: &Rotary, vb: Builder) -> Result<Self> {
        let (dim, bias) = (config.hidden_size, config.attention_bias);
        Ok(Self {
            query_key_value: Linear::maybe_biased(dim, 3 * dim, bias, vb.pp("query_key_value"))?,
            dense: Linear::maybe_biased(dim, dim, bias, vb.pp("dense"))?,
            rotary: rotary.clone(),
            n_heads: config.num_attention_heads,
            n_rotated: config.n_rotated(),
            scale: (config.head_dim() as f64).powf(-0.5),
        })
    }

    fn forward(&self, xs: &Tensor, step: &Step, past: Past) -> Result<Tensor> {
        let (batch, n_tokens, dim) = xs.dims3()?;
        let head_dim = dim / self.n_heads;
        // head by head: its queries, its keys, its values
        let packed = xs.apply(&self.query_key_value)?;
        let packed = packed.reshape((batch, n_tokens, self.n_heads, 3 * head_dim))?;
        let part = |i| packed.narrow(D::Minus1, i * head_dim, head_dim)?.transpose(1, 2);
        let (q, k) = (self.rotate(&part(0)?, step)?, self.rotate(&part(1)?, step)?);
        attend(self.dense.ops(), &q, k, part(2)?.contiguous()?, self.scale, &step.mask, past)?
            .apply(&self.dense)
    }

    /// Turns the first entries of each head of `(batch, n_heads, n_tokens, head_dim)`.
    fn rotate(&self, xs: &Tensor, step: &Step) -> Result<Tensor> {
        let head_dim = xs.dim(D::Minus1)?;
        let turned = xs.narrow(D::Minus1, 0, self.n_rotated)?;
        let turned = self.rotary.forward(&turned, &step.positions)?;
        if self.n_rotated == head_dim {
            return Ok(turned);
        }
        let rest = xs.narrow(D::Minus1, self.n_rotated, head_dim - self.n_rotated)?;
        Tensor::cat(&[&turned, &rest], D::Minus1)
    }
}
