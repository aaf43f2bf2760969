//! Controls that need no generation: how likely each report is given each scan.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::EvidenceConfig;
use crate::{Error, Result, metrics::mean};

/// Finding the scan of a report among all scans by likelihood; chance is `recall_at_1 = 1 / n`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrieval {
    /// Scans to choose from.
    pub n: usize,
    /// Share of reports whose own scan is likeliest; a shared first place does not count.
    pub recall_at_1: f64,
    /// Mean of 1 / rank.
    pub mrr: f64,
    /// Median rank, from 1; equal scans share the mean of their ranks.
    pub median_rank: f64,
}

impl Retrieval {
    pub(super) fn of(nll: &[Vec<f64>]) -> Self {
        let mut ranks: Vec<f64> = nll.iter().enumerate().map(|(own, row)| rank(row, own)).collect();
        ranks.sort_by(f64::total_cmp);
        let n = ranks.len();
        Self {
            n,
            recall_at_1: ranks.iter().filter(|&&rank| rank <= 1.0).count() as f64 / n as f64,
            mrr: ranks.iter().map(|rank| 1.0 / rank).sum::<f64>() / n as f64,
            median_rank: f64::midpoint(ranks[(n - 1) / 2], ranks[n / 2]),
        }
    }
}

fn rank(row: &[f64], own: usize) -> f64 {
    let better = row.iter().filter(|&&nll| nll < row[own]).count();
    let ties = row.iter().filter(|&&nll| nll <= row[own]).count() - better - 1;
    1.0 + better as f64 + ties as f64 / 2.0
}

/// `mean_(j != i) nll[i][j] - nll[i][i]` of each report.
pub(super) fn gains(nll: &[Vec<f64>]) -> Vec<f64> {
    nll.iter().enumerate().map(|(own, row)| gain(row, own)).collect()
}

fn gain(row: &[f64], own: usize) -> f64 {
    let others = row.iter().enumerate().filter(|(scan, _)| *scan != own).map(|(_, nll)| nll);
    others.sum::<f64>() / (row.len() - 1) as f64 - row[own]
}

/// The share of distractors of each report that its own scan beats, a tie being half a win, and the
/// report it belongs to. Distractors are scans of another true value; reports without one are left out.
pub(super) fn forced_choices(nll: &[Vec<f64>], truth: &[String]) -> Result<(Vec<f64>, Vec<usize>)> {
    let (mut values, mut windows) = (Vec::new(), Vec::new());
    for (own, row) in nll.iter().enumerate() {
        let wins: Vec<f64> = row
            .iter()
            .zip(truth)
            .filter(|(_, value)| **value != truth[own])
            .map(|(other, _)| match row[own].total_cmp(other) {
                std::cmp::Ordering::Less => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Greater => 0.0,
            })
            .collect();
        if !wins.is_empty() {
            values.push(mean(&wins));
            windows.push(own);
        }
    }
    if values.is_empty() {
        return Err(Error::NothingToChoose { value: truth[0].clone() });
    }
    Ok((values, windows))
}

/// `(1 + #{gain of a random pairing >= observed}) / (1 + K)`.
pub(super) fn permutation_p(nll: &[Vec<f64>], config: &EvidenceConfig) -> f64 {
    // a pairing that is the same up to rounding must count as reaching the observed gain
    const ROUNDING: f64 = 1e-12;
    let observed = mean(&gains(nll));
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let mut pairing: Vec<usize> = (0..nll.len()).collect();
    let reached = (0..config.n_permutations)
        .filter(|_| {
            pairing.shuffle(&mut rng);
            let total: f64 = nll.iter().zip(&pairing).map(|(row, &scan)| gain(row, scan)).sum();
            total / nll.len() as f64 >= observed - ROUNDING
        })
        .count();
    (1 + reached) as f64 / (1 + config.n_permutations) as f64
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "shares of small counts are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn truth(values: &[&str]) -> Vec<String> {
        values.iter().map(|&value| value.to_owned()).collect()
    }

    #[test]
    fn gains_and_choices_of_three_windows_by_hand() {
        let nll = [vec![1.0, 2.0, 4.0], vec![3.0, 2.0, 2.0], vec![1.0, 5.0, 2.0]];
        assert_eq!(gains(&nll), [2.0, 0.5, 1.0]);
        // scan 0 and 2 share a value: report 0 may choose between 0 and 1 only
        let (values, windows) = forced_choices(&nll, &truth(&["a", "b", "a"])).unwrap();
        assert_eq!((values, windows), (vec![1.0, 0.25 * 2.0 + 0.25, 1.0], vec![0, 1, 2]));
        let found = Retrieval::of(&nll);
        // ranks 1, 1.5 and 2
        assert_eq!(found.recall_at_1, 1.0 / 3.0);
        assert!((found.mrr - (1.0 + 2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-15);
        assert_eq!((found.median_rank, found.n), (1.5, 3));
    }

    #[test]
    fn one_value_leaves_nothing_to_choose() {
        let nll = [vec![1.0, 2.0], vec![2.0, 1.0]];
        let error = forced_choices(&nll, &truth(&["a", "a"])).unwrap_err();
        assert!(error.to_string().contains("every window has the scored value a"));
    }

    #[test]
    fn a_permutation_p_of_three_windows_is_one_in_six() {
        // only the identity of the six pairings reaches the observed gain
        let nll = [vec![0.0, 1.0, 1.0], vec![1.0, 0.0, 1.0], vec![1.0, 1.0, 0.0]];
        let config = EvidenceConfig { n_permutations: 60_000, ..EvidenceConfig::standard(1) };
        let p = permutation_p(&nll, &config);
        assert!((p - 1.0 / 6.0).abs() < 0.006, "{p}");
    }

    proptest! {
        #[test]
        fn the_length_of_a_report_does_not_matter(
            nll in prop::collection::vec(prop::collection::vec(0.0..5.0_f64, 5), 5),
            shift in prop::collection::vec(-2.0..2.0_f64, 5),
        ) {
            let values = truth(&["a", "b", "c", "a", "b"]);
            let moved: Vec<Vec<f64>> = nll
                .iter()
                .zip(&shift)
                .map(|(row, by)| row.iter().map(|nll| nll + by).collect())
                .collect();
            for (a, b) in gains(&nll).iter().zip(gains(&moved)) {
                prop_assert!((a - b).abs() < 1e-9);
            }
            let (before, after) = (forced_choices(&nll, &values), forced_choices(&moved, &values));
            prop_assert_eq!(before.unwrap(), after.unwrap());
        }

        #[test]
        fn random_likelihoods_have_a_uniform_p(seed in 0..200_u64) {
            use rand::Rng;
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let nll: Vec<Vec<f64>> =
                (0..6).map(|_| (0..6).map(|_| rng.random_range(0.0..1.0)).collect()).collect();
            let p = permutation_p(&nll, &EvidenceConfig::standard(seed));
            prop_assert!(p > 0.0 && p <= 1.0);
        }
    }
}
