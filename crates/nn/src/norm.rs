//! Layer norm and RMS norm with gradients for input and parameters.

use crate::{Builder, Ops};
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, D, DType, Layout, Module, Result, Shape, Tensor, bail,
};
use candle_nn::Init;

use crate::op::{Elem, by_dtype, filled, slice, with_slice};

/// Layer norm over the last dimension: weight and bias, biased variance (Ba et al. 2016).
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
    ops: Ops,
}

impl LayerNorm {
    /// Reads `weight` and `bias`, `(dim)` each; `eps` is 1e-5 in the whole Flamingo adapter.
    pub fn new(dim: usize, eps: f64, vb: Builder) -> Result<Self> {
        Ok(Self {
            weight: vb.get(dim, "weight", Init::Const(1.))?,
            bias: vb.get(dim, "bias", Init::Const(0.))?,
            eps,
            ops: vb.ops(),
        })
    }

    /// Reads `weight` and, where the model has biases, `bias`; without one the bias is zero.
    pub fn maybe_biased(dim: usize, eps: f64, bias: bool, vb: Builder) -> Result<Self> {
        if bias {
            return Self::new(dim, eps, vb);
        }
        let weight = vb.get(dim, "weight", Init::Const(1.))?;
        let bias = Tensor::zeros(dim, weight.dtype(), weight.device())?;
        Ok(Self { weight, bias, eps, ops: vb.ops() })
    }

    /// `xs` `(batch, n, dim)`, normed, and behind them `others` `(batch, m, dim)` as they are, written
    /// where they stand together where nothing asks for a gradient.
    pub fn before(&self, xs: &Tensor, others: &Tensor) -> Result<Tensor> {
        let plain =
            |it: &Tensor| !it.track_op() && self.ops.are_kernels(it) && it.dtype() == DType::F32;
        if ![xs, others, &self.weight, &self.bias].into_iter().all(plain) {
            return Tensor::cat(&[&self.forward(xs)?, others], 1);
        }
        let ((batch, n, dim), (_, m, _)) = (xs.dims3()?, others.dims3()?);
        if others.dims() != [batch, m, dim] || self.weight.dims() != [dim] {
            bail!("a norm over {:?} before {:?}", xs.shape(), others.shape())
        }
        let (xs, others) = (xs.contiguous()?, others.contiguous()?);
        let mut joined = vec![0f32; batch * (n + m) * dim];
        with_slice::<f32, _>(&xs, |xs| {
            with_slice::<f32, _>(&others, |others| {
                with_slice::<f32, _>(&self.weight, |weight| {
                    with_slice::<f32, _>(&self.bias, |bias| {
                        for (item, joined) in joined.chunks_mut((n + m) * dim).enumerate() {
                            let (normed, rest) = joined.split_at_mut(n * dim);
                            let xs = &xs[item * n * dim..][..n * dim];
                            kernels::layer_norm(xs, weight, bias, self.eps, normed);
                            rest.copy_from_slice(&others[item * m * dim..][..m * dim]);
                        }
                    })
                })
            })
        })????;
        Tensor::from_vec(joined, (batch, n + m, dim), xs.device())
    }

    fn composed(&self, xs: &Tensor) -> Result<Tensor> {
        check_dim(xs.layout(), self.weight.layout())?;
        let centred = xs.broadcast_sub(&xs.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        centred
            .broadcast_div(&(variance + self.eps)?.sqrt()?)?
            .broadcast_mul(&self.weight)?
            .broadcast_add(&self.bias)
    }
}

impl Module for LayerNorm {
    /// `(…, dim)` to the same shape.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        if !self.ops.are_kernels(xs) {
            return self.composed(xs);
        }
        xs.contiguous()?.apply_op3(&self.weight, &self.bias, LayerNormOp(self.eps))
    }
}

/// RMS norm over the last dimension: weight, no bias (Zhang and Sennrich 2019).
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
    ops: Ops,
}

impl RmsNorm {
    /// Reads `weight`, `(dim)`.
    pub fn new(dim: usize, eps: f64, vb: Builder) -> Result<Self> {
        let weight = vb.get(dim, "weight", Init::Const(1.))?;
        Ok(Self { weight, eps, ops: vb.ops() })
    }

