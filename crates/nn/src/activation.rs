//! GELU (exact), its two approximations, and SiLU.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use kernels::Activation;

use crate::op::{Elem, by_dtype, filled, slice, with_slice};

/// `x · Φ(x)`, the exact GELU of the perceiver and the gated blocks; any shape.
pub fn gelu(xs: &Tensor) -> Result<Tensor> {
    if xs.device().is_cpu() { apply(xs, Activation::Gelu) } else { xs.gelu_erf() }
}

/// `x · sigmoid(x)`, of LLaMA's feed-forward; any shape.
pub fn silu(xs: &Tensor) -> Result<Tensor> {
    if xs.device().is_cpu() { apply(xs, Activation::Silu) } else { xs.silu() }
}

/// `x · sigmoid(1.702 x)`, of OpenAI's CLIP; any shape.
pub fn quick_gelu(xs: &Tensor) -> Result<Tensor> {
    if xs.device().is_cpu() {
        apply(xs, Activation::QuickGelu)
    } else {
        xs * candle_nn::ops::sigmoid(&(xs * 1.702)?)?
    }
}

/// GELU with the hyperbolic tangent (Hendrycks and Gimpel 2016); any shape.
pub fn gelu_tanh(xs: &Tensor) -> Result<Tensor> {
    if xs.device().is_cpu() { apply(xs, Activation::GeluTanh) } else { xs.gelu() }
}

/// The function of every element; any shape.
pub fn activated(xs: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Gelu => gelu(xs),
        Activation::GeluTanh => gelu_tanh(xs),
        Activation::QuickGelu => quick_gelu(xs),
        Activation::Silu => silu(xs),
    }
}

fn apply(xs: &Tensor, activation: Activation) -> Result<Tensor> {
    xs.contiguous()?.apply_op1(Pointwise(activation))
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
    use crate::gradcheck::{check, sample};

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        for f in [gelu, silu, quick_gelu, gelu_tanh] {
            let xs = sample("x", (3, 5))?;
            check(&[("x", &xs)], || f(xs.as_tensor())?.sqr()?.sum_all())?;
        }
        Ok(())
    }

    #[test]
    fn the_kernel_equals_candles_own_function() -> Result<()> {
        let xs = sample("x", (64,))?;
        let gap = (gelu(&xs)? - xs.gelu_erf()?)?.abs()?.max_all()?.to_scalar::<f64>()?;
        assert!(gap < 1e-12, "{gap}");
        let gap = (gelu_tanh(&xs)? - xs.gelu()?)?.abs()?.max_all()?.to_scalar::<f64>()?;
        assert!(gap < 1e-12, "{gap}");
        let gap = (silu(&xs)? - xs.silu()?)?.abs()?.max_all()?.to_scalar::<f64>()?;
        assert!(gap < 1e-12, "{gap}");
        Ok(())
    }
}
