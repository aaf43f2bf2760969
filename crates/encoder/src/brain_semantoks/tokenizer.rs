//! The convolutions that make a token of a network's signals over a stretch of time.
//!
//! Sources: Gijsen et al. 2025; the structured kernels are SGConv's (Li et al. 2023).

use candle_core::{D, Result, Tensor};
use candle_nn::Init;
use nn::{Builder, LayerNorm, Linear, Matrix, Ops, gelu};

use super::size::{DenseBranch, EPS, StructuredBranch};
use super::{BrainSemantoksSize, SemantoksBranch, SemantoksPooling};

/// The tokenizer of one network.
#[derive(Clone, Debug)]
pub(super) struct Tokenizer {
    branches: Vec<Branch>,
    pooling: SemantoksPooling,
    attention: Option<Linear>,
    norm: Option<LayerNorm>,
    ops: Ops,
}

#[derive(Clone, Debug)]
enum Branch {
    Dense { map: Linear, kernel: usize, dilation: usize },
    Depthwise { taps: Tensor, bias: Tensor, map: Linear, dilation: usize },
    Structured(Structured),
}

#[derive(Clone, Debug)]
struct Structured {
    /// Short kernels, each `(n_heads, n_rois, length)`.
    kernels: Vec<Tensor>,
    /// `(1, n_rois, 1)`.
    multiplier: Tensor,
    /// The norm that the joined kernel had when the training began, `(n_heads, n_rois, 1)`.
    norm: Tensor,
    /// `(n_heads, n_rois)`.
    skip: Tensor,
    map: Linear,
}

impl Tokenizer {
    /// Reads the names below one network's tokenizer.
    pub(super) fn new(size: &BrainSemantoksSize, n_rois: usize, vb: &Builder) -> Result<Self> {
        let dim = size.dim();
        let branches = size.branches.iter().enumerate();
        let branches = branches.map(|(idx, branch)| {
            let vb = vb.pp("branches").pp(idx);
            match branch {
                SemantoksBranch::Dense(it) => Branch::dense(it, n_rois, &vb),
                SemantoksBranch::Depthwise(it) => Branch::depthwise(it, n_rois, &vb),
                SemantoksBranch::Structured(it) => {
                    Ok(Branch::Structured(Structured::new(it, n_rois, &vb)?))
                }
            }
        });
        let attends = size.pooling == SemantoksPooling::Attention;
        let attention = attends.then(|| Linear::new(dim, 1, vb.pp("pool.attention")));
        let norm = size.token_norm.then(|| LayerNorm::new(dim, EPS, vb.pp("norm")));
        Ok(Self {
            branches: branches.collect::<Result<_>>()?,
            pooling: size.pooling,
            attention: attention.transpose()?,
            norm: norm.transpose()?,
            ops: vb.ops(),
        })
    }

    /// Patches `(n, n_rois, n_frames)` to tokens `(n, dim)`.
    pub(super) fn forward(&self, patches: &Tensor) -> Result<Tensor> {
        let parts: Vec<Tensor> =
            self.branches.iter().map(|branch| branch.forward(patches)).collect::<Result<_>>()?;
        let frames = gelu(self.ops, &Tensor::cat(&parts, D::Minus1)?)?;
        let token = match self.pooling {
            SemantoksPooling::Mean => frames.mean(1)?,
            SemantoksPooling::Max => frames.max(1)?,
            SemantoksPooling::Attention => {
                let scores = self.attention.as_ref().expect("built with it");
                let weights = candle_nn::ops::softmax(&frames.apply(scores)?, 1)?;
                frames.broadcast_mul(&weights)?.sum(1)?
            }
        };
        self.norm.as_ref().map_or(Ok(token.clone()), |norm| token.apply(norm))
    }
}

impl Branch {
    fn dense(branch: &DenseBranch, n_rois: usize, vb: &Builder) -> Result<Self> {
        let DenseBranch { channels, kernel, dilation } = *branch;
        let weight = vb.get((channels, n_rois, kernel), "weight", fan_in(n_rois * kernel))?;
        let bias = vb.get(channels, "bias", fan_in(n_rois * kernel))?;
        let weight = weight.reshape((channels, n_rois * kernel))?;
        Ok(Self::Dense {
            map: Linear::of(Matrix::from(weight).with(vb.ops()), Some(bias)),
            kernel,
            dilation,
        })
    }

    fn depthwise(branch: &DenseBranch, n_rois: usize, vb: &Builder) -> Result<Self> {
        let DenseBranch { channels, kernel, dilation } = *branch;
        let (deep, point) = (vb.pp("depthwise"), vb.pp("pointwise"));
        let weight = point.get((channels, n_rois, 1), "weight", fan_in(n_rois))?;
        let bias = point.get(channels, "bias", fan_in(n_rois))?;
        Ok(Self::Depthwise {
            taps: deep.get((n_rois, 1, kernel), "weight", fan_in(kernel))?,
            bias: deep.get(n_rois, "bias", fan_in(kernel))?,
            map: Linear::of(
                Matrix::from(weight.reshape((channels, n_rois))?).with(vb.ops()),
                Some(bias),
            ),
            dilation,
        })
    }

