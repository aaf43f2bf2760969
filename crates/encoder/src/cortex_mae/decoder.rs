//! CortexMAE's decoder: fills in the patches that the encoder was not shown.

use candle_core::{DType, Result, Tensor, bail};
use nn::{Builder, LayerNorm, Linear};

use super::network::{NORMAL, Positions, Prefix};
use super::size::EPS;
use super::{CortexMaeDecoderSize, CortexMaeDecoding, CortexMaeSize, Visible};
use crate::vit::{Block, BlockNames};

/// The decoder. Predictions are of the first of every `stride` frames.
#[derive(Clone, Debug)]
pub struct CortexMaeDecoder {
    positions: Positions,
    project: Option<Linear>,
    class: Option<Prefix>,
    mask: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
    size: CortexMaeSize,
    decoder: CortexMaeDecoderSize,
}

impl CortexMaeDecoder {
    /// Reads the published names below `decoder`.
    pub fn new(size: &CortexMaeSize, decoder: &CortexMaeDecoderSize, vb: Builder) -> Result<Self> {
        let CortexMaeDecoderSize { dim, depth, decoding, stride, .. } = *decoder;
        let crosses = decoding != CortexMaeDecoding::Attn;
        let names = if crosses { BlockNames::Cross(size.dim) } else { BlockNames::TimmApart };
        let class = usize::from(size.class_token && !crosses);
        let project = (!crosses).then(|| Linear::with_bias(size.dim, dim, vb.pp("proj")));
        Ok(Self {
            positions: Positions::new(size, dim, &vb.pp("pos_embed"))?,
            project: project.transpose()?,
            class: Prefix::new("cls_token", (class, dim), size.prefix_positions, &vb)?,
            mask: vb.get((1, 1, dim), "mask_token", NORMAL)?,
            blocks: Block::stack(depth, decoder.blocks(), names, &vb.pp("blocks"))?,
            norm: LayerNorm::new(dim, EPS, vb.pp("norm"))?,
            head: Linear::with_bias(dim, size.patch / stride, vb.pp("head"))?,
            size: size.clone(),
            decoder: decoder.clone(),
        })
    }

    /// Every how many frames one is predicted.
    pub fn stride(&self) -> usize {
        self.decoder.stride
    }

    /// What the encoder makes of the `visible` patches, to predictions `(batch, n_hidden, patch /
    /// stride)` of the `hidden` ones. `watch` sees what enters the first block, as 0, and what each
    /// block gives.
    pub fn decode(
        &self,
        encoded: &Tensor,
        visible: &Visible,
        hidden: &Visible,
        watch: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Tensor> {
        let (batch, n_encoded, _) = encoded.dims3()?;
        let n_prefix = self.size.n_prefix();
        if n_encoded < n_prefix {
            bail!("{n_encoded} tokens of an encoder that has {n_prefix} before its patches")
        }
        let patches = encoded.narrow(1, n_prefix, n_encoded - n_prefix)?.contiguous()?;
        let table = self.positions.table()?;
        let masks = hidden.rows(&table)?.broadcast_add(&self.mask)?;
        let n_masks = masks.dim(1)?;
        let (mut xs, context) = match (&self.project, self.decoder.decoding) {
            (Some(project), _) => {
                let mut seen = patches.apply(project)?;
                if self.decoder.visible_positions {
                    seen = (seen + visible.rows(&table)?)?;
                }
                let class = self.class.as_ref().map(|class| class.of_batch(batch));
                let parts = class.into_iter().chain([Ok(seen), Ok(masks)]);
                let parts: Vec<Tensor> = parts.collect::<Result<_>>()?;
                (Tensor::cat(&parts, 1)?, None)
            }
            (None, CortexMaeDecoding::CrossReg) => {
                let n = self.size.n_registers;
                (masks, Some(encoded.narrow(1, n_prefix - n, n)?.contiguous()?))
            }
            (None, _) => (masks, Some(patches)),
        };
        watch(0, &xs);
        for (idx, block) in self.blocks.iter().enumerate() {
            xs = block.attending(&xs, context.as_ref())?;
            watch(idx + 1, &xs);
        }
        let n = xs.dim(1)?;
        xs.narrow(1, n - n_masks, n_masks)?.contiguous()?.apply(&self.norm)?.apply(&self.head)
    }

    /// Predictions of the `hidden` patches where they belong, `(batch, n_frames, n_parcels)`, each
    /// repeated over the frames that it stands for, and 0 elsewhere.
    pub fn pictured(&self, predictions: &Tensor, hidden: &Visible) -> Result<Tensor> {
        let CortexMaeSize { n_parcels, n_frames, patch, .. } = self.size;
        let stride = self.decoder.stride;
        let batch = hidden.ids().len();
        let values = predictions.to_dtype(DType::F64)?.to_vec3::<f64>()?;
        let mut all = vec![0f64; batch * n_frames * n_parcels];
        for (item, (ids, values)) in hidden.ids().iter().zip(&values).enumerate() {
            for (&id, values) in ids.iter().zip(values) {
                let (time, parcel) = (id as usize / n_parcels, id as usize % n_parcels);
                for at in 0..patch {
                    let frame = time * patch + at;
                    all[(item * n_frames + frame) * n_parcels + parcel] = values[at / stride];
                }
            }
        }
        Tensor::from_vec(all, (batch, n_frames, n_parcels), predictions.device())?
            .to_dtype(predictions.dtype())
    }

    /// Where something was predicted and counts: 1 for the `hidden` patches' frames that `mask`
    /// `(batch, n_frames, n_parcels)` hides, told by the first of every `stride`.
    pub fn predicted(&self, mask: &Tensor, hidden: &Visible) -> Result<Tensor> {
        let (patch, stride) = (self.size.patch, self.decoder.stride);
        let place = mask.device();
        let mask = mask.to_dtype(DType::F64)?.to_vec3::<f64>()?;
        let n_parcels = self.size.n_parcels;
        let flags: Vec<Vec<Vec<f64>>> = hidden
            .ids()
            .iter()
            .zip(&mask)
            .map(|(ids, frames)| {
                let of = |id: &u32| {
                    let (time, parcel) = (*id as usize / n_parcels, *id as usize % n_parcels);
                    let first = (0..patch).step_by(stride);
                    first
                        .map(|at| f64::from(u8::from(frames[time * patch + at][parcel] == 0.)))
                        .collect()
                };
                ids.iter().map(of).collect()
            })
            .collect();
        self.pictured(&Tensor::new(flags, place)?, hidden)
    }
}
