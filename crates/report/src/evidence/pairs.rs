//! Pairs of windows: is the right pairing of two reports and two scans likelier than the swapped one?
//!
//! `d = nll[i][j] + nll[j][i] - nll[i][i] - nll[j][j]` is above 0 if it is. What makes a report or a
//! scan likely by itself cancels exactly. Leaving out a unit leaves out every pair that it takes part
//! in.

use super::{EvidenceInput, Level, units::Units};
use crate::metrics::{Interval, Jackknife, agreeing, effective};

/// Nats a token within which two pairings are as likely: rounding of single precision.
pub(super) const TIE: f64 = 1e-5;

/// What pairs of a kind say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pairs {
    /// Share of pairs with `d > 0`, a tie being half a pair.
    pub(super) two_afc: Jackknife,
    /// Half the mean of `d`.
    pub(super) gain: Jackknife,
    /// How many pairs there are.
    pub(super) n: usize,
}

impl Pairs {
    /// Pairs of windows whose true values differ; `values[i]` is that of window `i`.
    pub(super) fn of_different_values(
        input: &EvidenceInput,
        units: &Units,
        values: &[usize],
    ) -> Self {
        Self::of(input, units, |i, j| values[i] != values[j])
    }

    /// Pairs of windows of different people that share their true value; of different runs or windows
    /// where no two people do. `None` without such a pair.
    pub(super) fn of_equal_values(
        input: &EvidenceInput,
        units: &Units,
        values: &[usize],
    ) -> Option<Self> {
        let of = units.of(Self::level_of_equal_values(input, units, values)?);
        Some(Self::of(input, units, |i, j| values[i] == values[j] && of[i] != of[j]))
    }

    /// The largest unit of which two members that are compared share a true value.
    pub(super) fn level_of_equal_values(
        input: &EvidenceInput,
        units: &Units,
        values: &[usize],
    ) -> Option<Level> {
        [Level::Subject, Level::Run, Level::Window].into_iter().find(|level| {
            let of = units.of(*level);
            let shares = |i: usize, j: usize| values[i] == values[j] && of[i] != of[j];
            input
                .blocks
                .iter()
                .any(|block| block.iter().any(|&i| block.iter().any(|&j| shares(i, j))))
        })
    }

    /// Pairs of windows that are `wanted`, which must not depend on their order.
    pub(super) fn of(
        input: &EvidenceInput,
        units: &Units,
        wanted: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let cluster = units.resampled();
        let mut all = Sums::default();
        let mut touched = vec![Sums::default(); units.counts.at(units.resampled)];
        for block in &input.blocks {
            for (a, &i) in block.iter().enumerate() {
                for (b, &j) in block.iter().enumerate().take(a).filter(|(_, j)| wanted(i, **j)) {
                    let nll = &input.nll;
                    let d = nll[i][b] + nll[j][a] - nll[i][a] - nll[j][b];
                    all.add(d);
                    touched[cluster[i]].add(d);
                    if cluster[i] != cluster[j] {
                        touched[cluster[j]].add(d);
                    }
                }
            }
        }
        let units: Vec<&Sums> = touched.iter().filter(|it| it.n > 0.0).collect();
        let weights: Vec<f64> = units.iter().map(|it| it.n).collect();
        let n_effective = effective(&weights);
        let jackknife = |of: fn(&Sums) -> f64| {
            let without = |unit: &&Sums| (of(&all) - of(unit)) / (all.n - unit.n);
            let left_out: Vec<f64> = units.iter().map(without).collect();
            Jackknife::new(of(&all) / all.n, &left_out, n_effective)
        };
        Self { two_afc: jackknife(|it| it.wins), gain: jackknife(|it| it.gain), n: all.n as usize }
    }

