//! Learning rate over the steps.

/// Linear warm-up, then half a cosine down to `final_fraction` of the peak; `step` counts from 0.
pub(crate) fn learning_rate(
    peak: f64,
    step: usize,
    n_steps: usize,
    warmup_steps: usize,
    final_fraction: f64,
) -> f64 {
    let warmup = ((step + 1) as f64 / warmup_steps.max(1) as f64).min(1.);
    let cosine = f64::midpoint(1., (std::f64::consts::PI * step as f64 / n_steps as f64).cos());
    peak * warmup * (final_fraction + (1. - final_fraction) * cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_then_falls_to_the_final_fraction() {
        let lr = |step| learning_rate(2., step, 1000, 10, 0.1);
        assert!((lr(0) - 0.2).abs() < 1e-3);
        assert!((lr(9) - 2.).abs() < 1e-3);
        assert!((lr(500) - 1.1).abs() < 1e-9);
        assert!((lr(999) - 0.2).abs() < 1e-3);
    }
}
