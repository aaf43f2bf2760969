//! Convolutions over volumes, which candle does not have.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Module, Result, Shape, Tensor, WithDType, bail};
use candle_nn::Init;

use crate::matrix::by_candle;
use crate::op::{Elem, by_dtype, slice, with_slice};
use crate::{Builder, Ops};

/// A window of 3 × 3 × 3 voxels over volumes whose channels come last, one voxel of zeros around.
#[derive(Clone, Debug)]
pub struct Conv3d {
    /// A variable as PyTorch stores it, a constant `(n_out, 3, 3, 3, n_in)`.
    weight: Tensor,
    bias: Tensor,
    stride: usize,
    ops: Ops,
}

impl Conv3d {
    /// Reads `weight`, `(n_out, n_in, 3, 3, 3)` as PyTorch stores it, and, where `bias`, `bias`.
    pub fn new(n_in: usize, n_out: usize, stride: usize, bias: bool, vb: Builder) -> Result<Self> {
        let bound = 1. / ((n_in * 27) as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let weight = vb.get((n_out, n_in, 3, 3, 3), "weight", init)?;
        let bias = if bias {
            vb.get(n_out, "bias", init)?
        } else {
            Tensor::zeros(n_out, weight.dtype(), weight.device())?
        };
        let weight = if weight.track_op() { weight } else { channels_last(&weight)? };
        Ok(Self { weight, bias, stride, ops: vb.ops() })
    }
}

/// `(n_out, n_in, 3, 3, 3)` to `(n_out, 3, 3, 3, n_in)`.
fn channels_last(weight: &Tensor) -> Result<Tensor> {
    weight.permute(vec![0, 2, 3, 4, 1])?.contiguous()
}

impl Module for Conv3d {
    /// `(batch, depth, height, width, n_in)` to `(batch, ⌈depth / stride⌉, …, n_out)`.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (batch, depth, height, width, n_in) = xs.dims5()?;
        let weight =
            if self.weight.track_op() { &channels_last(&self.weight)? } else { &self.weight };
        if n_in != weight.dim(4)? {
            bail!("a convolution of {} channels was given {:?}", weight.dim(4)?, xs.dims())
        }
        let (n_out, stride) = (weight.dim(0)?, self.stride);
        if !self.ops.are_kernels(xs) {
            return composed(xs, weight, stride)?.broadcast_add(&self.bias);
        }
        let conv = kernels::Conv3d { batch, size: [depth, height, width], n_in, n_out, stride };
        xs.contiguous()?.apply_op3(weight, &self.bias, Op(conv))
    }
}

/// The convolution without its bias from candle's own operations: all voxels of the window of every
/// output side by side, times the weight `(n_out, 3, 3, 3, n_in)`.
fn composed(xs: &Tensor, weight: &Tensor, stride: usize) -> Result<Tensor> {
    let (batch, depth, height, width, n_in) = xs.dims5()?;
    let out = [depth, height, width].map(|n| n.div_ceil(stride));
    let mut windows = xs.clone();
    // one axis after the other, so that a voxel is copied for its neighbours along one at a time
    for (axis, n) in out.into_iter().enumerate() {
        let padded = windows.pad_with_zeros(axis + 1, 1, 1)?.contiguous()?;
        let shifted = |first: usize| {
            let at: Vec<u32> = (0..n).map(|i| (i * stride + first) as u32).collect();
            padded.index_select(&Tensor::from_vec(at, n, xs.device())?, axis + 1)
        };
        windows = Tensor::stack(&[shifted(0)?, shifted(1)?, shifted(2)?], axis + 4)?;
    }
    let rows = windows.reshape((batch * out.iter().product::<usize>(), 27 * n_in))?;
    let n_out = weight.dim(0)?;
    let product = by_candle(&rows, &weight.reshape((n_out, 27 * n_in))?, false)?;
    product.reshape((batch, out[0], out[1], out[2], n_out))
}

struct Op(kernels::Conv3d);

