//! The decoder of pictures: from the patches that were seen to the window.

use candle_core::{Module, Result, Tensor};
use nn::{Builder, LayerNorm, Linear};

use super::region::INIT;
use super::square::margins;
use super::{ImageConfig, Masking};
use crate::vit::{Block, BlockNames};

/// Reconstructs the patches that were hidden; used to check that preprocessing fits the weights.
#[derive(Clone, Debug)]
pub struct ImageDecoder {
    embed: Linear,
    mask_token: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    predict: Linear,
    config: ImageConfig,
}

impl ImageDecoder {
    /// Reads what is below `decoder`.
    pub fn new(config: &ImageConfig, vb: Builder) -> Result<Self> {
        let vb = vb.pp("decoder");
        let dim = config.decoder_hidden_size;
        let n_pixels = config.num_channels * config.patch_size * config.patch_size;
        let (n_layers, sizes) = (config.decoder_num_hidden_layers, config.decoder_sizes());
        let positions = (1, 1 + config.n_tokens(), dim);
        Ok(Self {
            embed: Linear::with_bias(config.hidden_size, dim, vb.pp("decoder_embed"))?,
            mask_token: vb.get((1, 1, dim), "mask_token", INIT)?,
            positions: vb.get(positions, "decoder_pos_embed", INIT)?,
            blocks: Block::stack(
                n_layers,
                sizes,
                BlockNames::HuggingFace,
                &vb.pp("decoder_layers"),
            )?,
            norm: LayerNorm::new(dim, config.layer_norm_eps, vb.pp("decoder_norm"))?,
            predict: Linear::with_bias(dim, n_pixels, vb.pp("decoder_pred"))?,
            config: config.clone(),
        })
    }

    /// The encoder's result `(batch, 1 + n_kept, dim)` to pixels `(batch, n_tokens, patch² ·
    /// n_channels)`, row by row, the channel fastest.
    pub fn patches(&self, encoded: &Tensor, order: &Masking) -> Result<Tensor> {
        let n_kept = encoded.dim(1)? - 1;
        let xs = encoded.apply(&self.embed)?;
        let tokens = order.unshuffle(&xs.narrow(1, 1, n_kept)?, &self.mask_token)?;
        let xs = Tensor::cat(&[&xs.narrow(1, 0, 1)?, &tokens], 1)?;
        let mut xs = xs.broadcast_add(&self.positions)?;
        for block in &self.blocks {
            xs = block.forward(&xs)?;
        }
        let n_tokens = xs.dim(1)? - 1;
        xs.narrow(1, 1, n_tokens)?.apply(&self.norm)?.apply(&self.predict)
    }

    /// Pixels of [`Self::patches`] to the window `(batch, n_parcels, n_frames)`: rows as in the
    /// square, the margin cut off, the channels averaged.
    pub fn window(&self, patches: &Tensor, n_parcels: usize, n_frames: usize) -> Result<Tensor> {
        let ImageConfig { image_size: size, patch_size: patch, num_channels, .. } = self.config;
        let grid = size / patch;
        let shape = vec![patches.dim(0)?, grid, grid, patch, patch, num_channels];
        let pixels = patches.reshape(shape)?.mean(5)?;
        let picture = pixels.transpose(2, 3)?.contiguous()?.reshape(((), size, size))?;
        self.cut(&picture, n_parcels, n_frames)
    }

    /// Which pixels of the window were hidden, `(batch, n_parcels, n_frames)`.
    pub fn hidden(&self, order: &Masking, n_parcels: usize, n_frames: usize) -> Result<Tensor> {
        let ImageConfig { image_size: size, patch_size: patch, .. } = self.config;
        let grid = size / patch;
        let hidden = order.hidden()?.reshape(((), grid, 1, grid, 1))?;
        let batch = hidden.dim(0)?;
        let pixels = hidden.broadcast_as((batch, grid, patch, grid, patch))?.contiguous()?;
        self.cut(&pixels.reshape((batch, size, size))?, n_parcels, n_frames)
    }

    fn cut(&self, pictures: &Tensor, n_parcels: usize, n_frames: usize) -> Result<Tensor> {
        let (rows, columns) = margins(n_parcels, n_frames, self.config.image_size)?;
        pictures.narrow(1, rows, n_parcels)?.narrow(2, columns, n_frames)
    }
}
