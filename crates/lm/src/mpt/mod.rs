//! MPT (MosaicML 2023) in both of its dialects: a packed projection, ALiBi, exact GELU, mostly
//! without biases.
//!
//! ```text
//! ids ─ embed ─ [norm ─ attention ─ +  norm ─ MLP ─ +] × n_blocks ─ norm ─ head ─ logits
//! ```
//! | dialect | norms | feed-forward | slopes of ALiBi |
//! | --- | --- | --- | --- |
//! | `mpt` (MPT-7B, and Hugging Face's own class) | `norm_1 norm_2 norm_f` | `ffn.up_proj ffn.down_proj` | strided |
//! | `mosaic_gpt` (MPT-1B) | `ln_1 ln_2 ln_f` | `mlp.mlp_up mlp.mlp_down` | one geometric row |
//!
//! Where the two classes that read `mpt` differ, this follows MosaicML's: `expansion_ratio`, biases,
//! `logit_scale` and learned positions count, which Hugging Face's class ignores.

mod config;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use candle_core::{D, Result, Tensor};
use nn::{Builder, LayerNorm, Linear, gelu, split_heads};

pub use self::config::{LogitScale, MosaicGptConfig, MptAttentionConfig, MptConfig};
use self::plan::Plan;
use crate::attend::{Past, attend};
use crate::embedding::{Embedding, Positions};
use crate::{Cache, CausalLm, LmShape, PaddedRows, Step};

/// An MPT language model. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Mpt {
    embedding: Embedding,
    positions: Option<Positions>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    logit_scale: Option<f64>,
    head: Linear,
    shape: LmShape,
}

impl Mpt {
    /// Reads `transformer` and, when untied, `lm_head`; `config` is a [`MptConfig`] or a
    /// [`MosaicGptConfig`].
    pub fn new(config: impl Into<Plan>, vb: Builder) -> Result<Self> {
        let plan: Plan = config.into();
        let (dim, names) = (plan.dim, plan.names);
        let model = vb.pp("transformer");
        let embedding = Embedding::new(plan.vocab_size, dim, model.pp("wte"))?;
        let positions = || Positions::new(plan.n_positions, dim, 0, model.pp("wpe"));
        let slopes = plan.slopes.clone().map(Arc::from);
        Ok(Self {
            head: embedding.head(plan.tied, vb.pp("lm_head"))?,
            embedding,
            positions: plan.learned_positions.then(positions).transpose()?,
            blocks: (0..plan.n_blocks)
                .map(|idx| Block::new(&plan, slopes.as_ref(), model.pp("blocks").pp(idx)))
                .collect::<Result<_>>()?,
            norm: LayerNorm::maybe_biased(dim, plan.eps, plan.bias, model.pp(names.final_norm))?,
            logit_scale: plan.logit_scale,
            shape: LmShape {
                dim,
                embedding_dim: dim,
                n_blocks: plan.n_blocks,
                vocab_size: plan.vocab_size,
                n_positions: plan.n_positions,
                tied: plan.tied,
                blocks_name: "transformer.blocks",
                embedding_name: "transformer.wte",
                padded_rows: PaddedRows::All,
            },
        })
    }
}

impl CausalLm for Mpt {
    fn shape(&self) -> &LmShape {
        &self.shape
    }

    fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        self.embedding.forward(ids)
    }

    fn enter(&self, xs: Tensor, step: &Step) -> Result<Tensor> {
        match &self.positions {
            Some(positions) => positions.add(&xs, step),
            None => Ok(xs),
        }
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

    /// The norm, and the factor of the logits: here it reaches rows of the head that are kept apart.
    fn norm(&self, xs: &Tensor) -> Result<Tensor> {
        let xs = xs.apply(&self.norm)?;
        match self.logit_scale {
            Some(scale) => xs * scale,
            None => Ok(xs),
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
    up: Linear,
    down: Linear,
}

impl Block {
    fn new(plan: &Plan, slopes: Option<&Arc<[f64]>>, vb: Builder) -> Result<Self> {
        let Plan { dim, hidden_dim, bias, eps, names, .. } = *plan;
        let [attention_norm, feed_forward_norm] =
            names.norms.map(|name| LayerNorm::maybe_biased(dim, eps, bias, vb.pp(name)));
        let mlp = vb.pp(names.mlp);
        Ok(Self {
            attention_norm: attention_norm?,
            attention: SelfAttention::new(plan, slopes, vb.pp("attn"))?,
            feed_forward_norm: feed_forward_norm?,
            up: Linear::maybe_biased(dim, hidden_dim, bias, mlp.pp(names.up))?,
            down: Linear::maybe_biased(hidden_dim, dim, bias, mlp.pp(names.down))?,
        })
    }

    fn forward(&self, xs: &Tensor, step: &Step, past: Past) -> Result<Tensor> {
        let xs = (xs + self.attention.forward(&xs.apply(&self.attention_norm)?, step, past)?)?;
        let hidden = xs.apply(&self.feed_forward_norm)?.apply(&self.up)?;
        &xs + gelu(self.up.ops(), &hidden)?.apply(&self.down)?
    }
}

#[derive(Clone, Debug)]
struct SelfAttention {
    packed: Linear,
    /// Of queries and keys, over their whole width.
    norms: Option<[LayerNorm; 2]>,
    out_proj: Linear,
    slopes: Option<Arc<[f64]>>,
    clip: Option<f64>,
    n_heads: usize,
    scale: f64,
}

impl SelfAttention {
    fn new(plan: &Plan, slopes: Option<&Arc<[f64]>>, vb: Builder) -> Result<Self> {
        let Plan { dim, bias, eps, .. } = *plan;
        let norm = |name| LayerNorm::maybe_biased(dim, eps, bias, vb.pp(name));
        Ok(Self {
            packed: Linear::maybe_biased(dim, 3 * dim, bias, vb.pp("Wqkv"))?,
            norms: if plan.qk_norm { Some([norm("q_ln")?, norm("k_ln")?]) } else { None },
            out_proj: Linear::maybe_biased(dim, dim, bias, vb.pp("out_proj"))?,
            slopes: slopes.cloned(),
            clip: plan.clip_qkv,
            n_heads: plan.n_heads,
            scale: plan.scale,
        })
    }

    fn forward(&self, xs: &Tensor, step: &Step, past: Past) -> Result<Tensor> {
        let mut packed = xs.apply(&self.packed)?;
        if let Some(clip) = self.clip {
            packed = packed.clamp(-clip, clip)?;
        }
        let parts = packed.chunk(3, D::Minus1)?;
        let (mut q, mut k) = (parts[0].clone(), parts[1].clone());
        if let Some([q_norm, k_norm]) = &self.norms {
            (q, k) = (q.apply(q_norm)?, k.apply(k_norm)?);
        }
        let heads = |xs: &Tensor| split_heads(xs, self.n_heads);
        let mask = match &self.slopes {
            Some(slopes) => &step.mask.with_slopes(slopes),
            None => &step.mask,
        };
        attend(
            self.packed.ops(),
            &heads(&q)?,
            heads(&k)?,
            heads(&parts[2])?,
            self.scale,
            mask,
            past,
        )?
        .apply(&self.out_proj)
    }
}
