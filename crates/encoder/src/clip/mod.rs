//! The vision transformer of CLIP (Radford et al. 2021; Dosovitskiy et al. 2021).
//!
//! ```text
//! picture ─ patches ─ linear ─ [class, …] + position ─ norm ─ [norm ─ attention ─ +  norm ─ MLP ─ +] × layers
//!                                                                        └─ patch tokens │ norm ─ class · proj
//! ```
//! Tensor names are those of open_clip's visual tower; [`names`] translates others.

mod config;
pub mod names;
mod pretrained;
#[cfg(test)]
mod tests;
pub mod weights;

use candle_core::{D, Result, Tensor, bail};
use candle_nn::Init;
use nn::{Activation, Builder, LayerNorm, Linear, Matrix, attention, merge_heads};

pub use config::{ClipActivation, ClipConfig, VisionFeature};

use crate::encode::encode_real;
use crate::{EncoderInput, Tokens};

/// CLIP's visual tower. See the module's documentation.
#[derive(Clone, Debug)]
pub struct ClipVision {
    patches: Linear,
    class_embedding: Tensor,
    positional_embedding: Tensor,
    ln_pre: LayerNorm,
    blocks: Vec<Block>,
    ln_post: LayerNorm,
    proj: Option<Tensor>,
    config: ClipConfig,
}

impl ClipVision {
    /// Reads `conv1`, `class_embedding`, `positional_embedding`, `ln_pre`, `transformer.resblocks.N`,
    /// `ln_post` and, where the weights have it, `proj`.
    pub fn new(config: &ClipConfig, vb: Builder) -> Result<Self> {
        let ClipConfig { width, patch_size, layers, embed_dim, .. } = *config;
        let init = Init::Randn { mean: 0., stdev: (width as f64).powf(-0.5) };
        let kernel = vb.pp("conv1").get((width, 3, patch_size, patch_size), "weight", init)?;
        Ok(Self {
            patches: Linear::tied(Matrix::from(kernel.flatten_from(1)?).with(vb.ops())),
            class_embedding: vb.get(width, "class_embedding", init)?,
            positional_embedding: vb.get(
                (config.n_tokens() + 1, width),
                "positional_embedding",
                init,
            )?,
            ln_pre: LayerNorm::new(width, 1e-5, vb.pp("ln_pre"))?,
            blocks: (0..layers)
                .map(|idx| Block::new(config, vb.pp("transformer.resblocks").pp(idx)))
                .collect::<Result<_>>()?,
            ln_post: LayerNorm::new(width, 1e-5, vb.pp("ln_post"))?,
            proj: (embed_dim > 0).then(|| vb.get((width, embed_dim), "proj", init)).transpose()?,
            config: config.clone(),
        })
    }

    /// The tower's size.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Pictures `(n, 3, image_size, image_size)` to all tokens of the last block, `(n, 1 + n_tokens,
    /// width)`, the class token first.
    pub fn tokens(&self, images: &Tensor) -> Result<Tensor> {
        let (n, _, height, width) = images.dims4()?;
        let size = self.config.image_size;
        if (height, width) != (size, size) {
            bail!("pictures of {height} × {width} pixels, this encoder reads {size} × {size}")
        }
        let xs = self.unfold(images)?.apply(&self.patches)?;
        let class = self.class_embedding.broadcast_as((n, 1, self.config.width))?;
        let xs = Tensor::cat(&[&class.contiguous()?, &xs], 1)?;
        let mut xs = xs.broadcast_add(&self.positional_embedding)?.apply(&self.ln_pre)?;
        for block in &self.blocks {
            xs = block.forward(&xs)?;
        }
        Ok(xs)
    }

    /// Pictures to flattened patches `(n, n_tokens, 3 · patch²)`, row by row: a convolution whose
    /// stride is its width is a matrix product.
    fn unfold(&self, images: &Tensor) -> Result<Tensor> {
        let (grid, patch) = (self.config.grid(), self.config.patch_size);
        let n = images.dim(0)?;
        images
            .reshape(vec![n, 3, grid, patch, grid, patch])?
            .permute(vec![0, 2, 4, 1, 3, 5])?
            .contiguous()?
            .reshape((n, grid * grid, 3 * patch * patch))
    }

