//! How often a slot is stated, and how often rightly.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{at_least, same_length};
use crate::{Error, Result};

/// Counts of true against stated values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// The values of the slot.
    pub labels: Vec<String>,
    /// One row a true value; one column a stated value, then a last one for reports that state none
    /// or several.
    pub counts: Vec<Vec<usize>>,
}

/// Scores of one slot over many reports. A value that is not stated is never right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotScores {
    /// Reports.
    pub n: usize,
    /// Reports whose true value is known.
    pub n_truth: usize,
    /// Reports that state exactly one value.
    pub n_stated: usize,
    /// Reports that state the true one.
    pub n_correct: usize,
    /// Stated / all reports.
    pub coverage: f64,
    /// Correct / stated; none if nothing was stated.
    pub precision: Option<f64>,
    /// Correct / reports with a truth; none if no truth is known.
    pub recall: Option<f64>,
    /// Correct / all reports.
    pub accuracy: f64,
    /// Recall of each true value, averaged over the values that occur.
    pub macro_recall: Option<f64>,
    /// True against stated.
    pub confusion: Confusion,
}

/// Scores a slot; `labels` are its values, `truth` and `stated` have one entry a report.
///
/// ```
/// use report::metrics::slot_scores;
/// let labels = ["cat", "face"].map(str::to_owned);
/// let scores = slot_scores(&labels, &[Some("cat"), Some("face")], &[Some("cat"), None]).unwrap();
/// assert_eq!((scores.accuracy, scores.precision, scores.coverage), (0.5, Some(1.0), 0.5));
/// ```
pub fn slot_scores(
    labels: &[String],
    truth: &[Option<&str>],
    stated: &[Option<&str>],
) -> Result<SlotScores> {
    same_length("stated values", stated.len(), truth.len())?;
    at_least("reports", truth.len(), 1)?;
    let column = |value: Option<&str>| value.map(|value| position(labels, value)).transpose();

    let mut counts = vec![vec![0; labels.len() + 1]; labels.len()];
    let (mut n_truth, mut n_stated, mut n_correct) = (0, 0, 0);
    for (&true_value, &stated_value) in truth.iter().zip(stated) {
        let (row, found) = (column(true_value)?, column(stated_value)?);
        n_stated += usize::from(found.is_some());
        if let Some(row) = row {
            n_truth += 1;
            n_correct += usize::from(found == Some(row));
            counts[row][found.unwrap_or(labels.len())] += 1;
        }
    }
    let recalls: Vec<f64> = counts
        .iter()
        .enumerate()
        .filter_map(|(idx, row)| ratio(row[idx], row.iter().sum()))
        .collect();
    let n = truth.len();
    Ok(SlotScores {
        n,
        n_truth,
        n_stated,
        n_correct,
        coverage: n_stated as f64 / n as f64,
        precision: ratio(n_correct, n_stated),
        recall: ratio(n_correct, n_truth),
        accuracy: n_correct as f64 / n as f64,
        macro_recall: (!recalls.is_empty()).then(|| super::mean(&recalls)),
        confusion: Confusion { labels: labels.to_vec(), counts },
    })
}

/// How many different texts there are; 1 for many scans means the model has collapsed.
pub fn n_distinct<T: AsRef<str>>(texts: &[T]) -> usize {
    texts.iter().map(AsRef::as_ref).collect::<HashSet<&str>>().len()
}

fn position(labels: &[String], value: &str) -> Result<usize> {
    labels
        .iter()
        .position(|label| label == value)
        .ok_or_else(|| Error::UnknownLabel { label: value.to_owned(), expected: labels.to_vec() })
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "shares of small counts are exact")]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        ["cat", "face", "house"].map(str::to_owned).to_vec()
    }

    #[test]
    fn scores_follow_their_formulas() {
        let truth = ["cat", "cat", "face", "face", "face"].map(Some);
        let stated = [Some("cat"), Some("face"), Some("face"), None, Some("face")];
        let scores = slot_scores(&labels(), &truth, &stated).unwrap();
        assert_eq!((scores.n, scores.n_stated, scores.n_correct), (5, 4, 3));
        assert_eq!(scores.coverage, 0.8);
        assert_eq!(scores.precision, Some(0.75));
        assert_eq!(scores.recall, Some(0.6));
        assert!((scores.macro_recall.unwrap() - f64::midpoint(0.5, 2.0 / 3.0)).abs() < 1e-15);
        assert_eq!(scores.confusion.counts, [[1, 1, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0]]);
    }

    #[test]
    fn a_report_without_truth_counts_for_coverage_and_precision_only() {
        let scores =
            slot_scores(&labels(), &[Some("cat"), None], &[Some("cat"), Some("face")]).unwrap();
        assert_eq!((scores.recall, scores.precision), (Some(1.0), Some(0.5)));
        assert_eq!((scores.accuracy, scores.coverage), (0.5, 1.0));
    }

    #[test]
    fn a_silent_model_has_no_precision() {
        let scores = slot_scores(&labels(), &[Some("cat")], &[None]).unwrap();
        assert_eq!((scores.precision, scores.recall, scores.coverage), (None, Some(0.0), 0.0));
    }

    #[test]
    fn unknown_values_and_missing_rows_are_errors() {
        let error = slot_scores(&labels(), &[Some("dog")], &[None]).unwrap_err().to_string();
        assert_eq!(error, "unknown value dog, expected one of cat, face, house");
        let error = slot_scores(&labels(), &[None], &[]).unwrap_err().to_string();
        assert_eq!(error, "stated values: found 0, expected 1");
    }

    #[test]
    fn distinct_texts_are_counted_once() {
        assert_eq!(n_distinct(&["a", "b", "a"]), 2);
        assert_eq!(n_distinct::<&str>(&[]), 0);
    }
}
