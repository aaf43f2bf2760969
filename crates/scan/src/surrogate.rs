//! Series that keep a part of what another one is: its spectra, its correlations, or its frames in another
//! order.
//!
//! Theiler et al. 1992 (one series), Prichard and Theiler 1994 (several with common phases).

use std::f64::consts::TAU;

use ndarray::{Array2, ArrayView2, Axis};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// For which columns random phases are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phases {
    /// For each its own: spectra stay, and what columns have in common goes.
    Own,
    /// For all together: spectra and cross-spectra stay, and with them every correlation at every lag; what
    /// goes is whatever is not stationary or not Gaussian.
    Common,
}

/// A series `(n_frames, n_columns)` with every frequency's phase turned at random. Means and spectra of its
/// columns stay, up to rounding; the same seed gives the same series.
///
/// ```
/// use ndarray::array;
/// use scan::{Phases, phase_randomised};
/// let series = array![[1.0], [4.0], [2.0], [0.0], [3.0]];
/// let surrogate = phase_randomised(series.view(), Phases::Own, 1);
/// let power = |x: &ndarray::Array2<f64>| x.mapv(|x| x * x).sum();
/// assert!((power(&surrogate) - power(&series)).abs() < 1e-12);
/// assert!((surrogate.sum() - 10.0).abs() < 1e-12);
/// ```
pub fn phase_randomised(series: ArrayView2<'_, f64>, phases: Phases, seed: u64) -> Array2<f64> {
    let (n, n_columns) = series.dim();
    // the constant, and the highest frequency of an even length, are real and stay
    let n_turned = n.saturating_sub(1) / 2;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut turns = Array2::zeros((n_turned, n_columns));
    match phases {
        Phases::Own => turns.iter_mut().for_each(|turn| *turn = rng.random_range(0.0..TAU)),
        Phases::Common => turns.rows_mut().into_iter().for_each(|mut row| {
            row.fill(rng.random_range(0.0..TAU));
        }),
    }
    // sums over frames of the series times the cosines and sines of every frequency: X = a - ib
    let angle = |(k, t): (usize, usize)| TAU * (((k + 1) * t) % n) as f64 / n as f64;
    let cosines = Array2::from_shape_fn((n_turned, n), |at| angle(at).cos());
    let sines = Array2::from_shape_fn((n_turned, n), |at| angle(at).sin());
    let (a, b) = (cosines.dot(&series), sines.dot(&series));
    // X turned by phi is (a cos phi + b sin phi) - i(b cos phi - a sin phi); what changes is added
    let (cos, sin) = (turns.mapv(f64::cos), turns.mapv(f64::sin));
    let change_a = &a * &cos + &b * &sin - &a;
    let change_b = &b * &cos - &a * &sin - &b;
    let change = cosines.t().dot(&change_a) + sines.t().dot(&change_b);
    &series + change * (2.0 / n as f64)
}

