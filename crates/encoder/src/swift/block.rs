//! A block of SwiFT: attention inside of windows, then a multilayer perceptron.

use candle_core::{Result, Tensor};
use nn::{Builder, LayerNorm, Linear, Mask, window_attention};

use super::partition::Partition;
use super::size::EPS;
use crate::vit::Mlp;

/// Pre-norm, without a bias for relative positions.
#[derive(Clone, Debug)]
pub(super) struct Block {
    norm_1: LayerNorm,
    qkv: Linear,
    out: Linear,
    norm_2: LayerNorm,
    mlp: Mlp,
    n_heads: usize,
}

impl Block {
    pub(super) fn new(dim: usize, n_heads: usize, vb: &Builder) -> Result<Self> {
        let (attn, mlp) = (vb.pp("attn"), vb.pp("mlp"));
        Ok(Self {
            norm_1: LayerNorm::new(dim, EPS, vb.pp("norm1"))?,
            qkv: Linear::with_bias(dim, 3 * dim, attn.pp("qkv"))?,
            out: Linear::with_bias(dim, dim, attn.pp("proj"))?,
            norm_2: LayerNorm::new(dim, EPS, vb.pp("norm2"))?,
            mlp: Mlp::new(dim, 4 * dim, mlp.pp("linear1"), mlp.pp("linear2"))?,
            n_heads,
        })
    }

    /// Tokens `(batch, n_tokens, dim)` of a grid that `partition` divides; what pads a window takes
    /// part in it.
    pub(super) fn forward(
        &self,
        xs: &Tensor,
        partition: &Partition,
        mask: Option<&Mask>,
    ) -> Result<Tensor> {
        let qkv = partition.padded(&xs.apply(&self.norm_1)?)?.apply(&self.qkv)?;
        let (order, size) = partition.order();
        let attended = window_attention(self.out.ops(), &qkv, order, size, self.n_heads, mask)?
            .apply(&self.out)?;
        let xs = (xs + partition.join(&attended)?)?;
        self.mlp.added(&xs.apply(&self.norm_2)?, &xs)
    }
}
