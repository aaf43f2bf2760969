//! `AdamW` (Loshchilov and Hutter 2019), one fused pass over a parameter.

use rayon::prelude::*;

use crate::Real;

/// The numbers of one update; `step` counts from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the mean gradient.
    pub beta1: f64,
    /// Decay of the mean squared gradient.
    pub beta2: f64,
    /// Added to the root of the mean squared gradient.
    pub eps: f64,
    /// Decoupled weight decay, per unit of learning rate.
    pub weight_decay: f64,
}

/// Updates `values` and the two moments in place from the gradient `grads · grad_scale`.
pub fn adamw<T: Real>(
    config: &AdamW,
    step: u32,
    grad_scale: f64,
    values: &mut [T],
    grads: &[T],
    first: &mut [T],
    second: &mut [T],
) {
    let AdamW { lr, beta1, beta2, eps, weight_decay } = *config;
    let correct1 = 1. - beta1.powi(step as i32);
    let correct2 = 1. - beta2.powi(step as i32);
    values.par_iter_mut().with_min_len(16384).zip(grads).zip(first).zip(second).for_each(
        |(((value, &grad), m), v)| {
            let g = grad.wide() * grad_scale;
            let m_new = beta1 * m.wide() + (1. - beta1) * g;
            let v_new = beta2 * v.wide() + (1. - beta2) * g * g;
            *m = T::of(m_new);
            *v = T::of(v_new);
            let update = m_new / correct1 / ((v_new / correct2).sqrt() + eps);
            *value = T::of(value.wide() * (1. - lr * weight_decay) - lr * update);
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_match_the_documented_update() {
        // the update of torch.optim.AdamW's documentation, evaluated in Python for the values
        // [1, -2] and the gradients [0.5, -1], then [0.1, 0.3]
        let config = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
        let (mut w, mut m, mut v) = ([1f64, -2.], [0f64; 2], [0f64; 2]);
        adamw(&config, 1, 1., &mut w, &[0.5, -1.], &mut m, &mut v);
        assert!(
            (w[0] - 0.899_000_002).abs() < 1e-9 && (w[1] + 1.898_000_001).abs() < 1e-9,
            "{w:?}"
        );
        adamw(&config, 2, 1., &mut w, &[0.1, 0.3], &mut m, &mut v);
        assert!((w[0] - EXPECTED[0]).abs() < 1e-12 && (w[1] - EXPECTED[1]).abs() < 1e-12, "{w:?}");
    }

    const EXPECTED: [f64; 2] = [0.817_796_906_382_651_6, -1.853_317_142_428_226_2];

    #[test]
    fn a_scaled_gradient_equals_a_scaled_input() {
        let config = AdamW { lr: 0.01, beta1: 0.9, beta2: 0.95, eps: 1e-6, weight_decay: 0. };
        let (mut a, mut ma, mut va) = ([1f32], [0f32], [0f32]);
        let (mut b, mut mb, mut vb) = ([1f32], [0f32], [0f32]);
        adamw(&config, 1, 0.5, &mut a, &[2e-6], &mut ma, &mut va);
        adamw(&config, 1, 1., &mut b, &[1e-6], &mut mb, &mut vb);
        assert_eq!(a, b);
    }
}
