//! The affine map, and its frozen form that spends nothing on the weight's gradient.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Module, Result, Shape, Storage, Tensor, bail};
use candle_nn::{Init, VarBuilder};

/// `y = x Wᵀ + b`, weight `(out, in)`.
///
/// candle's matrix product computes and keeps a gradient for both operands. Where the weight is a
/// constant this layer uses an operation of its own, whose backward pass gives the input's
/// gradient alone.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Reads `weight`, drawn as PyTorch draws it where it is new: U(±1/√in).
    pub fn new(dim_in: usize, dim_out: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: vb.get_with_hints((dim_out, dim_in), "weight", fan_in(dim_in))?,
            bias: None,
        })
    }

    /// Reads `weight` and `bias`.
    pub fn with_bias(dim_in: usize, dim_out: usize, vb: VarBuilder) -> Result<Self> {
        let bias = Some(vb.get_with_hints(dim_out, "bias", fan_in(dim_in))?);
        Ok(Self { bias, ..Self::new(dim_in, dim_out, vb)? })
    }

    /// A layer around a weight `(out, in)` that something else owns too, such as a tied head.
    pub fn tied(weight: Tensor) -> Self {
        Self { weight, bias: None }
    }
}

fn fan_in(dim_in: usize) -> Init {
    let bound = 1. / (dim_in as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

impl Module for Linear {
    /// `(…, in)` to `(…, out)`.
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (dim_out, dim_in) = self.weight.dims2()?;
        let mut shape = xs.dims().to_vec();
        if shape.last() != Some(&dim_in) {
            bail!("a linear layer of {dim_in} inputs was given tokens of shape {shape:?}")
        }
        *shape.last_mut().expect("checked above") = dim_out;
        let rows = xs.reshape(((), dim_in))?.contiguous()?;
        let ys = if self.weight.track_op() || !xs.device().is_cpu() {
            rows.matmul(&self.weight.t()?)?
        } else {
            rows.apply_op1(FrozenProduct(self.weight.contiguous()?))?
        };
        let ys = ys.reshape(shape)?;
        match &self.bias {
            Some(bias) => ys.broadcast_add(bias),
            None => Ok(ys),
        }
    }
}

/// `x Wᵀ` for a constant weight.
struct FrozenProduct(Tensor);

impl CustomOp1 for FrozenProduct {
    fn name(&self) -> &'static str {
        "frozen_linear"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, dim_in) = layout.shape().dims2()?;
        let dim_out = self.0.dims()[0];
        let (storage, weight) = self.0.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { bail!("a frozen weight on another device") };
        let out = xs.matmul(storage, (1, n, dim_out, dim_in), layout, &weight.transpose(0, 1)?)?;
        Ok((out, Shape::from((n, dim_out))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, dys: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dys.contiguous()?.matmul(&self.0)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, sample};

    #[test]
    fn gradients_match_finite_differences_frozen_and_trainable() -> Result<()> {
        let (xs, weight, bias) = (sample("x", (2, 3, 4))?, sample("w", (5, 4))?, sample("b", 5)?);
        let trainable =
            Linear { weight: weight.as_tensor().clone(), bias: Some(bias.as_tensor().clone()) };
        check(&[("x", &xs), ("weight", &weight), ("bias", &bias)], || {
            trainable.forward(&xs)?.sqr()?.sum_all()
        })?;
        let frozen = Linear { weight: weight.as_detached_tensor(), bias: None };
        check(&[("x", &xs)], || frozen.forward(&xs)?.sqr()?.sum_all())?;
        let thawed = Linear { weight: weight.as_tensor().clone(), bias: None };
        let gap = (frozen.forward(&xs)? - thawed.forward(&xs)?)?.abs()?.max_all()?;
        assert_eq!(gap.to_scalar::<f64>()?, 0.);
        Ok(())
    }

    #[test]
    fn a_frozen_weight_gets_no_gradient() -> Result<()> {
        let (xs, weight) = (sample("x", (2, 4))?, sample("w", (5, 4))?);
        let constant = weight.as_detached_tensor();
        let grads = Linear::tied(constant.clone()).forward(&xs)?.sum_all()?.backward()?;
        assert!(grads.get(&constant).is_none() && grads.get(&xs).is_some());
        Ok(())
    }
}
