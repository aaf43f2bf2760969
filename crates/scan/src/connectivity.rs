//! How the regions of a run go together.
//!
//! Source: nilearn 0.14 `ConnectivityMeasure` over scikit-learn's `EmpiricalCovariance` and
//! `LedoitWolf`. Only for correlations are the series standardised first, which is where the
//! shrinkage sees them.

use nalgebra::DMatrix;
use ndarray::Array2;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    clean::{CONSTANT, column_deviations, column_means},
    covariance::{centred, ledoit_wolf_shrinkage, shrunk},
    error::{Error, Result},
};

/// What a number between two regions says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectivityKind {
    /// How they vary together, in the units of the series.
    Covariance,
    /// The same, −1 to 1.
    Correlation,
    /// The inverse of the covariance.
    Precision,
    /// What is left of their correlation when all other regions are known.
    PartialCorrelation,
}

/// How the covariance is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CovarianceEstimator {
    /// From the samples alone.
    Empirical,
    /// Drawn towards a sphere, by as much as Ledoit and Wolf's formula says.
    LedoitWolf,
}

/// A matrix `(n_regions, n_regions)` of series `(n_frames, n_regions)`.
///
/// A series that does not vary is correlated with nothing but itself.
///
/// ```
/// use scan::{ConnectivityKind, CovarianceEstimator, connectivity};
///
/// let series = ndarray::array![[1.0, 2.0], [2.0, 4.0], [4.0, 8.0]];
/// let kind = ConnectivityKind::Correlation;
/// let matrix = connectivity(&series, kind, CovarianceEstimator::Empirical)?;
/// assert!((matrix[[0, 1]] - 1.0).abs() < 1e-12);
/// # Ok::<(), scan::Error>(())
/// ```
pub fn connectivity(
    series: &Array2<f64>,
    kind: ConnectivityKind,
    estimator: CovarianceEstimator,
) -> Result<Array2<f64>> {
    let mut samples = centred(series.view())?;
    if kind == ConnectivityKind::Correlation {
        let deviations = column_deviations(&samples);
        let means = column_means(series);
        for ((mut column, deviation), mean) in
            samples.columns_mut().into_iter().zip(deviations).zip(means)
        {
            let flat = deviation <= CONSTANT * mean.abs() || deviation < f64::EPSILON;
            column.mapv_inplace(|x| if flat { 0.0 } else { x / deviation });
        }
    }
    let shrinkage = match estimator {
        CovarianceEstimator::Empirical => 0.0,
        CovarianceEstimator::LedoitWolf => ledoit_wolf_shrinkage(&samples),
    };
    let covariance = shrunk(&samples, shrinkage);
    Ok(match kind {
        ConnectivityKind::Covariance => covariance,
        ConnectivityKind::Correlation => by_diagonal(&covariance, 1.0),
        ConnectivityKind::Precision => inverse(&covariance)?,
        ConnectivityKind::PartialCorrelation => by_diagonal(&inverse(&covariance)?, -1.0),
    })
}

/// Entries over the roots of both diagonal entries, times a sign; the diagonal is 1.
fn by_diagonal(matrix: &Array2<f64>, sign: f64) -> Array2<f64> {
    let roots = matrix.diag().mapv(f64::sqrt);
    Array2::from_shape_fn(matrix.dim(), |(i, j)| match roots[i] * roots[j] {
        _ if i == j => 1.0,
        0.0 => 0.0,
        scale => sign * matrix[[i, j]] / scale,
    })
}

fn inverse(covariance: &Array2<f64>) -> Result<Array2<f64>> {
    let matrix =
        DMatrix::from_fn(covariance.nrows(), covariance.ncols(), |i, j| covariance[[i, j]]);
    let Some(factor) = matrix.clone().cholesky() else {
        let eigenvalues = matrix.symmetric_eigenvalues();
        let (smallest, largest) = (eigenvalues.min(), eigenvalues.max());
        return Err(Error::Singular { smallest, largest });
    };
    let inverse = factor.inverse();
    Ok(Array2::from_shape_fn(covariance.dim(), |(i, j)| inverse[(i, j)]))
}

/// Correlations on a scale where equal steps mean equal surprise: the inverse hyperbolic tangent.
/// The diagonal is 0; ±1 stay finite.
pub fn fisher_z(correlation: &Array2<f64>) -> Array2<f64> {
    let limit = 1.0 - 1e-12;
    Array2::from_shape_fn(correlation.dim(), |(i, j)| {
        if i == j { 0.0 } else { correlation[[i, j]].clamp(-limit, limit).atanh() }
    })
}

/// The triangle below the diagonal, row by row: what is left of a symmetric matrix when nothing is
/// said twice.
///
/// ```
/// let matrix = ndarray::array![[1.0, 2.0, 3.0], [2.0, 1.0, 5.0], [3.0, 5.0, 1.0]];
/// assert_eq!(scan::lower_triangle(&matrix), [2.0, 3.0, 5.0]);
/// ```
pub fn lower_triangle(matrix: &Array2<f64>) -> Vec<f64> {
    let rows = matrix.rows().into_iter().enumerate();
    rows.flat_map(|(i, row)| row.iter().take(i).copied().collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series() -> Array2<f64> {
        Array2::from_shape_fn((12, 3), |(s, v)| {
            ((s * s * 7 + v * 13 + s * v * 5) % 23) as f64 - 11.0
        })
    }

    #[test]
    fn partial_correlation_is_what_regression_leaves() {
        let partial = connectivity(
            &series(),
            ConnectivityKind::PartialCorrelation,
            CovarianceEstimator::Empirical,
        );
        // of the first two, when the third is regressed out of both
        let centred = &series() - &column_means(&series());
        let third = centred.column(2).to_owned();
        let rest = |v: usize| {
            let x = centred.column(v).to_owned();
            let share = x.dot(&third) / third.dot(&third);
            x - &third * share
        };
        let (a, b) = (rest(0), rest(1));
        let expected = a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt();
        assert!((partial.unwrap()[[0, 1]] - expected).abs() < 1e-12);
    }

    #[test]
    fn a_flat_region_goes_with_nothing_and_stops_an_inverse() {
        let mut flat = series();
        flat.column_mut(1).fill(4.5);
        let estimator = CovarianceEstimator::Empirical;
        let matrix = connectivity(&flat, ConnectivityKind::Correlation, estimator).unwrap();
        assert_eq!([matrix[[0, 1]], matrix[[1, 1]]], [0.0, 1.0]);
        let error = connectivity(&flat, ConnectivityKind::Precision, estimator).unwrap_err();
        assert!(error.to_string().starts_with("covariance is singular"), "{error}");
        let kind = ConnectivityKind::PartialCorrelation;
        assert!(connectivity(&flat, kind, CovarianceEstimator::LedoitWolf).is_ok());
    }

    #[test]
    fn fisher_z_is_zero_on_the_diagonal_and_finite_everywhere() {
        let z = fisher_z(&ndarray::array![[1.0, 1.0, 0.5], [1.0, 1.0, -0.5], [0.5, -0.5, 1.0]]);
        assert_eq!(z[[0, 0]], 0.0);
        assert!(z[[0, 1]].is_finite() && z[[0, 1]] > 10.0);
        assert!((z[[2, 0]] - 0.549_306_144_334_054_8).abs() < 1e-15);
    }
}
