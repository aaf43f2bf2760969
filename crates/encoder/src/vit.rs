//! The pre-norm block of vision transformers (Dosovitskiy et al. 2021), as published encoders of
//! scans use it, and the sines of their position tables.

use candle_core::{D, DType, Device, Module, Result, Tensor, bail};
use candle_nn::Init;
use nn::{Activation, Builder, LayerNorm, Linear, attention, merge_heads, view_heads};

/// The sizes of a stack of blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BlockSizes {
    pub(crate) dim: usize,
    pub(crate) hidden: usize,
    pub(crate) n_heads: usize,
    pub(crate) eps: f64,
}

/// Why these heads make no attention, in one sentence.
pub(crate) fn heads_problem(dim: usize, n_heads: usize) -> Option<String> {
    (n_heads == 0 || dim == 0 || !dim.is_multiple_of(n_heads))
        .then(|| format!("{n_heads} heads do not divide a width of {dim}"))
}

/// Under which names the tensors of a block stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockNames {
    /// Hugging Face's: `layernorm_before`, `attention.attention.query`, `intermediate.dense`, …
    HuggingFace,
    /// timm's: `norm1`, `attn.qkv` for all three projections, `mlp.fc1`, …
    Timm,
    /// timm's, with `attn.q`, `attn.k` and `attn.v` instead of `attn.qkv`.
    TimmApart,
    /// The same, where keys and values are made of a context of this width.
    Cross(usize),
    /// Brain-Semantoks': `attn.qkv` without a bias, `mlp.0` and `mlp.3`, and perhaps `ls1.gamma` and
    /// `ls2.gamma`, by which what a branch adds is multiplied.
    Semantoks {
        /// Whether the multipliers are there.
        layer_scale: bool,
    },
}

impl BlockNames {
    /// Norm, output of the attention, norm, widening, narrowing.
    fn others(self) -> [&'static str; 5] {
        match self {
            Self::HuggingFace => [
                "layernorm_before",
                "attention.output.dense",
                "layernorm_after",
                "intermediate.dense",
                "output.dense",
            ],
            Self::Timm | Self::TimmApart | Self::Cross(_) => {
                ["norm1", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"]
            }
            Self::Semantoks { .. } => ["norm1", "attn.proj", "norm2", "mlp.0", "mlp.3"],
        }
    }

    /// The multipliers of both branches, where there are any.
    fn layer_scales(self, dim: usize, vb: &Builder) -> Result<[Option<Tensor>; 2]> {
        if self != (Self::Semantoks { layer_scale: true }) {
            return Ok([None, None]);
        }
        let gamma = |name| vb.pp(name).get(dim, "gamma", Init::Const(0.1)).map(Some);
        Ok([gamma("ls1")?, gamma("ls2")?])
    }

    fn projections(self, dim: usize, vb: &Builder) -> Result<Projections> {
        match self {
            Self::HuggingFace => Projections::new(dim, vb.pp("attention.attention")),
            Self::Timm => Projections::packed(dim, vb.pp("attn.qkv")),
            Self::TimmApart => Projections::named(dim, ["q", "k", "v"], &vb.pp("attn")),
            Self::Cross(context) => Projections::cross(dim, context, &vb.pp("attn")),
            Self::Semantoks { .. } => {
                Ok(Projections::Packed(Linear::new(dim, 3 * dim, vb.pp("attn.qkv"))?))
            }
        }
    }
}

/// `x + attention(norm(x))`, then `x + MLP(norm(x))`, with the exact GELU.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    norm_1: LayerNorm,
    projections: Projections,
    out: Linear,
    norm_2: LayerNorm,
    mlp: Mlp,
    layer_scales: [Option<Tensor>; 2],
    n_heads: usize,
}

impl Block {
    pub(crate) fn new(sizes: BlockSizes, names: BlockNames, vb: &Builder) -> Result<Self> {
        let BlockSizes { dim, hidden, n_heads, eps } = sizes;
        let [norm_1, out, norm_2, widen, narrow] = names.others().map(|name| vb.pp(name));
        Ok(Self {
            norm_1: LayerNorm::new(dim, eps, norm_1)?,
            projections: names.projections(dim, vb)?,
            out: Linear::with_bias(dim, dim, out)?,
            norm_2: LayerNorm::new(dim, eps, norm_2)?,
            mlp: Mlp::new(dim, hidden, widen, narrow)?,
            layer_scales: names.layer_scales(dim, vb)?,
            n_heads,
        })
    }

