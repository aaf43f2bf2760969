//! Statements of reports beside what is true: values, numbers and sets.

use serde::{Deserialize, Serialize};

use super::{at_least, mean, same_length};
use crate::{Error, Result};

/// How often something is stated, rightly, wrongly and without a truth. A share without anything to share
/// is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatementRates {
    /// Reports.
    pub n: usize,
    /// Stated / all reports.
    pub coverage: f64,
    /// Truths that are not stated / truths.
    pub omission: Option<f64>,
    /// Statements of something else than the truth / statements.
    pub contradiction: Option<f64>,
    /// Statements about what has no truth / statements.
    pub hallucination: Option<f64>,
}

/// Rates of one slot; both columns have one entry a report, none where nothing is known or stated.
///
/// ```
/// use report::metrics::statement_rates;
/// let truth = [Some("low"), Some("low"), None, Some("high")];
/// let stated = [Some("low"), Some("high"), Some("low"), None];
/// let rates = statement_rates(&truth, &stated).unwrap();
/// assert_eq!((rates.coverage, rates.omission), (0.75, Some(1.0 / 3.0)));
/// assert_eq!((rates.contradiction, rates.hallucination), (Some(1.0 / 3.0), Some(1.0 / 3.0)));
/// ```
pub fn statement_rates<T: PartialEq>(
    truth: &[Option<T>],
    stated: &[Option<T>],
) -> Result<StatementRates> {
    same_length("stated values", stated.len(), truth.len())?;
    at_least("reports", truth.len(), 1)?;
    let count = |which: fn(&Option<T>, &Option<T>) -> bool| {
        truth.iter().zip(stated).filter(|(truth, stated)| which(truth, stated)).count()
    };
    let n_stated = count(|_, stated| stated.is_some());
    let n_truth = count(|truth, _| truth.is_some());
    let omitted = count(|truth, stated| truth.is_some() && stated.is_none());
    let unfounded = count(|truth, stated| truth.is_none() && stated.is_some());
    let wrong = count(|truth, stated| truth.is_some() && stated.is_some() && truth != stated);
    Ok(StatementRates {
        n: truth.len(),
        coverage: n_stated as f64 / truth.len() as f64,
        omission: ratio(omitted, n_truth),
        contradiction: ratio(wrong, n_stated),
        hallucination: ratio(unfounded, n_stated),
    })
}

/// How far stated numbers are from the true ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumberError {
    /// Reports with a true number.
    pub n: usize,
    /// Those of them that state one.
    pub n_stated: usize,
    /// Mean absolute error of what is stated, in the number's unit.
    pub mae: Option<f64>,
    /// The share of what is stated that is at most `within` away.
    pub within: Option<f64>,
}

/// Error of one number over reports; reports without a true one do not count.
///
/// ```
/// use report::metrics::number_error;
/// let age = number_error(&[Some(30.0), Some(50.0)], &[Some(33.0), None], 5.0).unwrap();
/// assert_eq!((age.n, age.n_stated, age.mae, age.within), (2, 1, Some(3.0), Some(1.0)));
/// ```
pub fn number_error(
    truth: &[Option<f64>],
    stated: &[Option<f64>],
    within: f64,
) -> Result<NumberError> {
    same_length("stated numbers", stated.len(), truth.len())?;
    for (what, column) in [("the true number of report", truth), ("the number of report", stated)] {
        let known = column.iter().enumerate().filter_map(|(idx, it)| Some((idx, (*it)?)));
        let mut bad = known.filter(|(_, number)| !number.is_finite());
        if let Some((idx, found)) = bad.next() {
            return Err(Error::NotFinite { what, idx, found });
        }
    }
    let errors: Vec<f64> =
        truth.iter().zip(stated).filter_map(|it| Some(((*it.0)? - (*it.1)?).abs())).collect();
    let near = errors.iter().filter(|error| **error <= within).count();
    Ok(NumberError {
        n: truth.iter().flatten().count(),
        n_stated: errors.len(),
        mae: (!errors.is_empty()).then(|| mean(&errors)),
        within: ratio(near, errors.len()),
    })
}

/// Precision, recall and their harmonic mean; none where nothing is stated or true.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Rightly stated / stated.
    pub precision: Option<f64>,
    /// Rightly stated / true.
    pub recall: Option<f64>,
    /// `2 right / (stated + true)`.
    pub f1: Option<f64>,
}

/// Agreement of sets, or of flags, each a set of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetScores {
    /// Over all labels of all reports together.
    pub micro: Agreement,
    /// Means over the labels for which the number exists.
    pub macro_mean: Agreement,
    /// As `micro`, of the labels that are a finding: a model that calls everything normal has recall 0.
    pub abnormal: Agreement,
    /// Each label by itself.
    pub labels: Vec<Agreement>,
}

