//! Finite differences against the analytic gradient, for the tests of every crate.

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};

use crate::weights::seeded;

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
