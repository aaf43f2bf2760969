//! GELU (exact), its two approximations, and SiLU.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use kernels::Activation;

use crate::Ops;
use crate::op::{Elem, by_dtype, filled, slice, with_slice};

/// The function of every element; any shape.
pub fn activated(ops: Ops, xs: &Tensor, activation: Activation) -> Result<Tensor> {
    if ops.are_kernels(xs) {
        return xs.contiguous()?.apply_op1(Pointwise(activation));
    }
    match activation {
        Activation::Gelu => xs.gelu_erf(),
        Activation::GeluTanh => xs.gelu(),
        Activation::QuickGelu => xs * candle_nn::ops::sigmoid(&(xs * 1.702)?)?,
        Activation::Silu => xs.silu(),
    }
}

/// `x · Φ(x)`, the exact GELU of the perceiver and the gated blocks; any shape.
pub fn gelu(ops: Ops, xs: &Tensor) -> Result<Tensor> {
    activated(ops, xs, Activation::Gelu)
}

/// GELU with the hyperbolic tangent (Hendrycks and Gimpel 2016); any shape.
pub fn gelu_tanh(ops: Ops, xs: &Tensor) -> Result<Tensor> {
    activated(ops, xs, Activation::GeluTanh)
}

/// `x · sigmoid(x)`, of LLaMA's feed-forward; any shape.
pub fn silu(ops: Ops, xs: &Tensor) -> Result<Tensor> {
    activated(ops, xs, Activation::Silu)
}

struct Pointwise(Activation);

impl CustomOp1 for Pointwise {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        fn run<T: Elem>(f: Activation, s: &CpuStorage, l: &Layout) -> Result<CpuStorage> {
            let xs = slice::<T>(s, l)?;
            let mut ys = vec![T::ZERO; xs.len()];
            f.forward(xs, &mut ys);
            Ok(T::to_cpu_storage_owned(ys))
        }
        use candle_core::backend::BackendStorage;
        let out = by_dtype!(storage.dtype(), T => run::<T>(self.0, storage, layout)?);
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, xs: &Tensor, _: &Tensor, dys: &Tensor) -> Result<Option<Tensor>> {
        fn run<T: Elem>(f: Activation, xs: &Tensor, dys: &Tensor) -> Result<Tensor> {
            with_slice::<T, _>(xs, |x| {
                with_slice::<T, _>(dys, |dy| filled::<T>(xs, |dx| f.backward(x, dy, dx)))
            })??
        }
        let (xs, dys) = (xs.contiguous()?, dys.contiguous()?);
        Ok(Some(by_dtype!(xs.dtype(), T => run::<T>(self.0, &xs, &dys)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, same_on_both, sample};

    const ALL: [Activation; 4] =
        [Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu, Activation::Silu];

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        for f in ALL {
            let xs = sample("x", (3, 5))?;
            for ops in Ops::ALL {
                check(&[("x", &xs)], || activated(ops, &xs, f)?.sqr()?.sum_all())?;
            }
        }
        Ok(())
    }

    #[test]
    fn the_kernel_equals_candles_own_function() -> Result<()> {
        let xs = sample("x", (64,))?;
        for f in ALL {
            // candle's constants of the gradient of GELU have six digits
            same_on_both(&[&xs], 2e-6, |ops| activated(ops, &xs, f))?;
            let [a, b] = Ops::ALL.map(|ops| activated(ops, &xs, f));
            let gap = (a? - b?)?.abs()?.max_all()?.to_scalar::<f64>()?;
            assert!(gap < 1e-12, "{gap}");
        }
        Ok(())
    }
}
