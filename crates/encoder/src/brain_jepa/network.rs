//! Brain-JEPA's encoder (Dong et al. 2024, section 3).
//!
//! ```text
//! (parcel, patch) ─ linear ─ + [sines(patch), scaled(linear(gradients of the parcel))]
//!                 ─ [norm ─ attention ─ +  norm ─ MLP ─ +] × depth ─ norm
//! ```
//! Tokens lie parcel by parcel, patches within; there is no class token.

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::Init;
use nn::{Builder, LayerNorm, Linear, Matrix};

use super::BrainJepaSize;
use super::size::{EPS, GRADIENTS};
use crate::vit::{Block, BlockNames, constant, sines};

/// The target encoder. See the module's documentation.
#[derive(Clone, Debug)]
pub struct BrainJepa {
    embed: Linear,
    gradients: Tensor,
    place: Linear,
    blocks: Vec<Block>,
    norm: LayerNorm,
    size: BrainJepaSize,
}

impl BrainJepa {
    /// Reads the published names but for the table of sines, and `gradients`
    /// `(n_parcels, n_gradients)`.
    pub fn new(size: &BrainJepaSize, vb: Builder) -> Result<Self> {
        let BrainJepaSize { dim, depth, n_parcels, patch, n_gradients, .. } = *size;
        let embed = vb.pp("patch_embed.proj");
        let place = vb.pp("pos_embed_proj.predictor_pos_embed_proj");
        let normal = |stdev| Init::Randn { mean: 0., stdev };
        let kernel = embed.get((dim, 1, 1, patch), "weight", normal(0.02))?;
        let bias = embed.get(dim, "bias", Init::Const(0.))?;
        let kernel = Matrix::from(kernel.reshape((dim, patch))?);
        Ok(Self {
            embed: Linear::of(kernel.with(vb.ops()), Some(bias)),
            gradients: vb.get((n_parcels, n_gradients), GRADIENTS, normal(1.))?,
            place: Linear::with_bias(n_gradients, dim / 2, place)?,
            blocks: Block::stack(depth, size.blocks(), BlockNames::Timm, &vb.pp("blocks"))?,
            norm: LayerNorm::new(dim, EPS, vb.pp("norm"))?,
            size: size.clone(),
        })
    }

    /// Positions of all tokens, `(n_parcels, n_times, dim)`: the first half says the time, the second
    /// the place, scaled from −1 to 1 over all parcels and entries.
    pub fn positions(&self) -> Result<Tensor> {
        let BrainJepaSize { dim, n_parcels, .. } = self.size;
        let (n_times, half) = (self.size.n_times(), dim / 2);
        let places = self.gradients.apply(&self.place)?;
        let (low, high) = (places.min_all()?, places.max_all()?);
        let places = places.broadcast_sub(&low)?.broadcast_div(&(high - low)?)?;
        let places = places.affine(2., -1.)?.unsqueeze(1)?;
        let times = time_table(&self.size, places.dtype(), places.device())?.unsqueeze(0)?;
        let shape = (n_parcels, n_times, half);
        Tensor::cat(&[times.broadcast_as(shape)?, places.broadcast_as(shape)?], 2)
    }

    /// Signals `(batch, n_parcels, n_frames)` to tokens `(batch, n_parcels · n_times, dim)`, parcel by
    /// parcel. `watch` sees what enters the first block, as 0, and what each block gives.
    pub fn encode(
        &self,
        signals: &Tensor,
        watch: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Tensor> {
        let BrainJepaSize { dim, n_parcels, n_frames, patch, .. } = self.size;
        let (batch, found_parcels, found_frames) = signals.dims3()?;
        if (found_parcels, found_frames) != (n_parcels, n_frames) {
            bail!(
                "a window of {found_frames} frames and {found_parcels} parcels, this Brain-JEPA reads \
                 {n_frames} and {n_parcels}"
            )
        }
        let n_times = self.size.n_times();
        let patches = signals.reshape((batch, n_parcels, n_times, patch))?;
        let tokens = patches.apply(&self.embed)?.broadcast_add(&self.positions()?)?;
        let mut xs = tokens.reshape((batch, n_parcels * n_times, dim))?;
        watch(0, &xs);
        for (idx, block) in self.blocks.iter().enumerate() {
            xs = block.forward(&xs)?;
            watch(idx + 1, &xs);
        }
        xs.apply(&self.norm)
    }
}

/// The sines of every patch, `(n_times, dim / 2)`.
pub(super) fn time_table(size: &BrainJepaSize, dtype: DType, place: &Device) -> Result<Tensor> {
    let times: Vec<f64> = (0..size.n_times()).map(|time| time as f64).collect();
    let half = size.dim / 2;
    constant(sines(&times, half), (times.len(), half), dtype, place)
}
