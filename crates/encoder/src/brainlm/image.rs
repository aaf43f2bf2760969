//! BrainLM of pictures: a masked autoencoder (He et al. 2022) of the window as a square.
//!
//! ```text
//! square ─ patches ─ linear ─ + position ─ [class, …] ─ [norm ─ attention ─ +  norm ─ MLP ─ +] × layers ─ norm
//! ```
//! The published networks read three channels, which are all the same plane: the kernel is summed
//! over them once, and one channel is read.

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::Init;
use nn::{Builder, LayerNorm, Linear, Matrix, Ops};

use super::region::INIT;
use super::{ImageConfig, Masking};
use crate::vit::{Block, BlockNames, constant, sines};

/// The encoder of pictures. See the module's documentation.
#[derive(Clone, Debug)]
pub struct ImageMae {
    kernel: Tensor,
    bias: Tensor,
    class: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    ops: Ops,
    config: ImageConfig,
}

impl ImageMae {
    /// Reads `vit.embeddings`, `vit.encoder.layer.N` and `vit.layernorm`.
    pub fn new(config: &ImageConfig, vb: Builder) -> Result<Self> {
        let vit = vb.pp("vit");
        let embeddings = vit.pp("embeddings");
        let (dim, patch, n_channels) = (config.hidden_size, config.patch_size, config.num_channels);
        let projection = embeddings.pp("patch_embeddings.projection");
        let bound = 1. / ((n_channels * patch * patch) as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let sizes = config.encoder_sizes();
        let n_layers = config.num_hidden_layers;
        Ok(Self {
            kernel: projection.get((dim, n_channels, patch, patch), "weight", init)?,
            bias: projection.get(dim, "bias", Init::Const(0.))?,
            class: embeddings.get((1, 1, dim), "cls_token", INIT)?,
            positions: embeddings.get(
                (1, 1 + config.n_tokens(), dim),
                "position_embeddings",
                INIT,
            )?,
            blocks: Block::stack(
                n_layers,
                sizes,
                BlockNames::HuggingFace,
                &vit.pp("encoder.layer"),
            )?,
            norm: LayerNorm::new(dim, config.layer_norm_eps, vit.pp("layernorm"))?,
            ops: vb.ops(),
            config: config.clone(),
        })
    }

    /// The network's size.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// Pictures `(batch, size, size)` to `(batch, 1 + n_kept, dim)`, the class token first; `watch`
    /// sees the embedding as 0 and what leaves block `k` as `k + 1`. The result is after the last
    /// norm, the last `watch` before it.
    pub fn encode(
        &self,
        pictures: &Tensor,
        order: Option<&Masking>,
        watch: &mut dyn FnMut(usize, &Tensor),
    ) -> Result<Tensor> {
        let ImageConfig { hidden_size: dim, patch_size: patch, .. } = self.config;
        let kernel = self.kernel.sum(1)?.reshape((dim, patch * patch))?;
        let project = Linear::of(Matrix::from(kernel).with(self.ops), Some(self.bias.clone()));
        let patches = unfold(pictures, &self.config)?.apply(&project)?;
        let n_tokens = self.config.n_tokens();
        let tokens = patches.broadcast_add(&self.positions.narrow(1, 1, n_tokens)?)?;
        let tokens = order.map_or(Ok(tokens.clone()), |order| order.keep(&tokens))?;
        let class = (&self.class + self.positions.narrow(1, 0, 1)?)?;
        let class = class.broadcast_as((tokens.dim(0)?, 1, dim))?.contiguous()?;
        let mut xs = Tensor::cat(&[&class, &tokens], 1)?;
        watch(0, &xs);
        for (idx, block) in self.blocks.iter().enumerate() {
            xs = block.forward(&xs)?;
            watch(idx + 1, &xs);
        }
        xs.apply(&self.norm)
    }
}

/// Pictures `(batch, size, size)` to flattened patches `(batch, n_tokens, patch²)`, row by row.
fn unfold(pictures: &Tensor, config: &ImageConfig) -> Result<Tensor> {
    let ImageConfig { image_size: size, patch_size: patch, .. } = *config;
    let (batch, height, width) = pictures.dims3()?;
    if (height, width) != (size, size) {
        bail!("pictures of {height} × {width}, this BrainLM reads {size} × {size}")
    }
    let grid = size / patch;
    let patches = pictures.reshape((batch, grid, patch, grid, patch))?.transpose(2, 3)?;
    patches.contiguous()?.reshape((batch, grid * grid, patch * patch))
}

/// The sines of MAE's table `(1, 1 + n_tokens, dim)`: zeros for the class token, then for each patch
/// the column's half before the row's.
pub fn position_table(
    config: &ImageConfig,
    dim: usize,
    dtype: DType,
    place: &Device,
) -> Result<Tensor> {
    let grid = config.image_size / config.patch_size;
    let places: Vec<f64> = (0..grid).map(|at| at as f64).collect();
    let half = dim / 2;
    let rows = sines(&places, half);
    let mut table = vec![0.; dim];
    for row in rows.chunks(half.max(1)) {
        for column in rows.chunks(half.max(1)) {
            table.extend(column.iter().chain(row));
        }
    }
    constant(table, (1, 1 + grid * grid, dim), dtype, place)
}
