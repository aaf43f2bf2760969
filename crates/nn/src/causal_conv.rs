//! A causal convolution along the tokens, one kernel a channel.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use candle_nn::Init;

use crate::op::{Elem, by_dtype, slice, with_slice};
use crate::{Builder, Ops};

/// A convolution of every channel with its own taps, over the token and those before it.
#[derive(Clone, Debug)]
pub struct CausalConv {
    /// `(n_channels, n_taps)`.
    weight: Tensor,
    bias: Tensor,
    ops: Ops,
}

impl CausalConv {
    /// Reads `weight`, `(n_channels, 1, n_taps)`, and `bias`.
    pub fn new(n_channels: usize, n_taps: usize, vb: Builder) -> Result<Self> {
        let bound = 1. / (n_taps as f64).sqrt();
        let init = Init::Uniform { lo: -bound, up: bound };
        let weight = vb.get((n_channels, 1, n_taps), "weight", init)?.squeeze(1)?;
        Ok(Self { weight, bias: vb.get(n_channels, "bias", init)?, ops: vb.ops() })
    }

    /// `(batch, n_tokens, n_channels)` to the same shape; where `reverse`, along the sequence from its
    /// last token to its first.
    pub fn forward(&self, xs: &Tensor, reverse: bool) -> Result<Tensor> {
        let (_, n_tokens, n_channels) = xs.dims3()?;
        let (width, n_taps) = self.weight.dims2()?;
        if n_channels != width || n_tokens == 0 {
            bail!("a convolution of {width} channels was given tokens {:?}", xs.dims())
        }
        if !self.ops.are_kernels(xs) {
            return self.composed(xs, reverse);
        }
        let conv = kernels::CausalConv { n_tokens, n_channels, n_taps, reverse };
        xs.contiguous()?.apply_op3(&self.weight, &self.bias, Op(conv))
    }

    /// The same from candle's own operations. The last tap is that of the token itself.
    fn composed(&self, xs: &Tensor, reverse: bool) -> Result<Tensor> {
        let (n_tokens, n_taps) = (xs.dim(1)?, self.weight.dim(1)?);
        let (before, behind) = if reverse { (0, n_taps - 1) } else { (n_taps - 1, 0) };
        let padded = xs.pad_with_zeros(1, before, behind)?;
        let mut sum = None;
        for tap in 0..n_taps {
            let first = if reverse { n_taps - 1 - tap } else { tap };
            let weight = self.weight.narrow(1, tap, 1)?.flatten_all()?;
            let term = padded.narrow(1, first, n_tokens)?.broadcast_mul(&weight)?;
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
        sum.expect("a kernel has a tap").broadcast_add(&self.bias)
    }
}

struct Op(kernels::CausalConv);

impl Op {
    fn gradients<T: Elem>(
        &self,
        [xs, weight, bias]: [&Tensor; 3],
        dys: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut dxs = vec![T::ZERO; xs.elem_count()];
        let (dweight, dbias) = with_slice::<T, _>(xs, |xs| {
            with_slice::<T, _>(weight, |weight| {
                with_slice::<T, _>(dys, |dys| self.0.backward(xs, weight, dys, &mut dxs))
            })
        })???;
        let like = |values: Vec<T>, xs: &Tensor| Tensor::from_vec(values, xs.shape(), xs.device());
        let dweight = weight.track_op().then(|| like(dweight, weight)).transpose()?;
        let dbias = bias.track_op().then(|| like(dbias, bias)).transpose()?;
        Ok((Some(like(dxs, xs)?), dweight, dbias))
    }
}

impl CustomOp3 for Op {
    fn name(&self) -> &'static str {
        "causal_conv"
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
        let out = by_dtype!(xs.dtype(), T => {
            let xs = slice::<T>(xs, xs_layout)?;
            let mut ys = vec![0. as T; xs.len()];
            let weight = slice(weight, weight_layout)?;
            self.0.forward(xs, weight, slice(bias, bias_layout)?, &mut ys);
            T::to_cpu_storage_owned(ys)
        });
        Ok((out, xs_layout.shape().clone()))
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

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let (xs, weight, bias) = (sample("x", (2, 6, 3))?, sample("w", (3, 4))?, sample("b", 3)?);
        let of = |ops| CausalConv {
            weight: weight.as_tensor().clone(),
            bias: bias.as_tensor().clone(),
            ops,
        };
        let conv = of(Ops::Kernels);
        for reverse in [false, true] {
            same_on_both(&[&xs, &weight, &bias], 1e-12, |ops| of(ops).forward(&xs, reverse))?;
            check(&[("x", &xs), ("weight", &weight), ("bias", &bias)], || {
                conv.forward(&xs, reverse)?.sqr()?.sum_all()
            })?;
        }
        Ok(())
    }

    #[test]
    fn other_channels_are_refused() -> Result<()> {
        let conv = CausalConv {
            weight: sample("w", (3, 4))?.copy()?,
            bias: sample("b", 3)?.copy()?,
            ops: Ops::Kernels,
        };
        let error = conv.forward(&*sample("x", (1, 2, 5))?, false).unwrap_err().to_string();
        assert!(error.contains("3 channels"), "{error}");
        Ok(())
    }
}
