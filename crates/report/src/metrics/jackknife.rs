//! Delete-one-unit jackknife: windows of one person are not independent, so whole units are left out,
//! with everything that touches them.
//!
//! `variance = (G - 1) / G * sum_u (estimate without u - their mean)^2` (Efron and Stein 1981), and an
//! interval with Student's t.

use super::{Interval, mean, student::t_975};

/// An estimate and half the width of its 95 % interval; infinite where leaving out some unit leaves
/// nothing to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Jackknife {
    pub(crate) estimate: f64,
    half_width: f64,
}

impl Jackknife {
    /// `left_out[u]` is the estimate without unit `u`; `n_effective` units count for the degrees of
    /// freedom (see [`effective`]).
    pub(crate) fn new(estimate: f64, left_out: &[f64], n_effective: f64) -> Self {
        let n = left_out.len() as f64;
        if left_out.len() < 2 || left_out.iter().any(|it| !it.is_finite()) {
            return Self { estimate, half_width: f64::INFINITY };
        }
        let center = mean(left_out);
        let squares: f64 = left_out.iter().map(|it| (it - center).powi(2)).sum();
        let error = ((n - 1.0) / n * squares).sqrt();
        let negligible = 1e-12 * (1.0 + estimate.abs());
        let half_width = if error < negligible { 0.0 } else { t_975(n_effective - 1.0) * error };
        Self { estimate, half_width }
    }

    /// Estimate and half-width as they are.
    pub(crate) fn interval(&self) -> Interval {
        let Self { estimate, half_width } = *self;
        Interval { estimate, low: estimate - half_width, high: estimate + half_width }
    }

    /// The interval of a share of `n` observations, taken on the arcsine scale, where the spread of a
    /// share does not depend on the share: near 0 and 1 it leans inwards and never leaves them.
    pub(crate) fn share(&self, n: usize) -> Interval {
        let Self { estimate, half_width } = *self;
        if !half_width.is_finite() {
            return Interval { estimate, low: 0.0, high: 1.0 };
        }
        if half_width == 0.0 {
            return Interval { estimate, low: estimate, high: estimate };
        }
        let n = n as f64;
        let inside = (estimate * n + 0.5) / (n + 1.0);
        let center = inside.sqrt().asin();
        let half_width = half_width / (2.0 * (inside * (1.0 - inside)).sqrt());
        let back = |at: f64| at.clamp(0.0, std::f64::consts::FRAC_PI_2).sin().powi(2);
        let (low, high) = (back(center - half_width), back(center + half_width));
        Interval { estimate, low: low.min(estimate), high: high.max(estimate) }
    }
}

/// Kish's effective number of units, `(sum w)^2 / sum w^2`, of the weights with which they count.
pub(crate) fn effective(weights: &[f64]) -> f64 {
    let squares: f64 = weights.iter().map(|it| it * it).sum();
    if squares > 0.0 { weights.iter().sum::<f64>().powi(2) / squares } else { 0.0 }
}

/// The mean of some values, with the jackknife over the units that they belong to.
pub(crate) fn mean_interval(values: &[f64], units: &[usize]) -> Interval {
    let mut sums = vec![(0.0, 0.0); units.iter().max().map_or(0, |last| last + 1)];
    for (value, &unit) in values.iter().zip(units) {
        sums[unit].0 += value;
        sums[unit].1 += 1.0;
    }
    sums.retain(|it| it.1 > 0.0);
    let (total, n) = sums.iter().fold((0.0, 0.0), |(s, n), it| (s + it.0, n + it.1));
    let left_out: Vec<f64> = sums.iter().map(|it| (total - it.0) / (n - it.1)).collect();
    let sizes: Vec<f64> = sums.iter().map(|it| it.1).collect();
    Jackknife::new(total / n, &left_out, effective(&sizes)).interval()
}

/// Jackknife of the mean over rows of `own + mean(cells)`: leaving out a unit leaves out its rows, and
/// the cells that it takes part in. Rows without cells do not count.
pub(crate) struct RowMeans {
    rows: Vec<Row>,
    n_units: usize,
}

struct Row {
    unit: usize,
    own: f64,
    sum: f64,
    n: f64,
    /// Sum and count of the cells of each unit that occurs among them.
    units: Vec<(usize, f64, f64)>,
}

impl RowMeans {
    pub(crate) fn new(n_units: usize) -> Self {
        Self { rows: Vec::new(), n_units }
    }