    fn composed(&self, xs: &Tensor) -> Result<Tensor> {
        check_dim(xs.layout(), self.weight.layout())?;
        let square = xs.sqr()?.mean_keepdim(D::Minus1)?;
        xs.broadcast_div(&(square + self.eps)?.sqrt()?)?.broadcast_mul(&self.weight)
    }
}

impl Module for RmsNorm {
    /// `(…, dim)` to the same shape.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        if !self.ops.are_kernels(xs) {
            return self.composed(xs);
        }
        xs.contiguous()?.apply_op2(&self.weight, RmsNormOp(self.eps))
    }
}

/// A row kernel divides by the weight's length, so the shapes are checked before it runs.
fn check_dim(layout: &Layout, weight: &Layout) -> Result<()> {
    if layout.dims().last() != Some(&weight.shape().elem_count()) {
        bail!("a norm over {:?} was given tokens of shape {:?}", weight.dims(), layout.dims())
    }
    Ok(())
}

struct LayerNormOp(f64);

impl CustomOp3 for LayerNormOp {
    fn name(&self) -> &'static str {
        "layer_norm"
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
        check_dim(xs_layout, weight_layout)?;
        let out = by_dtype!(xs.dtype(), T => {
            let xs = slice::<T>(xs, xs_layout)?;
            let mut ys = vec![0. as T; xs.len()];
            let weight = slice(weight, weight_layout)?;
            kernels::layer_norm(xs, weight, slice(bias, bias_layout)?, self.0, &mut ys);
            <T as candle_core::WithDType>::to_cpu_storage_owned(ys)
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
        let (xs, dys) = (xs.contiguous()?, dys.contiguous()?);
        let trainable = weight.track_op() || bias.track_op();
        by_dtype!(xs.dtype(), T => {
            let (dxs, both) = norm_backward::<T, _>(&xs, weight, &dys, |x, w, dy, dx| {
                kernels::layer_norm_backward(x, w, dy, self.0, dx, trainable)
            })?;
            let Some((dweight, dbias)) = both else { return Ok((Some(dxs), None, None)) };
            let like = |values| Tensor::from_vec(values, weight.shape(), weight.device());
            let dbias = bias.track_op().then(|| like(dbias)).transpose()?;
            Ok((Some(dxs), Some(like(dweight)?), dbias))
        })
    }
}

struct RmsNormOp(f64);

impl CustomOp2 for RmsNormOp {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xs_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        check_dim(xs_layout, weight_layout)?;
        let out = by_dtype!(xs.dtype(), T => {
            let xs = slice::<T>(xs, xs_layout)?;
            let mut ys = vec![0. as T; xs.len()];
            kernels::rms_norm(xs, slice(weight, weight_layout)?, self.0, &mut ys);
            <T as candle_core::WithDType>::to_cpu_storage_owned(ys)
        });
        Ok((out, xs_layout.shape().clone()))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dys: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (xs, dys) = (xs.contiguous()?, dys.contiguous()?);
        by_dtype!(xs.dtype(), T => {
            let (dxs, dweight) = norm_backward::<T, _>(&xs, weight, &dys, |x, w, dy, dx| {
                kernels::rms_norm_backward(x, w, dy, self.0, dx, weight.track_op())
            })?;
            let dweight = dweight
                .map(|values| Tensor::from_vec(values, weight.shape(), weight.device()))
                .transpose()?;
            Ok((Some(dxs), dweight))
        })
    }
}

