//! Whether a stated confidence is worth what it says.

use serde::{Deserialize, Serialize};

use super::{at_least, same_length};
use crate::{Error, Result};

const MAX_BINS: usize = 15;
/// Fewer samples than this in a bin make its accuracy a coin toss.
const MIN_BIN_SIZE: usize = 5;

/// Confidence against accuracy, in bins of equal mass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Expected calibration error: the mean gap over bins, weighted by their size.
    pub ece: f64,
    /// From the least to the most confident.
    pub bins: Vec<ReliabilityBin>,
}

/// Predictions of similar confidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// How many.
    pub n: usize,
    /// Their mean confidence, the largest probability.
    pub confidence: f64,
    /// The share of them whose most probable class is the true one.
    pub accuracy: f64,
}

/// Multi-class Brier score, `mean_i sum_k (p_ik - [k = truth_i])^2`: 0 is perfect, 2 the worst.
pub fn brier(probabilities: &[Vec<f64>], truth: &[usize]) -> Result<f64> {
    check(probabilities, truth)?;
    let total: f64 = probabilities
        .iter()
        .zip(truth)
        .flat_map(|(row, &class)| squared_distances(row, class))
        .sum();
    Ok(total / truth.len() as f64)
}

/// How far the probability of each class is from what is true, squared.
pub(crate) fn squared_distances(row: &[f64], class: usize) -> impl Iterator<Item = f64> {
    row.iter().enumerate().map(move |(k, p)| (p - f64::from(u8::from(k == class))).powi(2))
}

/// Reliability of the most probable class over 15 bins of equal mass; over fewer, down to one, when
/// there are not 5 samples for each.
pub fn reliability(probabilities: &[Vec<f64>], truth: &[usize]) -> Result<Reliability> {
    check(probabilities, truth)?;
    let mut answers: Vec<(f64, bool)> = probabilities
        .iter()
        .zip(truth)
        .map(|(row, &class)| {
            let best = argmax(row);
            (row[best], best == class)
        })
        .collect();
    answers.sort_by(|a, b| a.0.total_cmp(&b.0));

    let n = answers.len();
    let n_bins = (n / MIN_BIN_SIZE).clamp(1, MAX_BINS);
    let bins: Vec<ReliabilityBin> = (0..n_bins)
        .map(|bin| {
            let members = &answers[bin * n / n_bins..(bin + 1) * n / n_bins];
            let size = members.len() as f64;
            ReliabilityBin {
                n: members.len(),
                confidence: members.iter().map(|(confidence, _)| confidence).sum::<f64>() / size,
                accuracy: members.iter().filter(|(_, correct)| *correct).count() as f64 / size,
            }
        })
        .collect();
    let ece = bins
        .iter()
        .map(|bin| bin.n as f64 / n as f64 * (bin.confidence - bin.accuracy).abs())
        .sum();
    Ok(Reliability { ece, bins })
}

/// Rows of classes, one true class a row, all numbers finite.
pub(super) fn check(rows: &[Vec<f64>], truth: &[usize]) -> Result<()> {
    same_length("true classes", truth.len(), rows.len())?;
    at_least("samples", rows.len(), 1)?;
    let n_classes = rows[0].len();
    check_rows(rows.iter().map(Vec::as_slice), n_classes)?;
    match truth.iter().enumerate().find(|(_, found)| **found >= n_classes) {
        Some((sample, &found)) => Err(Error::ClassOutOfRange { sample, found, n_classes }),
        None => Ok(()),
    }
}

/// Refuses rows of another number of classes, or of numbers that are none.
pub(crate) fn check_rows<'a>(
    rows: impl IntoIterator<Item = &'a [f64]>,
    n_classes: usize,
) -> Result<()> {
    for (sample, row) in rows.into_iter().enumerate() {
        same_length("classes of a sample", row.len(), n_classes)?;
        if let Some(&found) = row.iter().find(|value| !value.is_finite()) {
            return Err(Error::NotFinite { what: "a score of sample", idx: sample, found });
        }
    }
    Ok(())
}

/// The first of the largest entries.
pub(crate) fn argmax(row: &[f64]) -> usize {
    (1..row.len()).fold(0, |best, idx| if row[idx] > row[best] { idx } else { best })
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "shares of small counts are exact")]
mod tests {
    use super::*;

    #[test]
    fn brier_is_zero_when_right_two_when_surely_wrong() {
        let rows = [vec![1.0, 0.0], vec![0.0, 1.0]];
        assert_eq!(brier(&rows, &[0, 1]).unwrap(), 0.0);
        assert_eq!(brier(&rows, &[1, 0]).unwrap(), 2.0);
        // (0.2-1)^2 + 0.5^2 + 0.3^2
        let score = brier(&[vec![0.2, 0.5, 0.3]], &[0]).unwrap();
        assert!((score - 0.98).abs() < 1e-12, "{score}");
    }

    #[test]
    fn ece_of_a_hand_made_example() {
        // ten samples make two bins of five: confidence 0.6 with 3 right, 0.9 with 3 right
        let rows: Vec<Vec<f64>> =
            (0..10).map(|i| if i < 5 { vec![0.4, 0.6] } else { vec![0.9, 0.1] }).collect();
        let truth = [1, 1, 1, 0, 0, 0, 0, 0, 1, 1];
        let found = reliability(&rows, &truth).unwrap();
        assert_eq!(found.bins.len(), 2);
        assert!((found.bins[1].accuracy - 0.6).abs() < 1e-12);
        assert!((found.ece - 0.5 * 0.3).abs() < 1e-12, "{}", found.ece);
    }

    #[test]
    fn bins_have_equal_mass_and_there_are_at_most_15() {
        for (n, n_bins) in [(1, 1), (9, 1), (16, 3), (74, 14), (75, 15), (1000, 15)] {
            let rows: Vec<Vec<f64>> = (0..n)
                .map(|i| vec![0.5 + f64::from(i) / 4000.0, 0.5 - f64::from(i) / 4000.0])
                .collect();
            let bins = reliability(&rows, &vec![0; rows.len()]).unwrap().bins;
            assert_eq!(bins.len(), n_bins, "{n}");
            let sizes = bins.iter().map(|bin| bin.n);
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1, "{n}");
        }
    }

    #[test]
    fn tables_that_do_not_fit_are_errors() {
        assert!(brier(&[vec![1.0, 0.0]], &[2]).unwrap_err().to_string().contains("2 classes"));
        assert!(brier(&[vec![f64::NAN, 0.0]], &[0]).unwrap_err().to_string().contains("NaN"));
        assert!(brier(&[], &[]).is_err());
    }
}
