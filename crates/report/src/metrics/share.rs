//! The 95 % interval of an accuracy over units.

use std::collections::BTreeMap;

use super::{Interval, at_least, mean, same_length, student::t_975};
use crate::{Error, Result};

/// Mean of `values` between 0 and 1 with an interval over units; `cluster[i]` is the unit that value
/// `i` belongs to.
///
/// Student's t on the logit scale, `p = (right + 0.5) / (n + 1)`, with the spread between units. Where
/// all units agree at 0 or 1, the exact binomial limit of as many units takes its place.
///
/// ```
/// let right = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0];
/// let units = [0, 1, 2, 3, 4, 5, 6, 7];
/// let interval = report::metrics::share_interval(&right, &units).unwrap();
/// assert_eq!(interval.to_string(), "0.75 [0.27, 0.95]");
/// ```
pub fn share_interval(values: &[f64], cluster: &[usize]) -> Result<Interval> {
    mean_share_interval(values, cluster, values.len())
}

/// The same for values that are themselves shares: of `n_seen` answers, all together.
pub(crate) fn mean_share_interval(
    values: &[f64],
    cluster: &[usize],
    n_seen: usize,
) -> Result<Interval> {
    same_length("clusters", cluster.len(), values.len())?;
    at_least("values", values.len(), 1)?;
    if let Some((idx, &found)) = values.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        return Err(Error::NotFinite { what: "value", idx, found });
    }
    let (n, estimate) = (values.len() as f64, mean(values));
    let mut residuals: BTreeMap<usize, f64> = BTreeMap::new();
    for (value, unit) in values.iter().zip(cluster) {
        *residuals.entry(*unit).or_default() += value - estimate;
    }
    let n_units = residuals.len() as f64;
    if residuals.len() < 2 {
        return Ok(Interval { estimate, low: 0.0, high: 1.0 });
    }
    let squares: f64 = residuals.values().map(|it| it * it).sum();
    if squares < 1e-18 * n * n {
        let (low, high) = (agreeing(residuals.len()), 1.0 - agreeing(residuals.len()));
        return Ok(if estimate >= 1.0 {
            Interval { estimate, low, high: 1.0 }
        } else if estimate <= 0.0 {
            Interval { estimate, low: 0.0, high }
        } else {
            Interval { estimate, low: estimate, high: estimate }
        });
    }
    let error = (n_units / (n_units - 1.0) * squares).sqrt() / n;
    let n_seen = n_seen as f64;
    let inside = (estimate * n_seen + 0.5) / (n_seen + 1.0);
    let center = (inside / (1.0 - inside)).ln();
    let half_width = t_975(n_units - 1.0) * error / (inside * (1.0 - inside));
    let back = |at: f64| 1.0 / (1.0 + (-at).exp());
    let (low, high) = (back(center - half_width), back(center + half_width));
    Ok(Interval { estimate, low: low.min(estimate), high: high.max(estimate) })
}

/// The lower 95 % limit of a share when `n` of `n` units are right (Clopper and Pearson 1934).
pub(crate) fn agreeing(n: usize) -> f64 {
    0.025_f64.powf(1.0 / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64], cluster: &[usize]) -> Interval {
        share_interval(values, cluster).unwrap()
    }

    #[test]
    fn half_of_sixteen_right_by_hand() {
        // error sqrt(16/15 * 16 * 0.25) / 16 = 0.1291, times t(15) = 2.1314, over 0.25: 1.1007
        let values: Vec<f64> = (0..16).map(|i| f64::from(i % 2)).collect();
        let cluster: Vec<usize> = (0..16).collect();
        let found = of(&values, &cluster);
        assert!((found.low - 1.0 / (1.0 + 1.1007_f64.exp())).abs() < 1e-3, "{found}");
        assert!((found.low + found.high - 1.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn units_that_agree_have_the_binomial_limit() {
        // scipy.stats.binomtest(16, 16).proportion_ci(): 0.7941 to 1
        let cluster: Vec<usize> = (0..16).collect();
        let all = of(&[1.0; 16], &cluster);
        assert!((all.low - 0.7941).abs() < 1e-4 && all.high == 1.0, "{all}");
        let none = of(&[0.0; 16], &cluster);
        assert!((none.high - 0.2059).abs() < 1e-4 && none.low == 0.0, "{none}");
        // every unit half right: nothing varies between units
        let halves: Vec<f64> = (0..16).map(|i| f64::from(i % 2)).collect();
        let pairs: Vec<usize> = (0..16).map(|i| i / 2).collect();
        assert_eq!(of(&halves, &pairs), Interval { estimate: 0.5, low: 0.5, high: 0.5 });
    }

    #[test]
    fn units_widen_the_interval_and_one_unit_says_nothing() {
        let values: Vec<f64> = (0..64).map(|i| f64::from(u8::from(i < 32))).collect();
        let singles: Vec<usize> = (0..64).collect();
        let eights: Vec<usize> = (0..64).map(|i| i / 8).collect();
        assert!(of(&values, &eights).width() > 2.0 * of(&values, &singles).width());
        assert_eq!(of(&values, &[0; 64]), Interval { estimate: 0.5, low: 0.0, high: 1.0 });
    }

    #[test]
    fn bad_values_are_errors() {
        let nan = share_interval(&[1.0, f64::NAN], &[0, 1]).unwrap_err();
        assert_eq!(nan.to_string(), "value 1 is NaN, expected a finite number");
        assert!(share_interval(&[], &[]).is_err() && share_interval(&[1.0], &[]).is_err());
    }
}
