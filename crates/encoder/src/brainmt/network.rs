//! BrainMT itself (Kannan et al. 2025).
//!
//! ```text
//! volume ─ convolutions ─ cells ─ [class, …] + place ─ + time ─ [norm ─ mixer ─ +] × 12 ─ norm
//!          ─ [norm ─ attention ─ +  norm ─ MLP ─ +] × 8 ─ class ─ head
//! ```
//! Tokens lie cell by cell, time fastest. The attention blocks share one norm and one MLP, and nothing
//! comes after the last of them.

use candle_core::{D, Module, Result, Tensor, bail};
use candle_nn::Init;
use nn::{Builder, LayerNorm, Linear, RmsNorm, attention, gelu, merge_heads};

use super::BrainMtSize;
use super::mixer::Mixer;
use super::stem::Stem;
use crate::vit::Projections;

const EPS: f64 = 1e-5;

/// The published network. See the module's documentation.
#[derive(Clone, Debug)]
pub struct BrainMt {
    stem: Stem,
    class: Tensor,
    places: Tensor,
    times: Tensor,
    layers: Vec<(RmsNorm, Mixer)>,
    norm_f: RmsNorm,
    blocks: Vec<Block>,
    norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
    head: Option<Linear>,
    size: BrainMtSize,
}

/// A place in the network, whose tokens `(batch, n_tokens, dim)` can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Tokens that enter the first layer.
    Embedded,
    /// The running sum that enters the norm of layer `n`.
    Residual(usize),
    /// What the mixer of layer `n` adds to it.
    Mixed(usize),
    /// After the last layer and its norm.
    AfterLayers,
    /// After attention and MLP of block `n`.
    Attended(usize),
}

impl BrainMt {
    /// Reads every tensor of the published names.
    pub fn new(size: &BrainMtSize, vb: Builder) -> Result<Self> {
        let dim = size.embed_dim;
        let init = Init::Randn { mean: 0., stdev: 0.02 };
        let [n_layers, n_blocks] = size.depth;
        let layer = |idx: usize| {
            let vb = vb.pp("layers").pp(idx);
            let norm = RmsNorm::new(dim, EPS, vb.pp("norm"))?;
            Ok((norm, Mixer::new(dim, size.direction, vb.pp("mixer"))?))
        };
        let head = |n_outputs| Linear::with_bias(dim, n_outputs, vb.pp("head"));
        Ok(Self {
            stem: Stem::new(dim, &vb)?,
            class: vb.get((1, 1, dim), "cls_token", init)?,
            places: vb.get((1, size.n_cells + 1, dim), "pos_embed", init)?,
            times: vb.get((1, size.n_frames, dim), "temporal_pos_embedding", init)?,
            layers: (0..n_layers).map(layer).collect::<Result<_>>()?,
            norm_f: RmsNorm::new(dim, EPS, vb.pp("norm_f"))?,
            blocks: (0..n_blocks)
                .map(|idx| Block::new(dim, size.n_heads, &vb.pp("blocks").pp(idx)))
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(dim, EPS, vb.pp("norm"))?,
            widen: Linear::with_bias(dim, 2 * dim, vb.pp("mlp.fc1"))?,
            narrow: Linear::with_bias(2 * dim, dim, vb.pp("mlp.fc2"))?,
            head: size.n_outputs.map(head).transpose()?,
            size: size.clone(),
        })
    }

    /// The network's sizes.
    pub fn size(&self) -> &BrainMtSize {
        &self.size
    }

    /// The convolutions.
    pub fn stem(&self) -> &Stem {
        &self.stem
    }

    /// Frames `(batch, n_frames, y, x, z)` to tokens `(batch, 1 + n_cells · n_frames, dim)`; token
    /// `1 + cell · n_frames + frame`, cells in raster order, the class token first.
    pub fn embed(&self, frames: &Tensor) -> Result<Tensor> {
        let (batch, n_frames, ..) = frames.dims5()?;
        let BrainMtSize { embed_dim: dim, n_cells, n_frames: expected, .. } = self.size;
        if n_frames != expected {
            bail!("windows of {n_frames} frames, this BrainMT reads {expected}")
        }
        let cells = self.stem.forward(&frames.flatten_to(1)?)?;
        if cells.dim(1)? != n_cells {
            bail!("volumes of {} cells, this BrainMT reads {n_cells}", cells.dim(1)?)
        }
        let tokens = cells
            .broadcast_add(&self.places.narrow(1, 1, n_cells)?)?
            .reshape((batch, n_frames, n_cells, dim))?
            .transpose(1, 2)?
            .broadcast_add(&self.times)?
            .reshape((batch, n_cells * n_frames, dim))?;
        let class = (&self.class + self.places.narrow(1, 0, 1)?)?;
        Tensor::cat(&[&class.broadcast_as((batch, 1, dim))?.contiguous()?, &tokens], 1)
    }

    /// Frames `(batch, n_frames, y, x, z)` to tokens as [`Self::embed`] lays them; `watch` sees them
    /// at every place.
    pub fn encode(&self, frames: &Tensor, watch: &mut dyn FnMut(Place, &Tensor)) -> Result<Tensor> {
        let mut residual = self.embed(frames)?;
        watch(Place::Embedded, &residual);
        for (idx, (norm, mixer)) in self.layers.iter().enumerate() {
            watch(Place::Residual(idx), &residual);
            let mixed = residual.apply(norm)?.apply(mixer)?;
            watch(Place::Mixed(idx), &mixed);
            residual = (residual + mixed)?;
        }
        let mut xs = residual.apply(&self.norm_f)?;
        watch(Place::AfterLayers, &xs);
        for (idx, block) in self.blocks.iter().enumerate() {
            let attended = block.forward(&xs.apply(&self.norm)?)?;
            xs = (xs + attended)?;
            let hidden = gelu(self.widen.ops(), &xs.apply(&self.norm)?.apply(&self.widen)?)?;
            xs = (xs + hidden.apply(&self.narrow)?)?;
            watch(Place::Attended(idx), &xs);
        }
        Ok(xs)
    }

    /// Tokens to the head's outputs `(batch, n_outputs)`, from the class token; nothing where the
    /// weights have no head.
    pub fn outputs(&self, tokens: &Tensor) -> Result<Option<Tensor>> {
        let Some(head) = &self.head else { return Ok(None) };
        Ok(Some(tokens.narrow(1, 0, 1)?.squeeze(1)?.apply(head)?))
    }
}

/// The attention of a block; norm and MLP are the network's.
#[derive(Clone, Debug)]
struct Block {
    qkv: Projections,
    proj: Linear,
    n_heads: usize,
}

impl Block {
    fn new(dim: usize, n_heads: usize, vb: &Builder) -> Result<Self> {
        Ok(Self {
            qkv: Projections::packed(dim, vb.pp("qkv"))?,
            proj: Linear::with_bias(dim, dim, vb.pp("proj"))?,
            n_heads,
        })
    }
}

impl Module for Block {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let [q, k, v] = self.qkv.heads(xs, None, self.n_heads)?;
        let scale = (q.dim(D::Minus1)? as f64).powf(-0.5);
        merge_heads(&attention(self.proj.ops(), &q, &k, &v, scale, None)?)?.apply(&self.proj)
    }
}
