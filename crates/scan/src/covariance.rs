//! Covariance of many voxels from few samples, by shrinking towards a sphere.
//!
//! Source: Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
//! matrices", 2004, in the form scikit-learn computes it.

use ndarray::{Array2, ArrayView2, Axis};

use crate::error::{Error, Result};

/// A covariance of more columns takes over 800 MB.
const MAX_COLUMNS: usize = 10_000;

/// The shrunk covariance `(n_columns, n_columns)` of samples `(n_samples, n_columns)` and how far
/// it was shrunk, 0 to 1. Samples are centred first; the covariance divides by `n_samples`.
pub fn ledoit_wolf(samples: &Array2<f64>) -> Result<(Array2<f64>, f64)> {
    let centred = centred(samples.view())?;
    let shrinkage = ledoit_wolf_shrinkage(&centred);
    Ok((shrunk(&centred, shrinkage), shrinkage))
}

/// Samples minus their mean; refuses too few samples, too many columns, and values not finite.
pub(crate) fn centred(samples: ArrayView2<f64>) -> Result<Array2<f64>> {
    let (n_samples, n_columns) = samples.dim();
    if n_samples < 2 {
        return Err(Error::TooFewSamples { found: n_samples, expected: 2 });
    }
    if n_columns == 0 {
        return Err(Error::EmptyArray { found: vec![n_samples, 0] });
    }
    if n_columns > MAX_COLUMNS {
        return Err(Error::TooManyVoxels { found: n_columns, limit: MAX_COLUMNS });
    }
    let found = samples.iter().filter(|x| !x.is_finite()).count();
    if found > 0 {
        return Err(Error::NonFiniteSeries { found, total: samples.len() });
    }
    let means = samples.sum_axis(Axis(0)) / n_samples as f64;
    Ok(&samples - &means)
}

/// The share of the sphere that minimises the expected squared error.
pub(crate) fn ledoit_wolf_shrinkage(centred: &Array2<f64>) -> f64 {
    let (n_samples, n_columns) = centred.dim();
    if n_columns == 1 {
        return 0.0;
    }
    let (n, p) = (n_samples as f64, n_columns as f64);
    let squares = centred.mapv(|x| x * x);
    let mu = squares.sum() / (n * p);
    let gram = centred.t().dot(centred);
    let delta = gram.iter().map(|x| x * x).sum::<f64>() / (n * n);
    let beta = squares.sum_axis(Axis(1)).iter().map(|norm| norm * norm).sum::<f64>();
    let error = (beta / n - delta) / (p * n);
    let spread = delta / p - mu * mu;
    if error <= 0.0 || spread <= 0.0 { 0.0 } else { (error / spread).min(1.0) }
}

/// `(1 − shrinkage) S + shrinkage mean(diag S) I`, with S the covariance over `n_samples`.
pub(crate) fn shrunk(centred: &Array2<f64>, shrinkage: f64) -> Array2<f64> {
    let mut covariance = centred.t().dot(centred) / centred.nrows() as f64;
    let mu = covariance.diag().sum() / covariance.nrows() as f64;
    covariance *= 1.0 - shrinkage;
    covariance.diag_mut().mapv_inplace(|x| x + shrinkage * mu);
    covariance
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12 * expected.abs(), "{found} {expected}");
    }

    fn samples(n_samples: usize, n_columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((n_samples, n_columns), |(s, v)| {
            ((s * s * 7 + v * 13 + s * v * 5) % 23) as f64 - 11.0
        })
    }

    // scikit-learn 1.9.1: covariance.ledoit_wolf on the same integers
    #[test]
    fn shrinkage_and_covariance_agree_with_scikit_learn() {
        let (covariance, shrinkage) = ledoit_wolf(&samples(6, 3)).unwrap();
        assert_close(shrinkage, 0.723_982_607_072_030_4);
        let expected = [
            [50.836_895_810_393_244, 2.737_172_479_869_031_3, 6.072_382_644_415_33],
            [2.737_172_479_869_031_3, 49.242_128_651_253_864, -9.415_259_958_765_184],
            [6.072_382_644_415_33, -9.415_259_958_765_184, 53.865_419_982_797_35],
        ];
        for ((i, j), &found) in covariance.indexed_iter() {
            assert_close(found, expected[i][j]);
        }
    }

    // scikit-learn 1.9.1, fewer samples than columns
    #[test]
    fn four_samples_of_eight_columns_agree_with_scikit_learn() {
        let (covariance, shrinkage) = ledoit_wolf(&samples(4, 8)).unwrap();
        assert_close(shrinkage, 0.653_727_262_841_299_7);
        assert_close(covariance[[0, 0]], 37.426_520_608_098_8);
        assert_close(covariance[[0, 7]], -10.106_835_515_819_565);
        assert_close(covariance.sum(), 339.471_592_144_837_6);
    }

    #[test]
    fn one_column_is_not_shrunk() {
        let (covariance, shrinkage) = ledoit_wolf(&samples(6, 1)).unwrap();
        assert_eq!(shrinkage, 0.0);
        assert_eq!(covariance.dim(), (1, 1));
    }

    #[test]
    fn bad_samples_are_refused() {
        assert!(ledoit_wolf(&Array2::zeros((1, 3))).is_err());
        assert!(ledoit_wolf(&Array2::zeros((3, 0))).is_err());
        assert!(ledoit_wolf(&Array2::from_elem((3, 2), f64::NAN)).is_err());
        assert!(ledoit_wolf(&Array2::zeros((2, MAX_COLUMNS + 1))).is_err());
    }
}
