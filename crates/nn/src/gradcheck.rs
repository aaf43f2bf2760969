//! Finite differences against the analytic gradient, for the tests of every crate.

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};

use crate::weights::seeded;
use crate::{Ops, kernel_calls};

/// Step of the central difference; with `f64` the truncation error is near 1e-9 relative.
const STEP: f64 = 1e-5;
/// Largest accepted error, relative to the largest gradient entry of the tensor (and at least 1e-3).
const TOLERANCE: f64 = 1e-5;
/// Entries probed in each tensor.
const PROBES: usize = 6;

/// A standard-normal `f64` variable that depends on `name` alone.
pub fn sample(name: &str, shape: impl Into<Shape>) -> Result<Var> {
    let shape = shape.into();
    let values = seeded::normal(0, name, shape.elem_count(), 0., 1.);
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Fails unless the gradient of the scalar `f` for every variable matches central differences.
///
/// All variables must be `f64`. The probed entries are spread evenly over each tensor.
pub fn check(vars: &[(&str, &Var)], f: impl Fn() -> Result<Tensor>) -> Result<()> {
    let grads = f()?.backward()?;
    for (name, var) in vars {
        if var.dtype() != DType::F64 {
            bail!("{name}: gradients are checked in f64")
        }
        let Some(grad) = grads.get(var) else { bail!("{name}: no gradient") };
        let grad = grad.flatten_all()?.to_vec1::<f64>()?;
        let start = var.flatten_all()?.to_vec1::<f64>()?;
        let scale = grad.iter().fold(1e-3, |max: f64, g| max.max(g.abs()));
        for probe in 0..PROBES.min(start.len()) {
            let at = probe * start.len() / PROBES.min(start.len());
            let value = |shift: f64| {
                let mut moved = start.clone();
                moved[at] += shift;
                var.set(&Tensor::from_vec(moved, var.shape(), var.device())?)?;
                f()?.to_scalar::<f64>()
            };
            let slope = (value(STEP)? - value(-STEP)?) / (2. * STEP);
            value(0.)?;
            let error = (slope - grad[at]).abs() / scale;
            if error.is_nan() || error > TOLERANCE {
                bail!(
                    "{name}[{at}]: gradient {}, finite difference {slope} (error {error:.1e})",
                    grad[at]
                )
            }
        }
    }
    Ok(())
}

/// Fails unless both kinds of operations give the same values, and the same gradients of all variables,
/// within `tolerance` of the largest entry; and unless composed ones leave our kernels alone.
pub fn same_on_both(
    vars: &[&Var],
    tolerance: f64,
    f: impl Fn(Ops) -> Result<Tensor>,
) -> Result<()> {
    let ours = f(Ops::Kernels)?;
    let weights = seeded::normal(0, "weights of the values", ours.elem_count(), 0., 1.);
    let weights = Tensor::from_vec(weights, ours.shape(), ours.device())?.to_dtype(ours.dtype())?;
    let grads = |ys: &Tensor| (ys * &weights)?.sum_all()?.backward();
    let our_grads = grads(&ours)?;
    let before = kernel_calls();
    let theirs = f(Ops::Composed)?;
    let their_grads = grads(&theirs)?;
    if kernel_calls() != before {
        bail!("a composed operation used our kernels")
    }
    let mut pairs = vec![("the value".to_owned(), ours.clone(), theirs.clone())];
    for (idx, var) in vars.iter().enumerate() {
        let (Some(a), Some(b)) = (our_grads.get(var), their_grads.get(var)) else {
            bail!("variable {idx} has no gradient")
        };
        pairs.push((format!("the gradient of variable {idx}"), a.clone(), b.clone()));
    }
    for (what, a, b) in pairs {
        if a.dims() != b.dims() {
            bail!("{what} is {:?} and {:?}", a.dims(), b.dims())
        }
        let most =
            |xs: &Tensor| xs.to_dtype(DType::F64)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
        let (gap, scale) = (most(&(&a - &b)?)?, most(&a)?.max(1e-3));
        if gap.is_nan() || gap > tolerance * scale {
            bail!("{what} differs by {gap:.1e}, of at most {scale:.1e}")
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_gradient_is_caught() -> Result<()> {
        let xs = sample("x", (4,))?;
        assert!(check(&[("x", &xs)], || xs.sqr()?.sum_all()).is_ok());
        // the detached half contributes to the value but not to the gradient
        let halved = || (xs.sqr()? + xs.detach().sqr()?)?.sum_all();
        assert!(check(&[("x", &xs)], halved).is_err());
        Ok(())
    }

    #[test]
    fn candles_fused_rms_norm_still_cuts_the_gradient() -> Result<()> {
        let xs = Var::from_tensor(&sample("x", (2, 4))?.to_dtype(DType::F32)?)?;
        let ones = Tensor::ones(4, DType::F32, &Device::Cpu)?;
        #[expect(clippy::disallowed_methods, reason = "holds the reason for the ban")]
        let ys = candle_nn::ops::rms_norm(&xs.contiguous()?, &ones, 1e-5)?;
        let grads = ys.sqr()?.sum_all()?.backward()?;
        assert!(grads.get(&xs).is_none(), "candle was mended: the ban can go");
        Ok(())
    }
}