    /// Adds a row of this unit; `cells` are values with the units that they belong to.
    pub(crate) fn push(
        &mut self,
        unit: usize,
        own: f64,
        cells: impl Iterator<Item = (usize, f64)>,
    ) {
        let mut cells: Vec<(usize, f64)> = cells.collect();
        cells.sort_by_key(|(unit, _)| *unit);
        let mut units: Vec<(usize, f64, f64)> = Vec::new();
        for (unit, value) in cells {
            match units.last_mut() {
                Some(last) if last.0 == unit => {
                    last.1 += value;
                    last.2 += 1.0;
                }
                _ => units.push((unit, value, 1.0)),
            }
        }
        let (sum, n) = units.iter().fold((0.0, 0.0), |(s, n), it| (s + it.1, n + it.2));
        if n > 0.0 {
            self.rows.push(Row { unit, own, sum, n, units });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn jackknife(&self) -> Jackknife {
        let mut all = (0.0, 0.0);
        // what each unit takes away: its own rows, and its cells in the rows of others
        let mut taken = vec![(0.0, 0.0); self.n_units];
        let mut present = vec![false; self.n_units];
        for row in &self.rows {
            let value = row.own + row.sum / row.n;
            all.0 += value;
            all.1 += 1.0;
            taken[row.unit].0 += value;
            taken[row.unit].1 += 1.0;
            present[row.unit] = true;
            for &(unit, sum, n) in row.units.iter().filter(|it| it.0 != row.unit) {
                present[unit] = true;
                let left = row.n - n;
                if left > 0.5 {
                    taken[unit].0 += value - (row.own + (row.sum - sum) / left);
                } else {
                    taken[unit].0 += value;
                    taken[unit].1 += 1.0;
                }
            }
        }
        let units = taken.iter().zip(&present).filter(|(_, present)| **present);
        let left_out: Vec<f64> = units.map(|(it, _)| (all.0 - it.0) / (all.1 - it.1)).collect();
        Jackknife::new(all.0 / all.1, &left_out, left_out.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_interval_of_a_t_test() {
        // leaving out one of n values is the t interval of a mean: scipy.stats.t.interval
        let values = [1.0, 2.0, 4.0, 7.0, 11.0];
        let left_out: Vec<f64> = values.iter().map(|it| (25.0 - it) / 4.0).collect();
        let interval = Jackknife::new(5.0, &left_out, 5.0).interval();
        assert!((interval.low - -0.043_7).abs() < 1e-3, "{interval}");
        assert!((interval.high - 10.043_7).abs() < 1e-3, "{interval}");
    }

    #[test]
    fn values_of_one_unit_go_together() {
        // without units 0, 2 and 5: (7 + 11) / 2, (1 + 2 + 11) / 3 and (1 + 2 + 7) / 3
        let found = mean_interval(&[1.0, 2.0, 7.0, 11.0], &[0, 0, 2, 5]);
        let left_out = [9.0, 14.0 / 3.0, 10.0 / 3.0];
        assert_eq!(found, Jackknife::new(5.25, &left_out, effective(&[2.0, 1.0, 1.0])).interval());
    }

    #[test]
    fn a_share_stays_between_zero_and_one_and_holds_its_estimate() {
        for estimate in [0.0, 0.03, 0.5, 0.97, 1.0] {
            let interval = Jackknife { estimate, half_width: 0.2 }.share(16);
            assert!(interval.low >= 0.0 && interval.high <= 1.0, "{interval}");
            assert!(interval.contains(estimate), "{interval}");
        }
        let unknown = Jackknife::new(0.7, &[0.5, f64::NAN, 0.6], 3.0).share(8);
        assert_eq!(unknown, Interval { estimate: 0.7, low: 0.0, high: 1.0 });
    }

    #[test]
    fn unequal_units_count_less() {
        assert!((effective(&[2.0; 12]) - 12.0).abs() < 1e-12);
        // one unit in all pairs, ten in a tenth each
        let weights = [vec![1.0], vec![0.1; 10]].concat();
        assert!((effective(&weights) - 4.0 / 1.1).abs() < 1e-12);
        assert!(effective(&[]).abs() < 1e-12);
    }

    #[test]
    fn rows_and_columns_of_a_unit_go_together() {
        // three units with one row each; every row has a cell of each other unit
        let mut rows = RowMeans::new(3);
        rows.push(0, 1.0, [(1, 0.0), (2, -1.0)].into_iter());
        rows.push(1, 0.0, [(0, 0.0), (2, 0.0)].into_iter());
        rows.push(2, 1.0, [(0, -1.0), (1, -1.0)].into_iter());
        let found = rows.jackknife();
        assert!((found.estimate - 0.5 / 3.0).abs() < 1e-12);
        // without unit 0: rows 1 and 2 with one cell each, and so on
        let left_out = [0.0, 0.0, 0.5];
        assert_eq!(found, Jackknife::new(found.estimate, &left_out, 3.0));
    }

    #[test]
    fn a_row_whose_cells_are_all_of_one_unit_goes_with_it() {
        let mut rows = RowMeans::new(3);
        rows.push(0, 1.0, [(1, 0.0)].into_iter());
        rows.push(2, 0.0, [(0, 0.0), (1, 0.0)].into_iter());
        let left_out = [0.0, 0.0, 1.0];
        assert_eq!(rows.jackknife(), Jackknife::new(0.5, &left_out, 3.0));
        assert_eq!(rows.len(), 2);
    }
}