/// Scores sets of labels: a row a report, an entry a label; `abnormal` tells which labels are findings.
pub fn set_scores(
    truth: &[Vec<bool>],
    stated: &[Vec<bool>],
    abnormal: &[bool],
) -> Result<SetScores> {
    same_length("reports with stated sets", stated.len(), truth.len())?;
    at_least("reports", truth.len(), 1)?;
    let mut counts = vec![Counts::default(); abnormal.len()];
    for (truth, stated) in truth.iter().zip(stated) {
        same_length("labels of a true set", truth.len(), abnormal.len())?;
        same_length("labels of a stated set", stated.len(), abnormal.len())?;
        for ((count, &truth), &stated) in counts.iter_mut().zip(truth).zip(stated) {
            count.right += usize::from(truth && stated);
            count.truth += usize::from(truth);
            count.stated += usize::from(stated);
        }
    }
    let labels: Vec<Agreement> = counts.iter().map(Counts::agreement).collect();
    let sum = |which: &dyn Fn(usize) -> bool| {
        let chosen = counts.iter().enumerate().filter(|(idx, _)| which(*idx)).map(|(_, it)| it);
        chosen.fold(Counts::default(), Counts::with).agreement()
    };
    let average = |of: fn(&Agreement) -> Option<f64>| {
        let values: Vec<f64> = labels.iter().filter_map(of).collect();
        (!values.is_empty()).then(|| mean(&values))
    };
    Ok(SetScores {
        micro: sum(&|_| true),
        macro_mean: Agreement {
            precision: average(|it| it.precision),
            recall: average(|it| it.recall),
            f1: average(|it| it.f1),
        },
        abnormal: sum(&|idx| abnormal[idx]),
        labels,
    })
}

#[derive(Clone, Copy, Default)]
struct Counts {
    right: usize,
    truth: usize,
    stated: usize,
}

impl Counts {
    fn with(self, other: &Self) -> Self {
        Self {
            right: self.right + other.right,
            truth: self.truth + other.truth,
            stated: self.stated + other.stated,
        }
    }

    fn agreement(&self) -> Agreement {
        Agreement {
            precision: ratio(self.right, self.stated),
            recall: ratio(self.right, self.truth),
            f1: ratio(2 * self.right, self.stated + self.truth),
        }
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_model_omits_and_contradicts_nothing() {
        let rates = statement_rates(&[Some(1), Some(2)], &[None, None]).unwrap();
        assert_eq!((rates.coverage, rates.omission), (0.0, Some(1.0)));
        assert_eq!((rates.contradiction, rates.hallucination), (None, None));
        let unknown = statement_rates(&[None, None], &[Some(1), None]).unwrap();
        assert_eq!((unknown.omission, unknown.hallucination), (None, Some(1.0)));
        assert!(statement_rates::<u8>(&[], &[]).is_err());
    }

    #[test]
    fn numbers_count_where_both_are_known() {
        let truth = [Some(20.0), Some(40.0), None, Some(60.0)];
        let stated = [Some(26.0), Some(38.0), Some(1.0), None];
        let found = number_error(&truth, &stated, 5.0).unwrap();
        assert_eq!((found.n, found.n_stated), (3, 2));
        assert_eq!((found.mae, found.within), (Some(4.0), Some(0.5)));
        let none = number_error(&[None], &[Some(1.0)], 5.0).unwrap();
        assert_eq!((none.mae, none.within), (None, None));
        let error = number_error(&[Some(1.0), Some(f64::INFINITY)], &[None, None], 5.0);
        let error = error.unwrap_err().to_string();
        assert_eq!(error, "the true number of report 1 is inf, expected a finite number");
    }

    #[test]
    fn sets_by_hand() {
        // labels: normal, increased, decreased; the last is never true nor stated
        let truth = [vec![true, false, false], vec![false, true, false], vec![true, true, false]];
        let stated = [vec![true, false, false], vec![true, false, false], vec![true, true, false]];
        let found = set_scores(&truth, &stated, &[false, true, true]).unwrap();
        assert_eq!((found.micro.precision, found.micro.recall), (Some(0.75), Some(0.75)));
        assert_eq!((found.abnormal.precision, found.abnormal.recall), (Some(1.0), Some(0.5)));
        assert_eq!(found.labels[2], Agreement { precision: None, recall: None, f1: None });
        assert_eq!(found.labels[0].f1, Some(0.8));
        assert_eq!(found.macro_mean.recall, Some(0.75));
        assert!((found.macro_mean.f1.unwrap() - f64::midpoint(0.8, 2.0 / 3.0)).abs() < 1e-15);
    }

    #[test]
    fn calling_everything_normal_finds_nothing_abnormal() {
        let truth = [vec![true, false], vec![false, true]];
        let found = set_scores(&truth, &[vec![true, false], vec![true, false]], &[false, true]);
        let found = found.unwrap().abnormal;
        assert_eq!((found.precision, found.recall, found.f1), (None, Some(0.0), Some(0.0)));
        assert!(set_scores(&truth, &[vec![true], vec![true]], &[false, true]).is_err());
    }
}
