//! One number that makes likelihoods over the values of a slot honest: Guo et al. 2017,
//! arXiv 1706.04599, section 4.2. Fitted on validation windows only.

use serde::{Deserialize, Serialize};

use super::calibration::check;
use crate::Result;

/// Beyond these a fit says only that the validation set is too small or too easy.
const BOUNDS: (f64, f64) = (0.05, 20.0);
const N_STEPS: usize = 60;

/// A fitted temperature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    /// Divides log-likelihoods before the softmax; above 1 makes a model less sure of itself.
    pub value: f64,
    /// Mean negative log-probability of the truth at temperature 1, in nats.
    pub nll_before: f64,
    /// The same at `value`.
    pub nll_after: f64,
}

impl Temperature {
    /// Where there is nothing to fit it to.
    pub const ONE: Self = Self { value: 1.0, nll_before: 0.0, nll_after: 0.0 };
}

/// Probabilities of the values of a slot from their log-likelihoods.
///
/// ```
/// let p = report::metrics::softmax(&[-1.0, -1.0, f64::NEG_INFINITY], 1.0);
/// assert_eq!(p, [0.5, 0.5, 0.0]);
/// ```
pub fn softmax(log_likelihoods: &[f64], temperature: f64) -> Vec<f64> {
    let largest = log_likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> =
        log_likelihoods.iter().map(|score| ((score - largest) / temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// The temperature in 0.05 to 20 with the smallest mean negative log-probability of the truth.
///
/// That loss is convex in `1 / T`, hence has one valley in `ln T`, and golden sections find it.
pub fn fit_temperature(log_likelihoods: &[Vec<f64>], truth: &[usize]) -> Result<Temperature> {
    check(log_likelihoods, truth)?;
    let loss = |ln_t: f64| nll(log_likelihoods, truth, ln_t.exp());
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (BOUNDS.0.ln(), BOUNDS.1.ln());
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (loss(left), loss(right));
    for _ in 0..N_STEPS {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = loss(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = loss(right);
        }
    }
    let value = f64::midpoint(low, high).exp();
    Ok(Temperature {
        value,
        nll_before: nll(log_likelihoods, truth, 1.0),
        nll_after: nll(log_likelihoods, truth, value),
    })
}

fn nll(log_likelihoods: &[Vec<f64>], truth: &[usize], temperature: f64) -> f64 {
    let total: f64 = log_likelihoods
        .iter()
        .zip(truth)
        .map(|(row, &class)| {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|score| ((score - largest) / temperature).exp()).sum();
            sum.ln() - (row[class] - largest) / temperature
        })
        .sum();
    total / truth.len() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_classes_have_a_closed_form() {
        // three of four right at a gap of 2: sigmoid(2 / T) = 3/4, so T = 2 / ln 3
        let rows = vec![vec![-1.0, -3.0]; 4];
        let fit = fit_temperature(&rows, &[0, 0, 0, 1]).unwrap();
        assert!((fit.value - 2.0 / 3.0_f64.ln()).abs() < 1e-6, "{}", fit.value);
        let entropy = -(0.75 * 0.75_f64.ln() + 0.25 * 0.25_f64.ln());
        assert!((fit.nll_after - entropy).abs() < 1e-12);
        assert!(fit.nll_after < fit.nll_before);
    }

    #[test]
    fn hopeless_and_perfect_models_stop_at_the_bounds() {
        let rows = vec![vec![0.0, -1.0]; 3];
        let perfect = fit_temperature(&rows, &[0, 0, 0]).unwrap();
        assert!((perfect.value - 0.05).abs() < 1e-6);
        let hopeless = fit_temperature(&rows, &[1, 1, 1]).unwrap();
        assert!((hopeless.value - 20.0).abs() < 1e-4);
    }

    proptest! {
        #[test]
        fn the_fit_is_never_worse_than_temperature_one(
            rows in prop::collection::vec(prop::collection::vec(-30.0..0.0_f64, 3), 1..20),
            class in prop::collection::vec(0..3_usize, 20),
        ) {
            let fit = fit_temperature(&rows, &class[..rows.len()]).unwrap();
            prop_assert!(fit.nll_after <= fit.nll_before + 1e-9);
        }

        #[test]
        fn probabilities_sum_to_one_and_keep_the_order(
            row in prop::collection::vec(-500.0..0.0_f64, 2..9), t in 0.05..20.0_f64,
        ) {
            let p = softmax(&row, t);
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (a, b) in row.windows(2).map(|w| w[0] <= w[1]).zip(p.windows(2)) {
                if a { prop_assert!(b[0] <= b[1]) }
            }
        }
    }
}