    /// Pictures to patch tokens `(n, n_tokens, width)`.
    pub fn features(&self, images: &Tensor) -> Result<Tensor> {
        let patches = self.tokens(images)?.narrow(1, 1, self.config.n_tokens())?.contiguous()?;
        match self.config.vision_feature {
            VisionFeature::PreLnPost => Ok(patches),
            VisionFeature::PostLnPost => patches.apply(&self.ln_post),
        }
    }

    /// Pictures to the embedding that they share with captions, `(n, embed_dim)`, not normalised.
    pub fn pooled(&self, images: &Tensor) -> Result<Tensor> {
        let Some(proj) = &self.proj else {
            bail!("these weights have no projection to the embedding of captions")
        };
        let class = self.tokens(images)?.narrow(1, 0, 1)?.squeeze(1)?;
        class.contiguous()?.apply(&self.ln_post)?.matmul(proj)
    }

    /// Pictures `(batch, n_media, n_frames, 3, size, size)` to tokens; frames that the mask calls
    /// unreal are not looked at.
    pub fn encode(&self, input: &EncoderInput) -> Result<Tokens> {
        let dims = input.values.dims();
        if dims.len() != 6 {
            bail!("pictures of shape {dims:?}, expected six dimensions")
        }
        let size = (self.config.n_tokens(), self.config.width);
        encode_real(input, size, |images| self.features(images))
    }
}

/// A pre-norm transformer block.
#[derive(Clone, Debug)]
struct Block {
    ln_1: LayerNorm,
    in_proj: Linear,
    out_proj: Linear,
    ln_2: LayerNorm,
    c_fc: Linear,
    c_proj: Linear,
    n_heads: usize,
    activation: ClipActivation,
}

impl Block {
    fn new(config: &ClipConfig, vb: Builder) -> Result<Self> {
        let width = config.width;
        let hidden = (width as f64 * config.mlp_ratio).round() as usize;
        let (attn, mlp) = (vb.pp("attn"), vb.pp("mlp"));
        let bound = Init::Randn { mean: 0., stdev: (width as f64).powf(-0.5) };
        Ok(Self {
            ln_1: LayerNorm::new(width, 1e-5, vb.pp("ln_1"))?,
            in_proj: Linear::of(
                attn.matrix((3 * width, width), "in_proj_weight", bound)?,
                Some(attn.get(3 * width, "in_proj_bias", Init::Const(0.))?),
            )
            .of_layers(&["q_proj", "k_proj", "v_proj"], &attn)?,
            out_proj: Linear::with_bias(width, width, attn.pp("out_proj"))?,
            ln_2: LayerNorm::new(width, 1e-5, vb.pp("ln_2"))?,
            c_fc: Linear::with_bias(width, hidden, mlp.pp("c_fc"))?,
            c_proj: Linear::with_bias(hidden, width, mlp.pp("c_proj"))?,
            n_heads: width / config.head_width,
            activation: config.activation,
        })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let xs = self.out_proj.added(&self.attend(&xs.apply(&self.ln_1)?)?, xs)?;
        let activation = match self.activation {
            ClipActivation::QuickGelu => Activation::QuickGelu,
            ClipActivation::Gelu => Activation::Gelu,
        };
        let hidden = self.c_fc.activated(&xs.apply(&self.ln_2)?, activation)?;
        self.c_proj.added(&hidden, &xs)
    }

    fn attend(&self, xs: &Tensor) -> Result<Tensor> {
        let (batch, n_tokens, width) = xs.dims3()?;
        let qkv = xs.apply(&self.in_proj)?;
        let qkv = qkv.reshape((batch, n_tokens, 3 * self.n_heads, width / self.n_heads))?;
        let heads = |at| qkv.narrow(2, at * self.n_heads, self.n_heads)?.transpose(1, 2);
        let (q, k, v) = (heads(0)?, heads(1)?, heads(2)?);
        let scale = (q.dim(D::Minus1)? as f64).powf(-0.5);
        merge_heads(&attention(self.in_proj.ops(), &q, &k, &v, scale, None)?)
    }
}
