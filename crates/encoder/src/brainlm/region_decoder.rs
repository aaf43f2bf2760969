//! The decoder of regions × time: from the tokens that were seen to the signal of all.

use candle_core::{Module, Result, Tensor};
use nn::{Builder, LayerNorm, Linear};

use super::region::{INIT, Layer, position_table};
use super::{Masking, RegionTimeConfig};

/// Slope of the decoder's leaky ReLU below zero.
const SLOPE: f64 = 0.1;

/// Reconstructs the patches that were hidden; used to check that preprocessing fits the weights.
#[derive(Clone, Debug)]
pub struct RegionTimeDecoder {
    embed: Linear,
    mask_token: Tensor,
    place: Linear,
    layers: Vec<Layer>,
    norm: LayerNorm,
    widen: Linear,
    predict: Linear,
    config: RegionTimeConfig,
}

impl RegionTimeDecoder {
    /// Reads what is below `decoder`, but for `decoder_pred`, which the original never uses.
    pub fn new(config: &RegionTimeConfig, vb: Builder) -> Result<Self> {
        let vb = vb.pp("decoder");
        let dim = config.hidden_size;
        let sizes = config.decoder_sizes();
        let n_layers = config.decoder_num_hidden_layers;
        Ok(Self {
            embed: Linear::with_bias(dim, dim, vb.pp("decoder_embed"))?,
            mask_token: vb.get((1, 1, dim), "mask_token", INIT)?,
            place: Linear::with_bias(3, dim, vb.pp("decoder_xyz_projection"))?,
            layers: Layer::stack(n_layers, sizes, &vb.pp("decoder_layers"))?,
            norm: LayerNorm::new(dim, config.layer_norm_eps, vb.pp("decoder_norm"))?,
            widen: Linear::with_bias(dim, dim / 2, vb.pp("decoder_pred1"))?,
            predict: Linear::with_bias(
                dim / 2,
                config.timepoint_patching_size,
                vb.pp("decoder_pred2"),
            )?,
            config: config.clone(),
        })
    }

    /// The encoder's result `(batch, 1 + n_kept, dim)`, places `(batch, n_parcels, 3)` and the order
    /// of the tokens to signals `(batch, n_parcels, n_patches, patch)`; `watch` sees the sequence
    /// before the layers as 0 and what leaves layer `k` as `k + 1`.
    pub fn decode(
        &self,
        encoded: &Tensor,
        places: &Tensor,
        order: &Masking,
        watch: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Tensor> {
        let (batch, n_kept, _) = encoded.dims3()?;
        let (n_parcels, dim) = (places.dim(1)?, self.config.hidden_size);
        let xs = encoded.apply(&self.embed)?;
        let tokens = order.unshuffle(&xs.narrow(1, 1, n_kept - 1)?, &self.mask_token)?;
        let n_patches = tokens.dim(1)? / n_parcels;
        let tokens = tokens.reshape((batch, n_parcels, n_patches, dim))?;
        let tokens = tokens.broadcast_add(&places.apply(&self.place)?.unsqueeze(2)?)?;
        let tokens = tokens.broadcast_add(&position_table(n_patches, dim, &tokens)?)?;
        let tokens = tokens.flatten(1, 2)?;
        let mut xs = Tensor::cat(&[&xs.narrow(1, 0, 1)?, &tokens], 1)?;
        watch(0, &xs);
        for (idx, layer) in self.layers.iter().enumerate() {
            xs = layer.forward(&xs)?;
            watch(idx + 1, &xs);
        }
        let xs = xs.narrow(1, 1, n_parcels * n_patches)?.apply(&self.norm)?;
        let hidden = xs.apply(&self.widen)?;
        // max(x, slope · x), written with a gradient on both sides
        let hidden = ((hidden.relu()? * (1. - SLOPE))? + (hidden * SLOPE)?)?;
        let patches = hidden.apply(&self.predict)?;
        let patch = self.config.timepoint_patching_size;
        let patches = patches.reshape((batch, n_parcels, n_patches, patch))?;
        if self.config.use_tanh_decoder { patches.tanh() } else { Ok(patches) }
    }
}