    /// `n` blocks at `0`, `1`, … below `vb`.
    pub(crate) fn stack(
        n: usize,
        sizes: BlockSizes,
        names: BlockNames,
        vb: &Builder,
    ) -> Result<Vec<Self>> {
        (0..n).map(|idx| Self::new(sizes, names, &vb.pp(idx))).collect()
    }
}

impl Block {
    /// `(batch, n_tokens, dim)` to the same shape; keys and values are made of `context`
    /// `(batch, n_keys, …)` where there is one, which is not normalised.
    pub(crate) fn attending(&self, xs: &Tensor, context: Option<&Tensor>) -> Result<Tensor> {
        let [q, k, v] = self.projections.heads(&xs.apply(&self.norm_1)?, context, self.n_heads)?;
        let scale = (q.dim(D::Minus1)? as f64).powf(-0.5);
        let attended = merge_heads(&attention(self.out.ops(), &q, &k, &v, scale, None)?)?;
        let [scale_1, scale_2] = &self.layer_scales;
        let xs = match scale_1 {
            Some(gamma) => (xs + attended.apply(&self.out)?.broadcast_mul(gamma)?)?,
            None => self.out.added(&attended, xs)?,
        };
        let normed = xs.apply(&self.norm_2)?;
        match scale_2 {
            Some(gamma) => &xs + normed.apply(&self.mlp)?.broadcast_mul(gamma)?,
            None => self.mlp.added(&normed, &xs),
        }
    }
}

impl Module for Block {
    /// `(batch, n_tokens, dim)` to the same shape.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.attending(xs, None)
    }
}

/// Queries, keys and values of tokens.
#[derive(Clone, Debug)]
pub(crate) enum Projections {
    Apart([Linear; 3]),
    /// One matrix, the queries' rows first.
    Packed(Linear),
}

impl Projections {
    /// Reads `query`, `key` and `value`.
    pub(crate) fn new(dim: usize, vb: Builder) -> Result<Self> {
        Self::named(dim, ["query", "key", "value"], &vb)
    }

    fn named(dim: usize, [q, k, v]: [&str; 3], vb: &Builder) -> Result<Self> {
        let linear = |name| Linear::with_bias(dim, dim, vb.pp(name));
        Ok(Self::Apart([linear(q)?, linear(k)?, linear(v)?]))
    }

    fn cross(dim: usize, context: usize, vb: &Builder) -> Result<Self> {
        let linear = |width, name| Linear::with_bias(width, dim, vb.pp(name));
        Ok(Self::Apart([linear(dim, "q")?, linear(context, "k")?, linear(context, "v")?]))
    }

    /// Reads `weight` `(3 · dim, dim)` and `bias`.
    pub(crate) fn packed(dim: usize, vb: Builder) -> Result<Self> {
        Ok(Self::Packed(Linear::with_bias(dim, 3 * dim, vb)?))
    }

    /// `(batch, n_tokens, dim)` to three views `(batch, n_heads, n_tokens, head_dim)`; keys and values
    /// of `context` where there is one.
    pub(crate) fn heads(
        &self,
        xs: &Tensor,
        context: Option<&Tensor>,
        n_heads: usize,
    ) -> Result<[Tensor; 3]> {
        match self {
            Self::Apart([q, k, v]) => {
                let heads = |xs: &Tensor, linear: &Linear| view_heads(&xs.apply(linear)?, n_heads);
                let context = context.unwrap_or(xs);
                Ok([heads(xs, q)?, heads(context, k)?, heads(context, v)?])
            }
            Self::Packed(_) if context.is_some() => {
                bail!("packed projections attend to their own tokens alone")
            }
            Self::Packed(qkv) => {
                let (batch, n_tokens, dim) = xs.dims3()?;
                let all = xs.apply(qkv)?.reshape((batch, n_tokens, 3 * n_heads, dim / n_heads))?;
                let third = |at| all.narrow(2, at * n_heads, n_heads)?.transpose(1, 2);
                Ok([third(0)?, third(1)?, third(2)?])
            }
        }
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

impl Mlp {
    /// What it gives, added to `residual`.
    pub(crate) fn added(&self, xs: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.narrow.added(&self.widen.activated(xs, Activation::Gelu)?, residual)
    }
}

impl Module for Mlp {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.widen.activated(xs, Activation::Gelu)?.apply(&self.narrow)
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

/// A constant tensor of these numbers on a device.
pub(crate) fn constant(
    values: Vec<f64>,
    shape: impl Into<candle_core::Shape>,
    dtype: DType,
    place: &Device,
) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), place)?.to_dtype(dtype)
}
