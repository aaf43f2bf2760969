//! Controls on what was written: the scored slot with the right scan, another one, and none.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{EvidenceConfig, EvidenceInput};
use crate::metrics::{Interval, mean, percentile};

/// Accuracy when the scans are dealt to the prompts at random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shuffled {
    /// Mean over all deals. A deal is a uniform permutation and may give a window its own scan.
    pub mean: f64,
    /// The mean, and the range of the middle 95 % of the deals.
    pub interval: Interval,
    /// `(1 + #{deals at least as good as the real one}) / (1 + deals)`.
    pub p: f64,
    /// The accuracy of each deal.
    pub draws: Vec<f64>,
}

impl Shuffled {
    pub(super) fn of(input: &EvidenceInput, config: &EvidenceConfig) -> Self {
        let n = input.truth.len();
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let mut deal: Vec<usize> = (0..n).collect();
        let draws: Vec<f64> = (0..config.n_shuffles)
            .map(|_| {
                deal.shuffle(&mut rng);
                share((0..n).map(|window| input.is_correct(window, deal[window])))
            })
            .collect();
        let mean = mean(&draws);
        let real = share((0..n).map(|window| input.is_correct(window, window)));
        let reached = draws.iter().filter(|&&draw| draw >= real).count();
        let mut sorted = draws.clone();
        sorted.sort_by(f64::total_cmp);
        Self {
            mean,
            interval: Interval {
                estimate: mean,
                low: percentile(&sorted, 0.025),
                high: percentile(&sorted, 0.975),
            },
            p: (1 + reached) as f64 / (1 + draws.len()) as f64,
            draws,
        }
    }
}

/// 1 where the right scan gives the true value, 0 elsewhere.
pub(super) fn real(input: &EvidenceInput) -> Vec<f64> {
    (0..input.truth.len()).map(|window| number(input.is_correct(window, window))).collect()
}

/// The same without a scan.
pub(super) fn without_scan(input: &EvidenceInput) -> Vec<f64> {
    let pairs = input.no_scan.iter().zip(&input.truth);
    pairs.map(|(stated, truth)| number(stated.as_ref() == Some(truth))).collect()
}

/// The same when the most frequent training value is always stated.
pub(super) fn majority(input: &EvidenceInput) -> Vec<f64> {
    input.truth.iter().map(|truth| number(*truth == input.majority)).collect()
}

/// How much better each window does with its own scan than with the others, on average.
pub(super) fn reliance(input: &EvidenceInput) -> Vec<f64> {
    let n = input.truth.len();
    (0..n)
        .map(|window| {
            let others = (0..n).filter(|scan| *scan != window);
            number(input.is_correct(window, window))
                - share(others.map(|scan| input.is_correct(window, scan)))
        })
        .collect()
}

/// The share of pairs of a window and another scan in which the answer changes.
pub(super) fn sensitivity(input: &EvidenceInput) -> f64 {
    let n = input.truth.len();
    share((0..n).flat_map(|window| {
        let row = &input.value[window];
        (0..n).filter(move |scan| *scan != window).map(move |scan| row[scan] != row[window])
    }))
}

fn share(answers: impl Iterator<Item = bool>) -> f64 {
    let (mut yes, mut all) = (0, 0);
    for answer in answers {
        yes += usize::from(answer);
        all += 1;
    }
    yes as f64 / all as f64
}

fn number(answer: bool) -> f64 {
    f64::from(u8::from(answer))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "shares of small counts are exact")]
mod tests {
    use super::*;
    use crate::evidence::example;

    #[test]
    fn shuffled_accuracy_is_that_of_a_random_pair() {
        // 16 windows, 4 values, a model that states what it sees: a random scan is right in 1 of 4
        let config = EvidenceConfig { n_shuffles: 20_000, ..EvidenceConfig::standard(5) };
        let shuffled = Shuffled::of(&example::seeing(16), &config);
        assert!((shuffled.mean - 0.25).abs() < 0.005, "{}", shuffled.mean);
        assert!(shuffled.interval.low < 0.1 && shuffled.interval.high < 0.6);
    }

    #[test]
    fn reliance_and_sensitivity_leave_out_the_own_scan() {
        let input = example::seeing(16);
        // of the 15 other scans 3 show the same value
        assert!(reliance(&input).iter().all(|gain| (gain - 12.0 / 15.0).abs() < 1e-12));
        assert!((sensitivity(&input) - 12.0 / 15.0).abs() < 1e-12);
        assert_eq!(sensitivity(&example::blind(16)), 0.0);
    }

    #[test]
    fn silence_is_never_right() {
        let mut input = example::seeing(8);
        input.value[2][2] = None;
        input.no_scan = vec![None; 8];
        assert_eq!(mean(&real(&input)), 7.0 / 8.0);
        assert_eq!(mean(&without_scan(&input)), 0.0);
        assert_eq!(mean(&majority(&input)), 0.25);
    }
}