/// A series `(n_frames, n_columns)` with its frames in another order: what columns have in common at one time
/// stays, and what follows what goes. The same seed gives the same order.
pub fn time_permuted(series: ArrayView2<'_, f64>, seed: u64) -> Array2<f64> {
    let mut order: Vec<usize> = (0..series.nrows()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    series.select(Axis(0), &order)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three columns with a memory, of which the first two go together.
    fn series(n: usize) -> Array2<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut noise = || rng.random_range(-1.0..1.0);
        let mut last = [0.0; 3];
        let mut series = Array2::zeros((n, 3));
        for mut row in series.rows_mut() {
            let both = noise();
            for (idx, x) in row.iter_mut().enumerate() {
                let shared = if idx < 2 { both } else { noise() };
                last[idx] = 0.5 * last[idx] + shared + 0.3 * noise();
                *x = last[idx] + 5.0;
            }
        }
        series
    }

    /// Real and imaginary part of `sum_t x_t e^(-2 pi i k t / n)`, term by term.
    fn coefficient(column: &[f64], k: usize) -> [f64; 2] {
        let n = column.len() as f64;
        let angle = |t: usize| -TAU * (k * t) as f64 / n;
        let sum = |of: fn(f64) -> f64| {
            column.iter().enumerate().map(|(t, x)| of(angle(t)) * x).sum::<f64>()
        };
        [sum(f64::cos), sum(f64::sin)]
    }

    fn coefficients(series: &Array2<f64>, k: usize) -> Vec<[f64; 2]> {
        series.columns().into_iter().map(|it| coefficient(&it.to_vec(), k)).collect()
    }

    /// `a` times the conjugate of `b`.
    fn cross([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
        [a * c + b * d, b * c - a * d]
    }

    #[test]
    fn own_phases_keep_spectra_and_lose_what_columns_share() {
        for n in [64, 75] {
            let series = series(n);
            let surrogate = phase_randomised(series.view(), Phases::Own, 3);
            for k in 0..n {
                for (a, b) in coefficients(&series, k).iter().zip(coefficients(&surrogate, k)) {
                    assert!((a[0].hypot(a[1]) - b[0].hypot(b[1])).abs() < 1e-9, "{n} {k}");
                }
            }
            let r = |of: &Array2<f64>| {
                let kind = crate::ConnectivityKind::Correlation;
                crate::connectivity(of, kind, crate::CovarianceEstimator::Empirical).unwrap()
                    [(0, 1)]
            };
            assert!(
                r(&series) > 0.8 && r(&surrogate).abs() < 0.5,
                "{} {}",
                r(&series),
                r(&surrogate)
            );
        }
    }

    #[test]
    fn common_phases_keep_cross_spectra_and_correlations() {
        for n in [64, 75] {
            let series = series(n);
            let surrogate = phase_randomised(series.view(), Phases::Common, 3);
            assert!((&series - &surrogate).iter().any(|it| it.abs() > 0.1));
            for k in 0..n {
                let (a, b) = (coefficients(&series, k), coefficients(&surrogate, k));
                for (i, j) in [(0, 0), (0, 1), (1, 2)] {
                    let (before, after) = (cross(a[i], a[j]), cross(b[i], b[j]));
                    let apart = (before[0] - after[0]).hypot(before[1] - after[1]);
                    assert!(apart < 1e-8, "{n} {k} {apart}");
                }
            }
            let r = |of: &Array2<f64>| {
                let kind = crate::ConnectivityKind::Correlation;
                crate::connectivity(of, kind, crate::CovarianceEstimator::Empirical).unwrap()
            };
            assert!((r(&series) - r(&surrogate)).iter().all(|it| it.abs() < 1e-10));
        }
    }

    #[test]
    fn frames_stay_whole_in_another_order() {
        let series = series(40);
        let permuted = time_permuted(series.view(), 2);
        assert_ne!(permuted, series);
        let sorted = |of: &Array2<f64>| {
            let mut rows: Vec<Vec<f64>> = of.rows().into_iter().map(|it| it.to_vec()).collect();
            rows.sort_by(|a, b| a[0].total_cmp(&b[0]));
            rows
        };
        assert_eq!(sorted(&permuted), sorted(&series));
    }

    #[test]
    fn the_seed_decides_and_flat_columns_stay_flat() {
        let mut series = series(30);
        series.column_mut(2).fill(0.0);
        let one = |seed| phase_randomised(series.view(), Phases::Own, seed);
        assert_eq!(one(1), one(1));
        assert_ne!(one(1), one(2));
        assert!(one(1).column(2).iter().all(|it| it.abs() < 1e-12));
        let two = series.slice(ndarray::s![..2, ..]);
        assert_eq!(phase_randomised(two, Phases::Own, 1), two);
        assert_eq!(time_permuted(series.view(), 5), time_permuted(series.view(), 5));
    }
}
