//! The convolutions that take a volume to its cells.

use candle_core::{Module, Result, Tensor};
use nn::{Builder, Conv3d, LayerNorm, Ops, gelu_tanh};

/// Volumes that pass at a time: the first layer makes each 34 times as large.
const AT_A_TIME: usize = 4;

/// A place in the stem, whose output can be looked at; the tensors are `(n, y, x, z, channels)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StemPart {
    /// After the first two halvings.
    PatchEmbed,
    /// After the convolution block of a quarter of the width.
    ConvBlock0,
    /// After the third halving.
    Downsample0,
    /// After the convolution block of half the width.
    ConvBlock1,
    /// After the fourth halving.
    Downsample1,
}

/// Volumes to cells: four halvings, and two residual blocks between them.
#[derive(Clone, Debug)]
pub struct Stem {
    first: Conv3d,
    second: Conv3d,
    block_0: ConvBlock,
    downsample_0: Conv3d,
    block_1: ConvBlock,
    downsample_1: Conv3d,
}

impl Stem {
    /// Reads `patch_embed.conv_down`, `conv_block0`, `downsample0`, `conv_block1` and `downsample1`.
    pub fn new(dim: usize, vb: &Builder) -> Result<Self> {
        let halving = |n_in, n_out, name: &str| Conv3d::new(n_in, n_out, 2, false, vb.pp(name));
        Ok(Self {
            first: halving(1, dim / 8, "patch_embed.conv_down.0")?,
            second: halving(dim / 8, dim / 4, "patch_embed.conv_down.2")?,
            block_0: ConvBlock::new(dim / 4, &vb.pp("conv_block0"))?,
            downsample_0: halving(dim / 4, dim / 2, "downsample0.reduction.0")?,
            block_1: ConvBlock::new(dim / 2, &vb.pp("conv_block1"))?,
            downsample_1: halving(dim / 2, dim, "downsample1.reduction.0")?,
        })
    }

    /// Volumes `(n, y, x, z)` to cells `(n, n_cells, dim)` in raster order, a few at a time.
    pub fn forward(&self, volumes: &Tensor) -> Result<Tensor> {
        let n = volumes.dim(0)?;
        let parts = (0..n).step_by(AT_A_TIME).map(|start| {
            let some = volumes.narrow(0, start, AT_A_TIME.min(n - start))?;
            self.watched(&some, &mut |_, _| {})?.flatten(1, 3)
        });
        Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)
    }

    /// Volumes `(n, y, x, z)` to `(n, y', x', z', dim)`, all together; `watch` sees every part.
    pub fn watched(
        &self,
        volumes: &Tensor,
        watch: &mut dyn FnMut(StemPart, &Tensor),
    ) -> Result<Tensor> {
        let mut seen = |part, xs: Tensor| {
            watch(part, &xs);
            xs
        };
        // with one channel it makes no difference where it stands
        let xs = volumes.unsqueeze(4)?.apply(&self.first)?.relu()?;
        let xs = seen(StemPart::PatchEmbed, xs.apply(&self.second)?.relu()?);
        let xs = seen(StemPart::ConvBlock0, xs.apply(&self.block_0)?);
        let xs = seen(StemPart::Downsample0, xs.apply(&self.downsample_0)?);
        let xs = seen(StemPart::ConvBlock1, xs.apply(&self.block_1)?);
        Ok(seen(StemPart::Downsample1, xs.apply(&self.downsample_1)?))
    }
}

/// `x + norm(conv(gelu(norm(conv(x)))))`, norms over the channels of a voxel, GELU with the
/// hyperbolic tangent.
#[derive(Clone, Debug)]
struct ConvBlock {
    conv_1: Conv3d,
    norm_1: LayerNorm,
    conv_2: Conv3d,
    norm_2: LayerNorm,
    ops: Ops,
}

impl ConvBlock {
    fn new(dim: usize, vb: &Builder) -> Result<Self> {
        let conv = |name: &str| Conv3d::new(dim, dim, 1, true, vb.pp(name));
        let norm = |name: &str| LayerNorm::new(dim, 1e-5, vb.pp(name));
        Ok(Self {
            conv_1: conv("conv1")?,
            norm_1: norm("norm1")?,
            conv_2: conv("conv2")?,
            norm_2: norm("norm2")?,
            ops: vb.ops(),
        })
    }
}

impl Module for ConvBlock {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let hidden = gelu_tanh(self.ops, &xs.apply(&self.conv_1)?.apply(&self.norm_1)?)?;
        xs + hidden.apply(&self.conv_2)?.apply(&self.norm_2)?
    }
}
