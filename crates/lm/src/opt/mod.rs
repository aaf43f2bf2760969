//! OPT (Zhang et al. 2022): learned positions, biases everywhere, ReLU.
//!
//! ```text
//! ids ─ embed ─ project in ─ + positions ─ [norm ─ attention ─ +  norm ─ ReLU MLP ─ +] × n_blocks
//!                                                  ─ norm ─ project out ─ head ─ logits
//! ```
//! The 350M model has its norms after the sums, none at the end, and is the one that projects.
//! Tensor names are those of Hugging Face's `OPTForCausalLM`.

mod config;
#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor};
use nn::{Builder, LayerNorm, Linear, view_heads};

pub use self::config::OptConfig;
use crate::attend::{Past, attend};
use crate::embedding::{Embedding, Positions};
use crate::{Activation, Cache, CausalLm, LmShape, PaddedRows, Step};

/// Added to the variance in every norm.
const EPS: f64 = 1e-5;
/// Row of the first position; padding reads the one before.
const FIRST_POSITION: usize = 2;

/// An OPT language model. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Opt {
    embedding: Embedding,
    positions: Positions,
    project_in: Option<Linear>,
    blocks: Vec<Block>,
    final_norm: Option<LayerNorm>,
    project_out: Option<Linear>,
    head: Linear,
    shape: LmShape,
}

impl Opt {
    /// Reads `model.decoder` and, when untied, `lm_head`.
    pub fn new(config: &OptConfig, vb: Builder) -> Result<Self> {
        let (dim, embedding_dim) = (config.hidden_size, config.embedding_dim());
        let n_positions = config.max_position_embeddings;
        let decoder = vb.pp("model").pp("decoder");
        let embedding =
            Embedding::new(config.vocab_size, embedding_dim, decoder.pp("embed_tokens"))?;
        let project = |dim_in, dim_out, name| {
            (dim_in != dim_out).then(|| Linear::new(dim_in, dim_out, decoder.pp(name))).transpose()
        };
        let final_norm = || LayerNorm::new(dim, EPS, decoder.pp("final_layer_norm"));
        Ok(Self {
            positions: Positions::new(
                n_positions,
                dim,
                FIRST_POSITION,
                decoder.pp("embed_positions"),
            )?,
            project_in: project(embedding_dim, dim, "project_in")?,
            blocks: (0..config.num_hidden_layers)
                .map(|idx| Block::new(config, decoder.pp("layers").pp(idx)))
                .collect::<Result<_>>()?,
            final_norm: config.has_final_norm().then(final_norm).transpose()?,
            project_out: project(dim, embedding_dim, "project_out")?,
            head: embedding.head(config.tie_word_embeddings, vb.pp("lm_head"))?,
            embedding,
            shape: LmShape {
                dim,
                embedding_dim,
                n_blocks: config.num_hidden_layers,
                vocab_size: config.vocab_size,
                n_positions,
                tied: config.tie_word_embeddings,
                blocks_name: "model.decoder.layers",
                embedding_name: "model.decoder.embed_tokens",
                padded_rows: PaddedRows::All,
            },
        })
    }
}

impl CausalLm for Opt {
    fn shape(&self) -> &LmShape {
        &self.shape
    }

    fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        self.embedding.forward(ids)
    }

    fn enter(&self, xs: Tensor, step: &Step) -> Result<Tensor> {
        let xs = match &self.project_in {
            Some(project_in) => xs.apply(project_in)?,
            None => xs,
        };
        self.positions.add(&xs, step)
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
        let xs = match &self.final_norm {
            Some(norm) => &xs.apply(norm)?,
            None => xs,
        };
        match &self.project_out {
            Some(project_out) => xs.apply(project_out),
            None => Ok(xs.clone()),
        }
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
    norm_before: bool,
}

impl Block {
    fn new(config: &OptConfig, vb: Builder) -> Result<Self> {
        let (dim, hidden, bias) = (config.hidden_size, config.ffn_dim, config.enable_bias);
        let norm = |name| LayerNorm::new(dim, EPS, vb.pp(name));
        Ok(Self {
            attention_norm: norm("self_attn_layer_norm")?,
            attention: SelfAttention::new(config, vb.pp("self_attn"))?,
            feed_forward_norm: norm("final_layer_norm")?,
            widen: Linear::maybe_biased(dim, hidden, bias, vb.pp("fc1"))?,
            narrow: Linear::maybe_biased(hidden, dim, bias, vb.pp("fc2"))?,
            activation: config.activation_function,
            norm_before: config.do_layer_norm_before,
        })
    }

    fn forward(&self, xs: &Tensor, step: &Step, past: Past) -> Result<Tensor> {
        let Self { attention_norm, feed_forward_norm, .. } = self;
        let attention = |xs: &Tensor| self.attention.forward(xs, step, past);
        if self.norm_before {
            let seen = attention(&xs.apply(attention_norm)?)?;
            let xs = self.attention.out_proj.added(&seen, xs)?;
            self.narrow.added(&self.hidden(&xs.apply(feed_forward_norm)?)?, &xs)
        } else {
            let seen = attention(xs)?;
            let xs = self.attention.out_proj.added(&seen, xs)?.apply(attention_norm)?;
            self.narrow.added(&self.hidden(&xs)?, &xs)?.apply(feed_forward_norm)
        }
    }

    /// The hidden units of the feed-forward.
    fn hidden(&self, xs: &Tensor) -> Result<Tensor> {
        match self.activation.in_one_pass() {
            Some(activation) => self.widen.activated(xs, activation),
            None => self.activation.apply(self.widen.ops(), &xs.apply(&self.widen)?),
        }
    }
}

#[derive(Clone, Debug)]
struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    n_heads: usize,
    scale: f64,
}

impl SelfAttention {
    fn new(config: &OptConfig, vb: Builder) -> Result<Self> {
        let (dim, n_heads) = (config.hidden_size, config.num_attention_heads);
        let linear = |name| Linear::maybe_biased(dim, dim, config.enable_bias, vb.pp(name));
        Ok(Self {
            q_proj: linear("q_proj")?,
            k_proj: linear("k_proj")?,
            v_proj: linear("v_proj")?,
            out_proj: linear("out_proj")?,
            n_heads,
            scale: ((dim / n_heads) as f64).powf(-0.5),
        })
    }

    /// What the heads see, before their last product.
    fn forward(&self, xs: &Tensor, step: &Step, past: Past) -> Result<Tensor> {
        let heads = |linear: &Linear| view_heads(&xs.apply(linear)?, self.n_heads);
        let (q, k, v) = (heads(&self.q_proj)?, heads(&self.k_proj)?, heads(&self.v_proj)?);
        attend(self.q_proj.ops(), &q, k, v, self.scale, &step.mask, past)
    }
}
