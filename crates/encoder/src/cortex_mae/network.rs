//! CortexMAE's encoder (Lane et al. 2025; He et al. 2022; positions of Feichtenhofer et al. 2022).
//!
//! ```text
//! (time, parcel) ─ linear ─ + time + place ─ [class, …] ─ [norm ─ attention ─ +  norm ─ MLP ─ +] × depth ─ norm
//! ```
//! Tokens lie moment by moment, parcels within; the class token comes first and has no position.

use candle_core::{Module, Result, Tensor, bail};
use candle_nn::Init;
use nn::{Builder, LayerNorm, Linear};

use super::CortexMaeSize;
use super::size::EPS;
use crate::vit::{Block, BlockNames};

/// The encoder of parcels. See the module's documentation.
#[derive(Clone, Debug)]
pub struct CortexMae {
    embed: Linear,
    times: Tensor,
    places: Tensor,
    class: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    size: CortexMaeSize,
}

impl CortexMae {
    /// Reads the published names below `encoder`.
    pub fn new(size: &CortexMaeSize, vb: Builder) -> Result<Self> {
        let CortexMaeSize { dim, depth, n_parcels, patch, .. } = *size;
        let init = Init::Randn { mean: 0., stdev: 0.02 };
        let positions = vb.pp("pos_embed");
        Ok(Self {
            embed: Linear::with_bias(patch, dim, vb.pp("patch_embed"))?,
            times: positions.get((size.n_times(), 1, dim), "weight_temporal", init)?,
            places: positions.get((1, n_parcels, dim), "weight_spatial", init)?,
            class: vb.get((1, 1, dim), "cls_token", init)?,
            blocks: Block::stack(depth, size.blocks(), BlockNames::TimmApart, &vb.pp("blocks"))?,
            norm: LayerNorm::new(dim, EPS, vb.pp("norm"))?,
            size: size.clone(),
        })
    }

    /// Windows `(batch, n_frames, n_parcels)` to tokens `(batch, 1 + n_times · n_parcels, dim)`.
    pub fn encode(&self, windows: &Tensor) -> Result<Tensor> {
        let CortexMaeSize { dim, n_parcels, n_frames, patch, .. } = self.size;
        let (batch, found_frames, found_parcels) = windows.dims3()?;
        if (found_parcels, found_frames) != (n_parcels, n_frames) {
            bail!(
                "a window of {found_frames} frames and {found_parcels} parcels, this CortexMAE reads \
                 {n_frames} and {n_parcels}"
            )
        }
        let n_times = self.size.n_times();
        let patches = windows.reshape((batch, n_times, patch, n_parcels))?.transpose(2, 3)?;
        let positions = self.times.broadcast_add(&self.places)?;
        let tokens = patches.contiguous()?.apply(&self.embed)?.broadcast_add(&positions)?;
        let tokens = tokens.reshape((batch, n_times * n_parcels, dim))?;
        let class = self.class.broadcast_as((batch, 1, dim))?.contiguous()?;
        let mut xs = Tensor::cat(&[&class, &tokens], 1)?;
        for block in &self.blocks {
            xs = block.forward(&xs)?;
        }
        xs.apply(&self.norm)
    }
}
