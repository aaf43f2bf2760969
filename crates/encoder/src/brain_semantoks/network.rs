//! The transformer of Brain-Semantoks over networks and stretches of time.
//!
//! ```text
//! (network, patch) ─ tokenizer of the network ─ [hidden ones: mask] ─ + network + sines(patch)
//!                  ─ [class, …] ─ [norm ─ attention ─ γ ─ +  norm ─ MLP ─ γ ─ +] × depth ─ norm
//! ```
//! Tokens lie network by network, patches within; the class token comes first and has no position.

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::Init;
use nn::{Builder, LayerNorm};

use super::BrainSemantoksSize;
use super::size::EPS;
use super::tokenizer::Tokenizer;
use crate::vit::{Block, BlockNames, constant, sines};

const NORMAL: Init = Init::Randn { mean: 0., stdev: 0.02 };

/// Where a tensor that is watched stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SemantoksPlace {
    /// Tokens `(batch, n_networks, n_times, dim)` before any is hidden.
    Tokenized,
    /// What enters the first block, `(batch, 1 + n_networks · n_times, dim)`.
    Embedded,
    /// What this block gives.
    Block(usize),
}

/// The network. See the module's documentation.
#[derive(Clone, Debug)]
pub struct BrainSemantoks {
    tokenizers: Vec<(Tensor, Tokenizer)>,
    class: Tensor,
    mask: Option<Tensor>,
    networks: Tensor,
    times: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    size: BrainSemantoksSize,
}

impl BrainSemantoks {
    /// Reads the published names, the tokenizers of one atlas below `tokenizers`.
    pub fn new(size: &BrainSemantoksSize, vb: Builder) -> Result<Self> {
        let dim = size.dim();
        let inner = vb.pp("inter_network_transformer");
        let tokenizers = size.rois().into_iter().enumerate().map(|(idx, rois)| {
            let tokenizer = Tokenizer::new(size, rois.len(), &vb.pp("tokenizers").pp(idx))?;
            let n = rois.len();
            Ok((Tensor::from_vec(rois, n, vb.device().place())?, tokenizer))
        });
        let mask = size.mask_token.then(|| inner.get((1, dim), "mask_embedding", NORMAL));
        let names = BlockNames::Semantoks { layer_scale: size.layer_scale };
        let blocks = inner.pp("transformer_blocks");
        let networks = inner.pp("network_learnable_pos_embedding");
        Ok(Self {
            tokenizers: tokenizers.collect::<Result<_>>()?,
            class: inner.get((1, 1, dim), "cls_token", NORMAL)?,
            mask: mask.transpose()?,
            networks: networks.get((size.n_networks(), dim), "weight", NORMAL)?,
            times: time_table(size, vb.dtype(), vb.device().place())?,
            blocks: Block::stack(size.depth, size.blocks(), names, &blocks)?,
            norm: LayerNorm::new(dim, EPS, vb.pp("norm"))?,
            size: size.clone(),
        })
    }

    /// Signals `(batch, n_rois, n_frames)` to tokens `(batch, 1 + n_networks · n_times, dim)`, the class
    /// token first; those for which `hidden` `(batch, n_networks, n_times)` is 1 are replaced by the
    /// mask's.
    pub fn encode(
        &self,
        signals: &Tensor,
        hidden: Option<&Tensor>,
        watch: &mut dyn FnMut(SemantoksPlace, &Tensor),
    ) -> Result<Tensor> {
        let (n_rois, n_frames) = (self.size.n_rois(), self.size.n_frames);
        let (batch, found_rois, found_frames) = signals.dims3()?;
        if (found_rois, found_frames) != (n_rois, n_frames) {
            bail!(
                "a window of {found_frames} frames and {found_rois} ROIs, this Brain-Semantoks reads \
                 {n_frames} and {n_rois}"
            )
        }
        let (n_networks, n_times) = (self.size.n_networks(), self.size.n_times());
        let (dim, patch) = (self.size.dim(), self.size.patch);
        let patches = signals.reshape((batch, n_rois, n_times, patch))?.transpose(1, 2)?;
        let patches = patches.contiguous()?.reshape((batch * n_times, n_rois, patch))?;
        let tokens = self.tokenizers.iter().map(|(rois, tokenizer)| {
            let tokens = tokenizer.forward(&patches.index_select(rois, 1)?)?;
            tokens.reshape((batch, 1, n_times, dim))
        });
        let mut tokens = Tensor::cat(&tokens.collect::<Result<Vec<_>>>()?, 1)?;
        watch(SemantoksPlace::Tokenized, &tokens);
        if let Some(hidden) = hidden {
            let Some(mask) = &self.mask else { bail!("this Brain-Semantoks has no mask token") };
            let hidden = hidden.to_dtype(tokens.dtype())?.unsqueeze(3)?;
            let shown = tokens.broadcast_mul(&hidden.affine(-1., 1.)?)?;
            tokens = (shown + hidden.broadcast_mul(&mask.reshape((1, 1, 1, dim))?)?)?;
        }
        let positions = self.networks.unsqueeze(1)?.broadcast_add(&self.times.unsqueeze(0)?)?;
        let tokens =
            tokens.broadcast_add(&positions)?.reshape((batch, n_networks * n_times, dim))?;
        let class = self.class.broadcast_as((batch, 1, dim))?.contiguous()?;
        let mut xs = Tensor::cat(&[&class, &tokens], 1)?;
        watch(SemantoksPlace::Embedded, &xs);
        for (idx, block) in self.blocks.iter().enumerate() {
            xs = block.forward(&xs)?;
            watch(SemantoksPlace::Block(idx), &xs);
        }
        xs.apply(&self.norm)
    }
}

/// The sines of every stretch of time, `(n_times, dim)`.
pub(super) fn time_table(
    size: &BrainSemantoksSize,
    dtype: DType,
    place: &Device,
) -> Result<Tensor> {
    let times: Vec<f64> = (0..size.n_times()).map(|time| time as f64).collect();
    constant(sines(&times, size.dim()), (times.len(), size.dim()), dtype, place)
}