    /// The share of pairs with its interval; where all pairs agree nothing varies, and the binomial limit
    /// of as many units stands in.
    pub(super) fn two_afc(&self, units: &Units) -> Interval {
        let mut found = self.two_afc.share(units.counts.windows);
        let limit = agreeing(units.counts.at(units.resampled));
        if found.estimate >= 1.0 {
            found.low = found.low.min(limit);
        } else if found.estimate <= 0.0 {
            found.high = found.high.max(1.0 - limit);
        }
        found
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    wins: f64,
    gain: f64,
    n: f64,
}

impl Sums {
    fn add(&mut self, d: f64) {
        self.wins += if d.abs() < TIE { 0.5 } else { f64::from(u8::from(d > 0.0)) };
        self.gain += d / 2.0;
        self.n += 1.0;
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "shares of small counts are exact")]
mod tests {
    use super::*;
    use crate::evidence::example;

    fn of(nll: &[[f64; 3]; 3], values: [usize; 3]) -> (Pairs, Option<Pairs>) {
        let mut input = example::seeing(3);
        input.nll = nll.iter().map(|row| row.to_vec()).collect();
        let units = Units::new(&input.units, &values);
        (
            Pairs::of_different_values(&input, &units, &values),
            Pairs::of_equal_values(&input, &units, &values),
        )
    }

    #[test]
    fn three_windows_by_hand() {
        let nll = [[1.0, 2.0, 4.0], [3.0, 2.0, 2.0], [1.0, 5.0, 2.0]];
        // d of 0 and 1: 2 + 3 - 1 - 2 = 2; of 0 and 2: 4 + 1 - 1 - 2 = 2; of 1 and 2: 2 + 5 - 2 - 2 = 3
        let (different, equal) = of(&nll, [0, 1, 0]);
        assert_eq!((different.n, different.two_afc.estimate), (2, 1.0));
        assert_eq!(different.gain.estimate, 5.0 / 4.0);
        assert_eq!(equal.unwrap().gain.estimate, 1.0);
        let (different, equal) = of(&nll, [0, 1, 2]);
        assert_eq!(different.gain.estimate, (2.0 + 2.0 + 3.0) / 2.0 / 3.0);
        assert!(equal.is_none());
        // without window 0: 1.5, without 1: 1, without 2: 1
        let left_out = [1.5, 1.0, 1.0];
        assert_eq!(different.gain, Jackknife::new(7.0 / 6.0, &left_out, 3.0));
    }

    #[test]
    fn rows_and_columns_cancel() {
        let nll = [[1.0, 2.0, 4.0], [3.0, 2.0, 2.0], [1.0, 5.0, 2.0]];
        let (row, column) = ([7.0, -3.0, 0.5], [0.25, 20.0, -1.0]);
        let mut moved = nll;
        for (i, line) in moved.iter_mut().enumerate() {
            for (j, cell) in line.iter_mut().enumerate() {
                *cell += row[i] + column[j];
            }
        }
        let (before, after) = (of(&nll, [0, 1, 2]).0, of(&moved, [0, 1, 2]).0);
        assert_eq!(before.two_afc, after.two_afc);
        assert!((before.gain.estimate - after.gain.estimate).abs() < 1e-12);
    }

    #[test]
    fn rounding_is_a_tie() {
        let nll = [[1.0, 1.0 + 2e-7, 1.0], [2.0, 2.0, 2.0 + 1e-7], [0.5 + 3e-7, 0.5, 0.5]];
        assert_eq!(of(&nll, [0, 1, 2]).0.two_afc.estimate, 0.5);
    }

    #[test]
    fn a_value_of_one_unit_leaves_the_interval_open() {
        let (different, _) = of(&[[1.0, 2.0, 4.0], [3.0, 2.0, 2.0], [1.0, 5.0, 2.0]], [0, 0, 1]);
        // without the last window no two values differ
        assert_eq!((different.two_afc.share(3).low, different.two_afc.share(3).high), (0.0, 1.0));
        assert!(different.gain.interval().low.is_infinite());
    }
}