/// Runs a norm's backward kernel over the data of `(xs, weight, dys)`.
fn norm_backward<T: Elem, R>(
    xs: &Tensor,
    weight: &Tensor,
    dys: &Tensor,
    kernel: impl FnOnce(&[T], &[T], &[T], &mut [T]) -> R,
) -> Result<(Tensor, R)> {
    let mut rest = None;
    let dxs = with_slice::<T, _>(xs, |x| {
        with_slice::<T, _>(weight, |w| {
            with_slice::<T, _>(dys, |dy| filled::<T>(xs, |dx| rest = Some(kernel(x, w, dy, dx))))
        })
    })????;
    Ok((dxs, rest.expect("the kernel ran")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, same_on_both, sample};
    use crate::weights::Variables;

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let (xs, weight, bias) = (sample("x", (2, 3, 5))?, sample("w", 5)?, sample("b", 5)?);
        let target = sample("t", (2, 3, 5))?;
        let norm = LayerNorm {
            weight: weight.as_tensor().clone(),
            bias: bias.as_tensor().clone(),
            eps: 1e-5,
            ops: Ops::Kernels,
        };
        check(&[("x", &xs), ("weight", &weight), ("bias", &bias)], || {
            (norm.forward(&xs)? * target.as_tensor())?.sum_all()
        })?;
        let norm = RmsNorm { weight: weight.as_tensor().clone(), eps: 1e-5, ops: Ops::Kernels };
        check(&[("x", &xs), ("weight", &weight)], || {
            (norm.forward(&xs)? * target.as_tensor())?.sum_all()
        })
    }

    #[test]
    fn a_norm_without_bias_has_a_gradient_for_its_weight_alone() -> Result<()> {
        let variables = Variables::default();
        let norm = LayerNorm::maybe_biased(5, 1e-5, false, variables.builder(1, DType::F64))?;
        let (name, weight) = variables.all().remove(0);
        assert_eq!((variables.all().len(), name.as_str()), (1, "weight"));
        let (xs, target) = (sample("x", (3, 5))?, sample("t", (3, 5))?);
        let f = || (norm.forward(&xs)? * target.as_tensor())?.sum_all();
        check(&[("x", &xs), ("weight", &weight)], f)?;
        assert!(f()?.backward()?.get(&norm.bias).is_none());
        Ok(())
    }

    #[test]
    fn the_kernel_equals_the_composed_form() -> Result<()> {
        let (xs, weight, bias) = (sample("x", (4, 3, 16))?, sample("w", 16)?, sample("b", 16)?);
        let of = |var: &candle_core::Var| var.as_tensor().clone();
        same_on_both(&[&xs, &weight, &bias], 1e-12, |ops| {
            LayerNorm { weight: of(&weight), bias: of(&bias), eps: 1e-5, ops }.forward(&xs)
        })?;
        same_on_both(&[&xs, &weight], 1e-12, |ops| {
            RmsNorm { weight: of(&weight), eps: 1e-5, ops }.forward(&xs)
        })?;
        same_on_both(&[], 1e-5, |ops| {
            let single = |xs: &Tensor| xs.detach().to_dtype(DType::F32);
            let norm = LayerNorm { weight: single(&weight)?, bias: single(&bias)?, eps: 1e-5, ops };
            norm.before(&single(&xs)?, &single(&xs.narrow(1, 0, 2)?)?)
        })
    }

    #[test]
    fn others_stand_behind_what_is_normed() -> Result<()> {
        let single = |name, n: usize| sample(name, (2, n, 6))?.to_dtype(DType::F32);
        let (xs, others) = (single("x", 3)?.detach(), single("y", 2)?.detach());
        let weight = sample("w", 6)?.to_dtype(DType::F32)?.detach();
        let norm = LayerNorm { weight: weight.clone(), bias: weight, eps: 1e-5, ops: Ops::Kernels };
        let bits = |it: &Tensor| it.flatten_all()?.to_vec1::<f32>();
        let steps = Tensor::cat(&[&norm.forward(&xs)?, &others], 1)?;
        let joined = norm.before(&xs, &others)?;
        assert_eq!((joined.dims(), bits(&joined)?), (steps.dims(), bits(&steps)?));
        let var = candle_core::Var::from_tensor(&others)?;
        let grads = norm.before(&xs, &var)?.sum_all()?.backward()?;
        assert!(grads.get(&var).is_some());
        assert!(norm.before(&xs, &others.narrow(0, 0, 1)?).is_err());
        Ok(())
    }

    #[test]
    fn a_wrong_width_is_an_error() -> Result<()> {
        let norm =
            RmsNorm { weight: sample("w", 4)?.as_tensor().clone(), eps: 1e-5, ops: Ops::Kernels };
        let error = norm.forward(&*sample("x", (2, 6))?).unwrap_err().to_string();
        assert!(error.contains("[2, 6]"), "{error}");
        Ok(())
    }
}
