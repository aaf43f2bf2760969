//! Each report among all scans: rows of the likelihood matrix.

use serde::{Deserialize, Serialize};

use super::{EvidenceInput, units::Units};
use crate::metrics::{Interval, RowMeans, agreeing};

/// Finding what belongs to something by likelihood: the scan of a report, or the report of a scan, among
/// those it was compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retrieval {
    /// Reports, or scans.
    pub n: usize,
    /// Share whose own one is likeliest; a shared first place does not count.
    pub recall_at_1: f64,
    /// The share that chance reaches: 1 / how many there are to choose from.
    pub chance_at_1: f64,
    /// Share whose own one is among the five likeliest.
    #[serde(default)]
    pub recall_at_5: f64,
    /// The share that chance reaches.
    #[serde(default)]
    pub chance_at_5: f64,
    /// Mean of 1 / rank.
    pub mrr: f64,
    /// Median rank, from 1; equals share the mean of their ranks.
    pub median_rank: f64,
    /// Mean of (rank − 1) / (how many there are to choose from − 1): 0 at best, 0.5 by chance.
    #[serde(default)]
    pub normalised_rank: f64,
}

impl Retrieval {
    /// The scan of each report, by the rows of the table.
    pub(super) fn of_scans(input: &EvidenceInput) -> Self {
        let rows = input.compared().map(|(window, place)| (input.nll[window].clone(), place));
        Self::of(rows.collect())
    }

    /// The report of each scan. Reports are unlike in length and words, so each is taken by how much likelier it
    /// is with this scan than with the scans of its block on average.
    pub(super) fn of_reports(input: &EvidenceInput) -> Self {
        let rows = input.blocks.iter().flat_map(|block| {
            let mean = |report: usize| {
                input.nll[report].iter().sum::<f64>() / input.nll[report].len() as f64
            };
            let means: Vec<f64> = block.iter().map(|&report| mean(report)).collect();
            (0..block.len())
                .map(move |scan| {
                    let of_scan = block.iter().zip(&means);
                    (of_scan.map(|(&report, mean)| input.nll[report][scan] - mean).collect(), scan)
                })
                .collect::<Vec<_>>()
        });
        Self::of(rows.collect())
    }

    /// Of rows of negative log-likelihoods with the place of the own one.
    fn of(rows: Vec<(Vec<f64>, usize)>) -> Self {
        let ranks: Vec<f64> = rows.iter().map(|(row, own)| rank(row, *own)).collect();
        let n = ranks.len();
        let share = |sum: f64| sum / n as f64;
        let within =
            |places: f64| share(ranks.iter().filter(|&&rank| rank <= places).count() as f64);
        let chance = |places: f64| {
            share(rows.iter().map(|(row, _)| places.min(row.len() as f64) / row.len() as f64).sum())
        };
        let normalised = ranks.iter().zip(&rows).map(|(rank, (row, _))| match row.len() {
            1 => 0.5,
            len => (rank - 1.0) / (len - 1) as f64,
        });
        let mut ordered = ranks.clone();
        ordered.sort_by(f64::total_cmp);
        Self {
            n,
            recall_at_1: within(1.0),
            chance_at_1: chance(1.0),
            recall_at_5: within(5.0),
            chance_at_5: chance(5.0),
            mrr: share(ranks.iter().map(|rank| 1.0 / rank).sum()),
            median_rank: f64::midpoint(ordered[(n - 1) / 2], ordered[n / 2]),
            normalised_rank: share(normalised.sum()),
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
        (Retrieval::of_scans(&input), two_afc_of_rows(&input, &units, &values))
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
        assert_eq!((found.recall_at_5, found.chance_at_5), (1.0, 1.0));
        // (0 + 0.5 + 1) / 2 each
        assert_eq!(found.normalised_rank, 0.25);
    }

    #[test]
    fn the_report_of_a_scan_is_found_whatever_reports_cost() {
        // less their means 7/3, 7/3 and 8/3 the columns are (-4/3, 2/3, -5/3), (-1/3, -1/3, 7/3) and
        // (5/3, -1/3, -2/3): the own ranks are 2, 1.5 and 1
        let nll = vec![vec![1.0, 2.0, 4.0], vec![3.0, 2.0, 2.0], vec![1.0, 5.0, 2.0]];
        let mut input = example::seeing(3);
        input.nll = nll.clone();
        let found = Retrieval::of_reports(&input);
        assert_eq!((found.n, found.recall_at_1, found.median_rank), (3, 1.0 / 3.0, 1.5));
        assert!((found.mrr - (0.5 + 2.0 / 3.0 + 1.0) / 3.0).abs() < 1e-15);
        assert!((found.normalised_rank - 0.25).abs() < 1e-15);
        // a long report is no better a match
        input.nll[2].iter_mut().for_each(|it| *it += 7.0);
        assert!((Retrieval::of_reports(&input).mrr - found.mrr).abs() < 1e-12);
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
