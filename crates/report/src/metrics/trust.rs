//! From which probability on a value of a slot is worth stating: fitted on validation windows only.

use serde::{Deserialize, Serialize};

use super::{Temperature, argmax, fit_temperature, risk_coverage, softmax};
use crate::Result;

/// No probability reaches it.
const NEVER: f64 = 2.0;

/// How the likelihoods of the values of a slot become probabilities, and which of those are too low.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotTrust {
    /// Divides log-likelihoods before the softmax.
    pub temperature: Temperature,
    /// Validation windows that it was fitted to.
    pub n: usize,
    /// A value of a lower probability is not determined; 2 where no probability had so few errors. Absent: the
    /// slot asks for no share of errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_determined_below: Option<f64>,
}

impl SlotTrust {
    /// Fits the temperature to the log-likelihoods of the values, a row a window, and the true values; then the
    /// lowest probability at and above which at most `max_error` of the most probable values are wrong.
    ///
    /// Where `truth` has fewer than two values, any temperature that is low enough is as good: it is 1, and no
    /// value is determined.
    pub fn fit(
        log_likelihoods: &[Vec<f64>],
        truth: &[usize],
        max_error: Option<f64>,
    ) -> Result<Self> {
        let n = truth.len();
        if truth.iter().all(|it| Some(it) == truth.first()) {
            let not_determined_below = max_error.map(|_| NEVER);
            return Ok(Self { temperature: Temperature::ONE, n, not_determined_below });
        }
        let temperature = fit_temperature(log_likelihoods, truth)?;
        let not_determined_below = max_error
            .map(|max_error| threshold(log_likelihoods, truth, temperature.value, max_error))
            .transpose()?;
        Ok(Self { temperature, n, not_determined_below })
    }
}

fn threshold(
    log_likelihoods: &[Vec<f64>],
    truth: &[usize],
    temperature: f64,
    max_error: f64,
) -> Result<f64> {
    let answers = log_likelihoods.iter().zip(truth).map(|(row, &class)| {
        let shares = softmax(row, temperature);
        let best = argmax(&shares);
        (shares[best], best == class)
    });
    let (confidence, right): (Vec<f64>, Vec<bool>) = answers.unzip();
    let points = risk_coverage(&confidence, &right)?.points;
    let few = points.iter().rev().find(|point| point.risk <= max_error);
    Ok(few.map_or(NEVER, |point| point.confidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_keeps_the_share_of_errors() {
        // gaps of 4, 3, 2 and 1; the last but one is wrong
        let rows: Vec<Vec<f64>> = [4.0, 3.0, 2.0, 1.0].map(|gap| vec![0.0, -gap]).into();
        let truth = [0, 0, 1, 0];
        let at = |max_error: f64| {
            let fit = SlotTrust::fit(&rows, &truth, Some(max_error)).unwrap();
            (fit.not_determined_below.unwrap(), fit.temperature.value)
        };
        let sigmoid = |gap: f64, t: f64| 1.0 / (1.0 + (-gap / t).exp());
        // no error among the first two, a third among three, a fourth among all
        let (found, t) = at(0.0);
        assert!((found - sigmoid(3.0, t)).abs() < 1e-12);
        let (found, t) = at(0.24);
        assert!((found - sigmoid(3.0, t)).abs() < 1e-12);
        let (found, t) = at(0.25);
        assert!((found - sigmoid(1.0, t)).abs() < 1e-12);
        // the most probable one is wrong
        let never = SlotTrust::fit(&rows, &[1, 0, 0, 0], Some(0.2)).unwrap();
        assert_eq!(never.not_determined_below, Some(NEVER));
        assert_eq!(SlotTrust::fit(&rows, &truth, None).unwrap().not_determined_below, None);
        let one_value = SlotTrust::fit(&rows, &[0; 4], Some(0.2)).unwrap();
        assert_eq!(
            (one_value.temperature.value, one_value.not_determined_below),
            (1.0, Some(NEVER))
        );
        assert_eq!(SlotTrust::fit(&[], &[], None).unwrap().n, 0);
    }
}
