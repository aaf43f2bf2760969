//! What the answers to one question are worth where the truth is known.

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    linear::majority_class,
    metrics::{
        Clusters, Draws, Interval, argmax, at_least, check_rows, mean, roc_auc, share_interval,
        squared_distances,
    },
};

/// One window with the probability of each allowed answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The person, from 0.
    pub person: usize,
    /// Of each answer, with its own scan; they sum to 1.
    pub own: Vec<f64>,
    /// The same without a scan.
    pub no_scan: Vec<f64>,
    /// The same with other scans, the mean over these; none where there are none.
    pub other_scans: Option<Vec<f64>>,
    /// The true answer, where it is known.
    pub truth: Option<usize>,
}

impl Answered {
    /// The likeliest answer; the first of any ties.
    pub fn given(&self) -> usize {
        argmax(&self.own)
    }

    /// The same without a scan.
    pub fn given_without_scan(&self) -> usize {
        argmax(&self.no_scan)
    }

    /// The probabilities with each of the scans, and without one.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f64]> {
        let beside = self.other_scans.as_deref();
        [self.own.as_slice(), &self.no_scan].into_iter().chain(beside)
    }
}

/// Scores of one question over the windows whose true answer is known. Intervals are 95 %, over people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerScores {
    /// Windows whose true answer is known.
    pub n_windows: usize,
    /// Their people.
    pub n_people: usize,
    /// Share of right answers.
    pub accuracy: Interval,
    /// The same without any scan.
    pub accuracy_without_scan: Interval,
    /// Share that the most frequent true answer would have right.
    pub majority: Interval,
    /// Accuracy with each true answer counting alike.
    pub balanced_accuracy: Interval,
    /// Area under the receiver operating characteristic: of more than two answers the mean of each against all
    /// others. None where one true answer occurs alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<Interval>,
    /// Mean squared distance of the probabilities from the truth, 0 to 2 (Brier).
    pub brier: Interval,
}