    /// `(n, n_rois, n_frames)` to `(n, n_frames, channels)`.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense { map, kernel, dilation } => {
                let taps = shifted(xs, *kernel, *dilation, (kernel - 1) * dilation / 2)?;
                taps.flatten(1, 2)?.transpose(1, 2)?.contiguous()?.apply(map)
            }
            Self::Depthwise { taps, bias, map, dilation } => {
                let kernel = taps.dim(2)?;
                let seen = shifted(xs, kernel, *dilation, (kernel - 1) * dilation / 2)?;
                let weighted = seen.broadcast_mul(&taps.squeeze(1)?.unsqueeze(2)?)?.sum(2)?;
                let weighted = weighted.broadcast_add(&bias.unsqueeze(1)?)?;
                weighted.transpose(1, 2)?.contiguous()?.apply(map)
            }
            Self::Structured(structured) => structured.forward(xs),
        }
    }
}

impl Structured {
    fn new(branch: &StructuredBranch, n_rois: usize, vb: &Builder) -> Result<Self> {
        let StructuredBranch { channels, kernel, scales } = *branch;
        let n_heads = channels.div_ceil(n_rois);
        let normal = Init::Randn { mean: 0., stdev: 1. };
        let long = vb.pp("slconv");
        let list = long.pp("kernel_list");
        let kernels = (0..scales)
            .map(|scale| list.get((n_heads, n_rois, kernel), &scale.to_string(), normal));
        Ok(Self {
            kernels: kernels.collect::<Result<_>>()?,
            multiplier: long.get((1, n_rois, 1), "multiplier", Init::Const(2.))?,
            norm: long.get((n_heads, n_rois, 1), "kernel_norm", branch.expected_norm())?,
            skip: long.get((n_heads, n_rois), "D", normal)?,
            map: Linear::with_bias(n_heads * n_rois, channels, vb.pp("projection"))?,
        })
    }

    /// The joined kernel, `(n_rois, n_heads, length)`, turned round: a true convolution runs it
    /// backwards.
    fn kernel(&self) -> Result<Tensor> {
        let kernel = joined(&self.kernels, &self.multiplier)?.broadcast_div(&self.norm)?;
        let length = kernel.dim(2)?;
        let turned: Vec<u32> = (0..length as u32).rev().collect();
        let turned = Tensor::from_vec(turned, length, kernel.device())?;
        kernel.contiguous()?.index_select(&turned, 2)?.transpose(0, 1)?.contiguous()
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let kernel = self.kernel()?;
        let (n_rois, n_heads, length) = kernel.dims3()?;
        let (n, _, n_frames) = xs.dims3()?;
        let seen = shifted(xs, length, 1, (length - 1) / 2)?;
        let kernel = kernel.unsqueeze(0)?.broadcast_as((n, n_rois, n_heads, length))?;
        let ys = kernel.contiguous()?.matmul(&seen)?;
        let skip = self.skip.t()?.unsqueeze(2)?;
        let ys = (ys + xs.unsqueeze(2)?.broadcast_mul(&skip)?)?;
        ys.reshape((n, n_rois * n_heads, n_frames))?.transpose(1, 2)?.contiguous()?.apply(&self.map)
    }
}

/// Short kernels as one long one, `(n_heads, n_rois, length)`: each is stretched by repetition, and the
/// earlier it stands, the more often it is multiplied.
pub(super) fn joined(kernels: &[Tensor], multiplier: &Tensor) -> Result<Tensor> {
    let scales = kernels.len();
    let parts = kernels.iter().enumerate().map(|(scale, short)| {
        let (n_heads, n_rois, length) = short.dims3()?;
        let repeats = StructuredBranch::repeats(scale);
        let long = short.unsqueeze(3)?.broadcast_as((n_heads, n_rois, length, repeats))?;
        let long = long.contiguous()?.flatten_from(2)?;
        (scale + 1..scales).try_fold(long, |long, _| long.broadcast_mul(multiplier))
    });
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 2)
}

/// What each tap of a kernel sees, `(n, n_rois, n_taps, n_frames)`: `before` zeros and then the frames
/// `(n, n_rois, n_frames)`, as many positions as there are frames.
fn shifted(xs: &Tensor, n_taps: usize, dilation: usize, before: usize) -> Result<Tensor> {
    let n_frames = xs.dim(2)?;
    let padded = xs.pad_with_zeros(2, before, (n_taps - 1) * dilation - before)?;
    let taps: Vec<Tensor> =
        (0..n_taps).map(|tap| padded.narrow(2, tap * dilation, n_frames)).collect::<Result<_>>()?;
    Tensor::stack(&taps, 2)?.contiguous()
}

fn fan_in(n: usize) -> Init {
    let bound = 1. / (n as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}