impl Op {
    fn gradients<T: Elem>(
        &self,
        [xs, weight, bias]: [&Tensor; 3],
        dys: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let like = |values: Vec<T>, xs: &Tensor| Tensor::from_vec(values, xs.shape(), xs.device());
        let dxs = if xs.track_op() {
            let dxs = with_slice::<T, _>(weight, |weight| {
                with_slice::<T, _>(dys, |dys| self.0.backward_input(weight, dys))
            })??;
            Some(like(dxs, xs)?)
        } else {
            None
        };
        if !weight.track_op() && !bias.track_op() {
            return Ok((dxs, None, None));
        }
        let (dweight, dbias) = with_slice::<T, _>(xs, |xs| {
            with_slice::<T, _>(dys, |dys| self.0.backward_parameters(xs, dys))
        })??;
        let dbias = bias.track_op().then(|| like(dbias, bias)).transpose()?;
        Ok((dxs, Some(like(dweight, weight)?), dbias))
    }
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "conv3d"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xs_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let conv = &self.0;
        let out = by_dtype!(xs.dtype(), T => {
            let mut ys = vec![0. as T; conv.n_outputs()];
            let (xs, bias) = (slice(xs, xs_layout)?, slice(bias, bias_layout)?);
            conv.forward(xs, slice(weight, weight_layout)?, Some(bias), &mut ys);
            T::to_cpu_storage_owned(ys)
        });
        let [depth, height, width] = conv.out_size();
        Ok((out, Shape::from((conv.batch, depth, height, width, conv.n_out))))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        dys: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dys = dys.contiguous()?;
        by_dtype!(xs.dtype(), T => self.gradients::<T>([xs, weight, bias], &dys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, same_on_both, sample};
    use crate::weights::Variables;
    use candle_core::DType;

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        for (stride, bias) in [(1, true), (2, false)] {
            let variables = Variables::default();
            let conv = Conv3d::new(2, 3, stride, bias, variables.builder(1, DType::F64))?;
            let xs = sample("x", (2, 5, 4, 3, 2))?;
            let named = variables.all();
            assert_eq!(named.len(), 1 + usize::from(bias));
            let mut vars = vec![("x", &xs)];
            vars.extend(named.iter().map(|(name, var)| (name.as_str(), var)));
            check(&vars, || conv.forward(&xs)?.sqr()?.sum_all())?;
            let vars: Vec<_> = vars.iter().map(|(_, var)| *var).collect();
            same_on_both(&vars, 1e-12, |ops| Conv3d { ops, ..conv.clone() }.forward(&xs))?;
        }
        Ok(())
    }

    #[test]
    fn a_window_as_deep_as_one_plane_is_candles_flat_convolution() -> Result<()> {
        let variables = Variables::default();
        let conv = Conv3d::new(2, 3, 2, false, variables.builder(1, DType::F64))?;
        let xs = sample("x", (1, 1, 7, 6, 2))?;
        // of a volume of one plane only the window's middle plane meets anything but zeros
        let flat = variables.all()[0].1.narrow(2, 1, 1)?.squeeze(2)?.contiguous()?;
        let planes = xs.squeeze(1)?.permute((0, 3, 1, 2))?.contiguous()?;
        let theirs = planes.conv2d(&flat, 1, 2, 1, 1)?.permute((0, 2, 3, 1))?;
        let gap = (conv.forward(&xs)?.squeeze(1)? - theirs)?.abs()?.max_all()?;
        assert!(gap.to_scalar::<f64>()? < 1e-14);
        Ok(())
    }

    #[test]
    fn other_channels_are_refused() -> Result<()> {
        let conv = Conv3d::new(2, 3, 1, true, Variables::default().builder(1, DType::F64))?;
        let error = conv.forward(&*sample("x", (1, 2, 2, 2, 5))?).unwrap_err().to_string();
        assert!(error.contains("2 channels") && error.contains("[1, 2, 2, 2, 5]"), "{error}");
        Ok(())
    }
}
