//! What is gained by leaving out the answers that a model is least sure of.

use serde::{Deserialize, Serialize};

use super::{at_least, same_length};
use crate::{Error, Result};

/// Error of the most confident answers, by how many of them are given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiskCoverage {
    /// Area under the curve: the mean risk over the coverages `1/n … n/n` (Geifman and El-Yaniv 2017). Among
    /// answers of equal confidence errors count as spread evenly.
    pub area: f64,
    /// One point a confidence that occurs, from the most confident answers to all.
    pub points: Vec<RiskPoint>,
}

/// Only answers of at least this confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiskPoint {
    /// The least confidence.
    pub confidence: f64,
    /// The share of all answers that have it.
    pub coverage: f64,
    /// The share of wrong answers among them.
    pub risk: f64,
}

/// The risk–coverage curve of answers with their confidence.
///
/// ```
/// use report::metrics::risk_coverage;
/// let curve = risk_coverage(&[0.9, 0.8, 0.3], &[true, true, false]).unwrap();
/// assert_eq!((curve.points[1].coverage, curve.points[1].risk), (2.0 / 3.0, 0.0));
/// assert!((curve.area - 1.0 / 9.0).abs() < 1e-12);
/// ```
pub fn risk_coverage(confidence: &[f64], correct: &[bool]) -> Result<RiskCoverage> {
    same_length("answers with a confidence", confidence.len(), correct.len())?;
    at_least("answers", correct.len(), 1)?;
    if let Some(idx) = confidence.iter().position(|value| !value.is_finite()) {
        return Err(Error::NotFinite {
            what: "the confidence of answer",
            idx,
            found: confidence[idx],
        });
    }
    let mut answers: Vec<(f64, bool)> =
        confidence.iter().copied().zip(correct.iter().copied()).collect();
    answers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let n = answers.len() as f64;
    let (mut wrong, mut given, mut area) = (0.0, 0.0, 0.0);
    let mut points = Vec::new();
    for equal in answers.chunk_by(|a, b| a.0 == b.0) {
        let errors = equal.iter().filter(|it| !it.1).count() as f64;
        let size = equal.len() as f64;
        area += (1..=equal.len())
            .map(|k| (wrong + errors * k as f64 / size) / (given + k as f64))
            .sum::<f64>();
        wrong += errors;
        given += size;
        let confidence = equal[0].0;
        points.push(RiskPoint { confidence, coverage: given / n, risk: wrong / given });
    }
    Ok(RiskCoverage { area: area / n, points })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_by_hand() {
        // by confidence: right, wrong, right, wrong; risks 0, 1/2, 1/3, 1/2
        let curve = risk_coverage(&[0.2, 0.9, 0.6, 0.7], &[false, true, true, false]).unwrap();
        assert!((curve.area - (0.5 + 1.0 / 3.0 + 0.5) / 4.0).abs() < 1e-12);
        let last = curve.points[3];
        assert_eq!((last.confidence, last.coverage, last.risk), (0.2, 1.0, 0.5));
        assert!(curve.points.windows(2).all(|it| it[0].coverage < it[1].coverage));
    }

    #[test]
    fn equal_confidences_are_one_point_whatever_their_order() {
        let one = risk_coverage(&[0.5; 4], &[true, false, true, false]).unwrap();
        let other = risk_coverage(&[0.5; 4], &[false, false, true, true]).unwrap();
        assert_eq!(one, other);
        assert_eq!((one.points.len(), one.area), (1, 0.5));
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let error = risk_coverage(&[f64::NAN], &[true]).unwrap_err().to_string();
        assert_eq!(error, "the confidence of answer 0 is NaN, expected a finite number");
        assert!(risk_coverage(&[], &[]).is_err() && risk_coverage(&[0.5], &[]).is_err());
    }
}
