//! The pre-norm block of vision transformers (Dosovitskiy et al. 2021), as published encoders of
//! scans use it, and the sines of their position tables.

use candle_core::{D, DType, Device, Module, Result, Tensor};
use nn::{Builder, LayerNorm, Linear, attention, gelu, merge_heads, split_heads};

/// The sizes of a stack of blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BlockSizes {
    pub(crate) dim: usize,
    pub(crate) hidden: usize,
    pub(crate) n_heads: usize,
    pub(crate) eps: f64,
}

/// `x + attention(norm(x))`, then `x + MLP(norm(x))`, with the exact GELU.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    norm_1: LayerNorm,
    projections: Projections,
    out: Linear,
    norm_2: LayerNorm,
    mlp: Mlp,
    n_heads: usize,
}

impl Block {
    /// Reads tensors under the names of Hugging Face.
    pub(crate) fn new(sizes: BlockSizes, vb: Builder) -> Result<Self> {
        let BlockSizes { dim, hidden, n_heads, eps } = sizes;
        let norm = |name| LayerNorm::new(dim, eps, vb.pp(name));
        Ok(Self {
            norm_1: norm("layernorm_before")?,
            projections: Projections::new(dim, vb.pp("attention.attention"))?,
            out: Linear::with_bias(dim, dim, vb.pp("attention.output.dense"))?,
            norm_2: norm("layernorm_after")?,
            mlp: Mlp::new(dim, hidden, vb.pp("intermediate.dense"), vb.pp("output.dense"))?,
            n_heads,
        })
    }

    /// `n` blocks at `0`, `1`, … below `vb`.
    pub(crate) fn stack(n: usize, sizes: BlockSizes, vb: &Builder) -> Result<Vec<Self>> {
        (0..n).map(|idx| Self::new(sizes, vb.pp(idx))).collect()
    }
}

impl Module for Block {
    /// `(batch, n_tokens, dim)` to the same shape.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let [q, k, v] = self.projections.heads(&xs.apply(&self.norm_1)?, self.n_heads)?;
        let scale = (q.dim(D::Minus1)? as f64).powf(-0.5);
        let attended = merge_heads(&attention(&q, &k, &v, scale, None)?)?;
        let xs = (xs + attended.apply(&self.out)?)?;
        &xs + xs.apply(&self.norm_2)?.apply(&self.mlp)?
    }
}

/// Queries, keys and values of tokens.
#[derive(Clone, Debug)]
pub(crate) struct Projections([Linear; 3]);

impl Projections {
    /// Reads `query`, `key` and `value`.
    pub(crate) fn new(dim: usize, vb: Builder) -> Result<Self> {
        let linear = |name| Linear::with_bias(dim, dim, vb.pp(name));
        Ok(Self([linear("query")?, linear("key")?, linear("value")?]))
    }

    /// `(batch, n_tokens, dim)` to three `(batch, n_heads, n_tokens, head_dim)`.
    pub(crate) fn heads(&self, xs: &Tensor, n_heads: usize) -> Result<[Tensor; 3]> {
        let [q, k, v] = &self.0;
        let heads = |linear: &Linear| split_heads(&xs.apply(linear)?, n_heads);
        Ok([heads(q)?, heads(k)?, heads(v)?])
    }
}

/// Widen, GELU, narrow.
#[derive(Clone, Debug)]
pub(crate) struct Mlp {
    widen: Linear,
    narrow: Linear,
}

impl Mlp {
    pub(crate) fn new(dim: usize, hidden: usize, widen: Builder, narrow: Builder) -> Result<Self> {
        Ok(Self {
            widen: Linear::with_bias(dim, hidden, widen)?,
            narrow: Linear::with_bias(hidden, dim, narrow)?,
        })
    }
}

impl Module for Mlp {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        gelu(&xs.apply(&self.widen)?)?.apply(&self.narrow)
    }
}

/// Angles `position · 10000^(−k / (dim / 2))` of a sinusoidal table, `(n, dim / 2)`, row by row.
pub(crate) fn angles(positions: &[f64], dim: usize) -> Vec<f64> {
    let half = dim / 2;
    let rates: Vec<f64> = (0..half).map(|k| 1e4f64.powf(-(k as f64) / half as f64)).collect();
    positions.iter().flat_map(|at| rates.iter().map(move |rate| at * rate)).collect()
}

/// `[sin …, cos …]` of every position, `(n, dim)`: the blocks of MAE's tables, not interleaved.
pub(crate) fn sines(positions: &[f64], dim: usize) -> Vec<f64> {
    let half = (dim / 2).max(1);
    let rows = angles(positions, dim);
    let rows = rows.chunks(half);
    rows.flat_map(|row| row.iter().map(|a| a.sin()).chain(row.iter().map(|a| a.cos()))).collect()
}

/// A constant tensor of these numbers.
pub(crate) fn constant(
    values: Vec<f64>,
    shape: impl Into<candle_core::Shape>,
    dtype: DType,
) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)?.to_dtype(dtype)
}
