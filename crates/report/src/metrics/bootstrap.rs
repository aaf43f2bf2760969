//! Intervals from draws with replacement.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{Interval, mean};

/// `score` of all units, with the 2.5th and 97.5th percentile over `n_draws` draws of as many units with
/// replacement. `score` is given the places of the units; a draw of which it is not finite is passed over, and
/// without any the ends are unknown.
///
/// ```
/// use report::metrics::bootstrap;
/// let values = [0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0];
/// let mean = |drawn: &[usize]| drawn.iter().map(|&it| values[it]).sum::<f64>() / drawn.len() as f64;
/// let interval = bootstrap(values.len(), 2000, 1, mean);
/// assert_eq!(interval.estimate, 0.625);
/// assert!(interval.low < 0.4 && interval.high > 0.8);
/// ```
pub fn bootstrap(
    n_units: usize,
    n_draws: usize,
    seed: u64,
    score: impl Fn(&[usize]) -> f64,
) -> Interval {
    let all: Vec<usize> = (0..n_units).collect();
    let estimate = score(&all);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // apart from every division
    rng.set_stream(u64::MAX);
    let mut draws: Vec<f64> = (0..n_draws)
        .map(|_| {
            let drawn: Vec<usize> = all.iter().map(|_| rng.random_range(0..n_units)).collect();
            score(&drawn)
        })
        .filter(|score| score.is_finite())
        .collect();
    draws.sort_by(f64::total_cmp);
    let at = |share: f64| match draws.len() {
        0 => None,
        n => Some(draws[((n - 1) as f64 * share).round() as usize]),
    };
    Interval {
        estimate,
        low: at(0.025).unwrap_or(f64::NEG_INFINITY),
        high: at(0.975).unwrap_or(f64::INFINITY),
    }
}

/// Draws behind an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    /// How many.
    pub n: usize,
    /// Their seed.
    pub seed: u64,
}

/// The items of each unit, such as those of one picture or of one person: they are drawn together.
pub(crate) struct Clusters(Vec<Vec<usize>>);

impl Clusters {
    /// `unit[i]` is the unit of item `i`, from 0.
    pub(crate) fn of(unit: &[usize]) -> Self {
        let mut items = vec![Vec::new(); unit.iter().max().map_or(0, |last| last + 1)];
        unit.iter().enumerate().for_each(|(item, &unit)| items[unit].push(item));
        items.retain(|it| !it.is_empty());
        Self(items)
    }

    /// Units that have an item.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The mean of what each item is worth, drawn as [`Self::interval`] draws.
    pub(crate) fn mean(&self, draws: Draws, worth: &[f64]) -> Interval {
        self.interval(draws, |items| mean(&items.map(|it| worth[it]).collect::<Vec<_>>()))
    }

    /// `score` of the items of all units, with percentiles over draws of units. Where all draws are alike they do not
    /// tell how far off the score may be: the ends are unknown.
    pub(crate) fn interval(
        &self,
        draws: Draws,
        score: impl Fn(&mut dyn Iterator<Item = usize>) -> f64,
    ) -> Interval {
        let found = bootstrap(self.0.len(), draws.n, draws.seed, |drawn| {
            score(&mut drawn.iter().flat_map(|&unit| self.0[unit].iter().copied()))
        });
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        if found.width() > 0.0 { found } else { Interval { low, high, ..found } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_many_has_the_interval_of_a_share() {
        // 1.96 · sqrt(0.25 / 400) = 0.049
        let values: Vec<f64> = (0..400).map(|idx| f64::from(idx % 2)).collect();
        let mean =
            |drawn: &[usize]| drawn.iter().map(|&it| values[it]).sum::<f64>() / drawn.len() as f64;
        let found = bootstrap(400, 4000, 7, mean);
        assert!((found.low - 0.451).abs() < 0.006 && (found.high - 0.549).abs() < 0.006, "{found}");
        assert_eq!(found, bootstrap(400, 4000, 7, mean));
    }

    #[test]
    fn draws_without_a_score_say_nothing() {
        let found = bootstrap(2, 100, 1, |drawn| if drawn == [0, 1] { 0.5 } else { f64::NAN });
        assert_eq!((found.low, found.high), (0.5, 0.5));
        let none = bootstrap(2, 100, 1, |_| f64::NAN);
        assert!(none.low.is_infinite() && none.high.is_infinite());
    }
}
