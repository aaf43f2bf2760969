//! Each report among all scans: rows of the likelihood matrix.

use serde::{Deserialize, Serialize};

use super::{EvidenceInput, units::Units};
use crate::metrics::{Interval, RowMeans, agreeing};

/// Finding the scan of a report among the scans it was compared with, by likelihood.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrieval {
    /// Reports.
    pub n: usize,
    /// Share of reports whose own scan is likeliest; a shared first place does not count.
    pub recall_at_1: f64,
    /// The share that chance reaches: 1 / scans to choose from.
    pub chance_at_1: f64,
    /// Mean of 1 / rank.
    pub mrr: f64,
    /// Median rank, from 1; equal scans share the mean of their ranks.
    pub median_rank: f64,
}

impl Retrieval {
    pub(super) fn of(input: &EvidenceInput) -> Self {
        let rows = || input.compared().map(|(window, place)| (&input.nll[window], place));
        let mut ranks: Vec<f64> = rows().map(|(row, own)| rank(row, own)).collect();
        ranks.sort_by(f64::total_cmp);
        let n = ranks.len();
        let share = |sum: f64| sum / n as f64;
        Self {
            n,
            recall_at_1: share(ranks.iter().filter(|&&rank| rank <= 1.0).count() as f64),
            chance_at_1: share(rows().map(|(row, _)| 1.0 / row.len() as f64).sum()),
            mrr: share(ranks.iter().map(|rank| 1.0 / rank).sum()),
            median_rank: f64::midpoint(ranks[(n - 1) / 2], ranks[n / 2]),
        }
    }
}

fn rank(row: &[f64], own: usize) -> f64 {
    let better = row.iter().filter(|&&nll| nll < row[own]).count();
    let ties = row.iter().filter(|&&nll| nll <= row[own]).count() - better - 1;
    1.0 + better as f64 + ties as f64 / 2.0
}

/// The mean over reports of the share of scans of another value that the own scan beats, a tie being
/// half. Unlike pairs, whatever makes a scan likely for every report counts here; but near 1 its
/// jackknife over rows and columns keeps its width.
pub(super) fn two_afc_of_rows(input: &EvidenceInput, units: &Units, values: &[usize]) -> Interval {
    let cluster = units.resampled();
    let mut rows = RowMeans::new(units.counts.at(units.resampled));
    for block in &input.blocks {
        for (own, &window) in block.iter().enumerate() {
            let nll = &input.nll[window];
            let distractors =
                block.iter().enumerate().filter(|(_, scan)| values[**scan] != values[window]);
            let cells = distractors.map(|(place, &scan)| {
                let win = match nll[own].total_cmp(&nll[place]) {
                    std::cmp::Ordering::Less => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Greater => 0.0,
                };
                (cluster[scan], win)
            });
            rows.push(cluster[window], 0.0, cells);
        }
    }
    let mut found = rows.jackknife().interval().within(0.0, 1.0);
    if found.estimate >= 1.0 {
        // nothing varies: the binomial limit of as many units
        found.low = found.low.min(agreeing(units.counts.at(units.resampled)));
    }
    found
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "shares of small counts are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::example;

    fn three(nll: Vec<Vec<f64>>, values: [usize; 3]) -> (Retrieval, Interval) {
        let mut input = example::seeing(3);
        input.nll = nll;
        let units = Units::new(&input.units, &values);
        (Retrieval::of(&input), two_afc_of_rows(&input, &units, &values))
    }

    #[test]
    fn ranks_and_choices_of_three_windows_by_hand() {
        let nll = vec![vec![1.0, 2.0, 4.0], vec![3.0, 2.0, 2.0], vec![1.0, 5.0, 2.0]];
        // scan 0 and 2 share a value: report 0 may choose between 0 and 1 only
        let (found, two_afc) = three(nll, [0, 1, 0]);
        assert_eq!(two_afc.estimate, (1.0 + 0.75 + 1.0) / 3.0);
        // ranks 1, 1.5 and 2
        assert_eq!((found.recall_at_1, found.chance_at_1), (1.0 / 3.0, 1.0 / 3.0));
        assert!((found.mrr - (1.0 + 2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-15);
        assert_eq!((found.median_rank, found.n), (1.5, 3));
    }

    #[test]
    fn a_perfect_score_of_few_windows_is_not_certain() {
        let input = example::seeing(16);
        let values: Vec<usize> = (0..16).map(|idx| idx % 4).collect();
        let found = two_afc_of_rows(&input, &Units::new(&input.units, &values), &values);
        assert_eq!((found.estimate, found.high), (1.0, 1.0));
        assert!((found.low - 0.7941).abs() < 1e-3, "{found}");
    }

    proptest! {
        #[test]
        fn the_length_of_a_report_does_not_matter(
            nll in prop::collection::vec(prop::collection::vec(0.0..5.0_f64, 3), 3),
            shift in prop::collection::vec(-2.0..2.0_f64, 3),
        ) {
            let moved: Vec<Vec<f64>> = nll
                .iter()
                .zip(&shift)
                .map(|(row, by)| row.iter().map(|nll| nll + by).collect())
                .collect();
            let (before, after) = (three(nll, [0, 1, 1]), three(moved, [0, 1, 1]));
            prop_assert_eq!(before, after);
        }
    }
}
