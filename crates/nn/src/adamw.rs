//! `AdamW` by our kernel on plain numbers, and by candle's operations where a variable lies.

use candle_core::{Result, Tensor};
pub use kernels::AdamW;
use kernels::Real;

use crate::device::count_kernel;

/// Updates `values` and the two moments in place from the gradient `grads · grad_scale`; `step` counts from 1.
pub fn adamw<T: Real>(
    config: &AdamW,
    step: u32,
    grad_scale: f64,
    values: &mut [T],
    grads: &[T],
    first: &mut [T],
    second: &mut [T],
) {
    count_kernel();
    kernels::adamw(config, step, grad_scale, values, grads, first, second);
}

/// One update of a variable `(…)` by `grads · grad_scale`: the new values and both moments, shaped as
/// it; `step` counts from 1.
pub fn adamw_on(
    config: &AdamW,
    step: u32,
    grad_scale: f64,
    [values, grads, first, second]: [&Tensor; 4],
) -> Result<[Tensor; 3]> {
    let AdamW { lr, beta1, beta2, eps, weight_decay } = *config;
    let correct1 = 1. - beta1.powi(step as i32);
    let correct2 = 1. - beta2.powi(step as i32);
    let grads = (grads * grad_scale)?;
    let first = ((first * beta1)? + (&grads * (1. - beta1))?)?;
    let second = ((second * beta2)? + (grads.sqr()? * (1. - beta2))?)?;
    let root = ((&second / correct2)?.sqrt()? + eps)?;
    let update = ((&first / correct1)? / root)?;
    let values = ((values * (1. - lr * weight_decay))? - (update * lr)?)?;
    Ok([values, first, second])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::sample;

    #[test]
    fn three_steps_on_a_device_are_those_of_the_kernel() -> Result<()> {
        let config = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
        let values = sample("w", (3, 4))?.as_detached_tensor();
        let plain = |xs: &Tensor| xs.flatten_all()?.to_vec1::<f64>();
        let (mut w, mut m, mut v) = (plain(&values)?, vec![0f64; 12], vec![0f64; 12]);
        let zeros = values.zeros_like()?;
        let mut state = [values, zeros.clone(), zeros];
        for step in 1..=3 {
            let grads = sample(&format!("g{step}"), (3, 4))?.as_detached_tensor();
            let before = crate::kernel_calls();
            adamw(&config, step, 0.7, &mut w, &plain(&grads)?, &mut m, &mut v);
            assert_eq!(crate::kernel_calls(), before + 1);
            let [values, first, second] = &state;
            state = adamw_on(&config, step, 0.7, [values, &grads, first, second])?;
            assert_eq!(crate::kernel_calls(), before + 1);
        }
        for (ours, theirs) in [w, m, v].iter().zip(&state) {
            for (a, b) in ours.iter().zip(plain(theirs)?) {
                assert!((a - b).abs() < 1e-14, "{a} {b}");
            }
        }
        Ok(())
    }
}