/// Scores of the windows of which the truth is known, of `n_answers` allowed ones; none where it is known of none.
///
/// # Errors
/// Where a window has another number of probabilities, one is not finite, or the true answer is none of them.
pub fn scores(
    windows: &[Answered],
    n_answers: usize,
    draws: Draws,
) -> Result<Option<AnswerScores>> {
    let known: Vec<(&Answered, usize)> =
        windows.iter().filter_map(|it| Some((it, it.truth?))).collect();
    if known.is_empty() {
        return Ok(None);
    }
    at_least("allowed answers", n_answers, 2)?;
    check_rows(known.iter().flat_map(|(it, _)| it.rows()), n_answers)?;
    let person: Vec<usize> = known.iter().map(|(it, _)| it.person).collect();
    let truth: Vec<usize> = known.iter().map(|(_, truth)| *truth).collect();
    let shares = |right: &dyn Fn(&Answered, usize) -> bool| {
        let right = known.iter().map(|(it, truth)| f64::from(u8::from(right(it, *truth))));
        right.collect::<Vec<f64>>()
    };
    let own = shares(&|it, truth| it.given() == truth);
    let most = majority_class(&truth, n_answers)?;
    let clusters = Clusters::of(&person);
    let balanced = |drawn: &mut dyn Iterator<Item = usize>| {
        let mut of = vec![(0.0, 0.0); n_answers];
        drawn.for_each(|it| of[truth[it]] = (of[truth[it]].0 + own[it], of[truth[it]].1 + 1.0));
        let there: Vec<f64> =
            of.iter().filter(|it| it.1 > 0.0).map(|(right, n)| right / n).collect();
        mean(&there)
    };
    let area = |drawn: &mut dyn Iterator<Item = usize>| {
        let drawn: Vec<usize> = drawn.collect();
        let against_others = |answer: usize| {
            let score: Vec<f64> = drawn.iter().map(|&it| known[it].0.own[answer]).collect();
            let positive: Vec<bool> = drawn.iter().map(|&it| truth[it] == answer).collect();
            roc_auc(&score, &positive)
        };
        let areas: Vec<f64> = (0..n_answers).filter_map(against_others).collect();
        mean(&areas)
    };
    let distances: Vec<f64> =
        known.iter().map(|(it, truth)| squared_distances(&it.own, *truth).sum()).collect();
    Ok(Some(AnswerScores {
        n_windows: known.len(),
        n_people: clusters.len(),
        accuracy: share_interval(&own, &person)?,
        accuracy_without_scan: share_interval(
            &shares(&|it, truth| it.given_without_scan() == truth),
            &person,
        )?,
        majority: share_interval(&shares(&|_, truth| truth == most), &person)?,
        balanced_accuracy: clusters.interval(draws, balanced),
        roc_auc: Some(clusters.interval(draws, area)).filter(|it| it.estimate.is_finite()),
        brier: clusters.mean(draws, &distances),
    }))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::questions) const DRAWS: Draws = Draws { n: 1000, seed: 1 };

    pub(in crate::questions) fn window(
        person: usize,
        second: f64,
        truth: Option<usize>,
    ) -> Answered {
        let own = vec![1.0 - second, second];
        Answered { person, own, no_scan: vec![0.6, 0.4], other_scans: Some(vec![0.5, 0.5]), truth }
    }

    #[test]
    fn scores_are_those_worked_by_hand() {
        // scikit-learn's example of an area of 0.75; 0.35 of the second is a wrong answer
        let samples = [(0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1)];
        let mut windows: Vec<Answered> =
            samples.iter().enumerate().map(|(at, &(p, it))| window(at, p, Some(it))).collect();
        windows.push(window(9, 0.5, None));
        let found = scores(&windows, 2, DRAWS).unwrap().unwrap();
        assert_eq!((found.n_windows, found.n_people), (4, 4));
        assert_eq!(found.accuracy.estimate, 0.75);
        assert_eq!(found.balanced_accuracy.estimate, 0.75);
        assert_eq!(found.roc_auc.unwrap().estimate, 0.75);
        assert_eq!((found.accuracy_without_scan.estimate, found.majority.estimate), (0.5, 0.5));
        // 2 · (0.01 + 0.16 + 0.4225 + 0.04) / 4
        assert!((found.brier.estimate - 0.316_25).abs() < 1e-12);
    }

    #[test]
    fn each_true_answer_counts_alike_in_balanced_accuracy() {
        // eight of nine of the first right, one of the second wrong
        let mut windows: Vec<Answered> = (0..9).map(|at| window(at, 0.1, Some(0))).collect();
        windows[0].own = vec![0.2, 0.8];
        windows.push(window(9, 0.1, Some(1)));
        let found = scores(&windows, 2, DRAWS).unwrap().unwrap();
        assert!((found.accuracy.estimate - 0.8).abs() < 1e-12);
        assert!((found.balanced_accuracy.estimate - 4.0 / 9.0).abs() < 1e-12);
        assert!((found.majority.estimate - 0.9).abs() < 1e-12);
    }

    #[test]
    fn three_answers_have_the_mean_area_of_each_against_the_others() {
        let of = |own: [f64; 3], truth| Answered {
            own: own.to_vec(),
            no_scan: vec![1.0 / 3.0; 3],
            other_scans: None,
            truth: Some(truth),
            ..window(truth, 0.0, None)
        };
        let windows = [
            of([0.6, 0.3, 0.1], 0),
            of([0.3, 0.4, 0.3], 1),
            of([0.5, 0.1, 0.4], 2),
            of([0.2, 0.5, 0.3], 2),
        ];
        // first against others 1; second: 0.4 above 0.3 and 0.1, below 0.5: 2/3; third: 0.4, 0.3 against 0.1 and
        // 0.3: 2 + 1.5 of 4
        let found = scores(&windows, 3, DRAWS).unwrap().unwrap().roc_auc.unwrap();
        assert!((found.estimate - (1.0 + 2.0 / 3.0 + 3.5 / 4.0) / 3.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn what_is_not_known_has_no_scores() {
        assert_eq!(scores(&[window(0, 0.5, None)], 2, DRAWS).unwrap(), None);
        let one = scores(&[window(0, 0.5, Some(0)), window(1, 0.2, Some(0))], 2, DRAWS);
        assert_eq!(one.unwrap().unwrap().roc_auc, None);
        let error = scores(&[window(0, 0.5, Some(0))], 3, DRAWS).unwrap_err().to_string();
        assert_eq!(error, "classes of a sample: found 2, expected 3");
    }
}
