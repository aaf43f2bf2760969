//! CortexMAE's encoder (Lane et al. 2025; He et al. 2022; positions of Feichtenhofer et al. 2022).
//!
//! ```text
//! (time, parcel) ─ linear ─ + position ─ visible ones ─ [class, registers, …]
//!                ─ [norm ─ attention ─ +  norm ─ MLP ─ +] × depth ─ norm
//! ```
//! Patches lie moment by moment, parcels within. Patches in which nothing was observed are left out.

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::Init;
use nn::{Builder, LayerNorm, Linear};

use super::size::EPS;
use super::{CortexMaePositions, CortexMaeSize, Visible};
use crate::vit::{Block, BlockNames, constant, sines};

/// How tables of positions and tokens are drawn where they are new.
pub(super) const NORMAL: Init = Init::Randn { mean: 0., stdev: 0.02 };

/// The encoder of parcels. See the module's documentation.
#[derive(Clone, Debug)]
pub struct CortexMae {
    embed: Linear,
    positions: Positions,
    class: Option<Prefix>,
    registers: Option<Prefix>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    size: CortexMaeSize,
}

/// A vector for every patch.
#[derive(Clone, Debug)]
pub(super) enum Positions {
    Separable { times: Tensor, places: Tensor },
    Joint(Tensor),
}

impl Positions {
    pub(super) fn new(size: &CortexMaeSize, dim: usize, vb: &Builder) -> Result<Self> {
        let (n_times, n_parcels) = (size.n_times(), size.n_parcels);
        match size.positions {
            CortexMaePositions::Separable => Ok(Self::Separable {
                times: vb.get((n_times, 1, dim), "weight_temporal", NORMAL)?,
                places: vb.get((1, n_parcels, dim), "weight_spatial", NORMAL)?,
            }),
            CortexMaePositions::Absolute | CortexMaePositions::Sines => {
                Ok(Self::Joint(vb.get((n_times * n_parcels, dim), "weight", NORMAL)?))
            }
        }
    }

    /// `(n_patches, dim)`.
    pub(super) fn table(&self) -> Result<Tensor> {
        match self {
            Self::Separable { times, places } => times.broadcast_add(places)?.flatten_to(1),
            Self::Joint(table) => Ok(table.clone()),
        }
    }
}

/// The sines of `sincos`, `(n_patches, dim)`: a third of the width for the time, one for the parcel,
/// and one for the second axis of a picture, which parcels do not have.
pub(super) fn sines_of(
    size: &CortexMaeSize,
    dim: usize,
    dtype: DType,
    place: &Device,
) -> Result<Tensor> {
    let third = 2 * dim.div_ceil(6);
    let mut rows = Vec::with_capacity(size.n_times() * size.n_parcels * dim);
    for time in 0..size.n_times() {
        for parcel in 0..size.n_parcels {
            let axes = [time as f64, parcel as f64, 0.];
            let row: Vec<f64> = axes.iter().flat_map(|at| sines(&[*at], third)).collect();
            rows.extend_from_slice(&row[..dim]);
        }
    }
    constant(rows, (size.n_times() * size.n_parcels, dim), dtype, place)
}

/// Tokens before those of patches, each with its own position where they have some.
#[derive(Clone, Debug)]
pub(super) struct Prefix {
    tokens: Tensor,
    positions: Option<Tensor>,
}

impl Prefix {
    /// `n` tokens under this name; `None` where `n` is 0.
    pub(super) fn new(
        name: &str,
        (n, dim): (usize, usize),
        positioned: bool,
        vb: &Builder,
    ) -> Result<Option<Self>> {
        if n == 0 {
            return Ok(None);
        }
        let positions = positioned.then(|| vb.get((1, n, dim), &format!("{name}_pos"), NORMAL));
        let tokens = vb.get((1, n, dim), name, NORMAL)?;
        Ok(Some(Self { tokens, positions: positions.transpose()? }))
    }

    /// `(batch, n, dim)`.
    pub(super) fn of_batch(&self, batch: usize) -> Result<Tensor> {
        let tokens = match &self.positions {
            Some(positions) => (&self.tokens + positions)?,
            None => self.tokens.clone(),
        };
        let (_, n, dim) = tokens.dims3()?;
        tokens.broadcast_as((batch, n, dim))?.contiguous()
    }
}

impl CortexMae {
    /// Reads the published names below `encoder`.
    pub fn new(size: &CortexMaeSize, vb: Builder) -> Result<Self> {
        let CortexMaeSize { dim, depth, patch, prefix_positions, .. } = *size;
        let (class, registers) = (usize::from(size.class_token), (size.n_registers, dim));
        Ok(Self {
            embed: Linear::with_bias(patch, dim, vb.pp("patch_embed"))?,
            positions: Positions::new(size, dim, &vb.pp("pos_embed"))?,
            class: Prefix::new("cls_token", (class, dim), prefix_positions, &vb)?,
            registers: Prefix::new("reg_token", registers, prefix_positions, &vb)?,
            blocks: Block::stack(depth, size.blocks(), BlockNames::TimmApart, &vb.pp("blocks"))?,
            norm: LayerNorm::new(dim, EPS, vb.pp("norm"))?,
            size: size.clone(),
        })
    }

    /// Windows `(batch, n_frames, n_parcels)` to tokens `(batch, n_prefix + n_visible, dim)`: class
    /// token, registers, then the patches that `visible` names, or all. `watch` sees what enters the
    /// first block, as 0, and what each block gives.
    pub fn encode(
        &self,
        windows: &Tensor,
        visible: Option<&Visible>,
        watch: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Tensor> {
        let CortexMaeSize { n_parcels, n_frames, patch, .. } = self.size;
        let (batch, found_frames, found_parcels) = windows.dims3()?;
        if (found_parcels, found_frames) != (n_parcels, n_frames) {
            bail!(
                "a window of {found_frames} frames and {found_parcels} parcels, this CortexMAE reads \
                 {n_frames} and {n_parcels}"
            )
        }
        let n_times = self.size.n_times();
        let patches = windows.reshape((batch, n_times, patch, n_parcels))?.transpose(2, 3)?;
        let patches = patches.contiguous()?.reshape((batch, n_times * n_parcels, patch))?;
        let tokens = patches.apply(&self.embed)?.broadcast_add(&self.positions.table()?)?;
        let tokens = match visible {
            Some(visible) => visible.take(&tokens)?,
            None => tokens,
        };
        let prefix = self.class.iter().chain(&self.registers).map(|it| it.of_batch(batch));
        let parts: Vec<Tensor> = prefix.chain([Ok(tokens)]).collect::<Result<_>>()?;
        let mut xs = Tensor::cat(&parts, 1)?;
        watch(0, &xs);
        for (idx, block) in self.blocks.iter().enumerate() {
            xs = block.forward(&xs)?;
            watch(idx + 1, &xs);
        }
        xs.apply(&self.norm)
    }
}
