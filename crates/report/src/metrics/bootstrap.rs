//! Percentile intervals by resampling clusters: windows of one scan are not independent, so whole
//! units are drawn, never single windows out of them.

use std::{collections::HashMap, fmt};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{at_least, mean, same_length};
use crate::{Error, Result};

/// An estimate and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// From all the data.
    pub estimate: f64,
    /// The 2.5th percentile of the draws.
    pub low: f64,
    /// The 97.5th percentile of the draws.
    pub high: f64,
}

impl Interval {
    /// Whether it holds a value, the ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// From end to end.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} [{:.2}, {:.2}]", self.estimate, self.low, self.high)
    }
}

/// How often to resample, and from which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// Draws, at least 2,000.
    pub n_draws: usize,
    /// The same seed gives the same interval.
    pub seed: u64,
}

impl Bootstrap {
    /// Fewer draws make the ends of the interval noise.
    pub const MIN_DRAWS: usize = 2000;

    /// The mean of `values` when clusters are drawn with replacement, as many as there are;
    /// `cluster[i]` is the unit that value `i` belongs to.
    ///
    /// ```
    /// use report::metrics::Bootstrap;
    /// let bootstrap = Bootstrap { n_draws: 2000, seed: 1 };
    /// let interval = bootstrap.mean(&[1.0, 1.0, 0.0, 1.0], &[0, 0, 1, 1]).unwrap();
    /// assert_eq!(interval.to_string(), "0.75 [0.50, 1.00]");
    /// ```
    pub fn mean(&self, values: &[f64], cluster: &[usize]) -> Result<Interval> {
        at_least("bootstrap draws", self.n_draws, Self::MIN_DRAWS)?;
        same_length("clusters", cluster.len(), values.len())?;
        at_least("values", values.len(), 1)?;
        if let Some((idx, &found)) = values.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(Error::NotFinite { what: "value", idx, found });
        }
        let clusters = sums(values, cluster);
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut draws: Vec<f64> = (0..self.n_draws)
            .map(|_| {
                let (mut total, mut count) = (0.0, 0);
                for _ in 0..clusters.len() {
                    let (sum, n) = clusters[rng.random_range(0..clusters.len())];
                    total += sum;
                    count += n;
                }
                total / count as f64
            })
            .collect();
        draws.sort_by(f64::total_cmp);
        Ok(Interval {
            estimate: mean(values),
            low: percentile(&draws, 0.025),
            high: percentile(&draws, 0.975),
        })
    }
}

/// Sum and count of each cluster, in the order in which clusters first occur.
fn sums(values: &[f64], cluster: &[usize]) -> Vec<(f64, usize)> {
    let mut place = HashMap::new();
    let mut sums: Vec<(f64, usize)> = Vec::new();
    for (value, unit) in values.iter().zip(cluster) {
        let idx = *place.entry(*unit).or_insert_with(|| {
            sums.push((0.0, 0));
            sums.len() - 1
        });
        sums[idx].0 += value;
        sums[idx].1 += 1;
    }
    sums
}

/// Linear interpolation between the order statistics, as numpy does by default.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap { n_draws: 20_000, seed: 7 };

    #[test]
    fn percentiles_match_numpy() {
        // numpy.percentile([1, 2, 4, 8], [2.5, 50, 97.5])
        let sorted = [1.0, 2.0, 4.0, 8.0];
        for (share, expected) in [(0.025, 1.075), (0.5, 3.0), (0.975, 7.7)] {
            assert!((percentile(&sorted, share) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn half_of_sixteen_right_has_the_binomial_interval() {
        // The bootstrap of a mean of zeros and ones is Binomial(16, 1/2) / 16; its 2.5 % and 97.5 %
        // quantiles are 4/16 and 12/16 (scipy.stats.binom.ppf).
        let values: Vec<f64> = (0..16).map(|i| f64::from(i % 2)).collect();
        let cluster: Vec<usize> = (0..16).collect();
        let interval = BOOTSTRAP.mean(&values, &cluster).unwrap();
        assert_eq!(interval, Interval { estimate: 0.5, low: 0.25, high: 0.75 });
    }

    #[test]
    fn clusters_widen_the_interval() {
        let values: Vec<f64> = (0..64).map(|i| f64::from(u8::from(i < 32))).collect();
        let singles: Vec<usize> = (0..64).collect();
        let eights: Vec<usize> = (0..64).map(|i| i / 8).collect();
        let single = BOOTSTRAP.mean(&values, &singles).unwrap();
        let eight = BOOTSTRAP.mean(&values, &eights).unwrap();
        assert!(eight.width() > 2.0 * single.width(), "{eight} against {single}");
    }

    #[test]
    fn the_seed_decides_and_labels_of_clusters_do_not() {
        let values = [0.1, 0.9, 0.4, 0.3, 0.8, 0.2];
        let with = |seed, cluster: &[usize]| {
            Bootstrap { n_draws: 2000, seed }.mean(&values, cluster).unwrap()
        };
        assert_eq!(with(1, &[0, 0, 1, 1, 2, 2]), with(1, &[9, 9, 3, 3, 5, 5]));
        assert_ne!(with(1, &[0, 1, 2, 3, 4, 5]), with(2, &[0, 1, 2, 3, 4, 5]));
    }

    #[test]
    fn too_few_draws_and_bad_values_are_errors() {
        let few = Bootstrap { n_draws: 100, seed: 0 }.mean(&[1.0], &[0]).unwrap_err();
        assert_eq!(few.to_string(), "bootstrap draws: found 100, expected at least 2000");
        let nan = BOOTSTRAP.mean(&[1.0, f64::NAN], &[0, 1]).unwrap_err();
        assert_eq!(nan.to_string(), "value 1 is NaN, expected a finite number");
        assert!(BOOTSTRAP.mean(&[], &[]).is_err());
    }
}
