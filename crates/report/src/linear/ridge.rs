//! Ridge regression whose penalty is chosen by leaving out one sample at a time, the same minimum as
//! scikit-learn's `RidgeCV`: `sum_i (y_i - x_i w - b)^2 + alpha |w|^2`, the intercept free.

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use ndarray::ArrayView2;

use super::matrix;
use crate::{
    Error, Result,
    metrics::{at_least, mean, same_length},
};

/// A fitted model.
#[derive(Clone, Debug)]
pub struct Ridge {
    coef: DVector<f64>,
    intercept: f64,
    /// The penalty that was chosen.
    pub alpha: f64,
}

impl Ridge {
    /// Fits `(n_samples, n_features)` to one number a sample, with that of `alphas` whose mean squared
    /// error on samples that are left out is the least.
    ///
    /// # Errors
    /// Where fewer than two samples are given, lengths differ, or a number is not finite or a penalty not
    /// above zero.
    pub fn fit(features: ArrayView2<'_, f32>, targets: &[f64], alphas: &[f64]) -> Result<Self> {
        same_length("targets", targets.len(), features.nrows())?;
        at_least("samples", features.nrows(), 2)?;
        at_least("features", features.ncols(), 1)?;
        at_least("penalties", alphas.len(), 1)?;
        let finite = |what, values: &mut dyn Iterator<Item = f64>| {
            let bad = values.enumerate().find(|(_, value)| !value.is_finite());
            bad.map_or(Ok(()), |(idx, found)| Err(Error::NotFinite { what, idx, found }))
        };
        finite("a feature, in the order of rows,", &mut features.iter().map(|x| f64::from(*x)))?;
        finite("the target of sample", &mut targets.iter().copied())?;
        let above = alphas.iter().map(|alpha| if *alpha > 0.0 { *alpha } else { f64::NAN });
        finite("the penalty", &mut above.into_iter())?;

        let mut centred = matrix(features);
        let means: Vec<f64> = centred.column_iter().map(|column| column.mean()).collect();
        for (mut column, mean) in centred.column_iter_mut().zip(&means) {
            column.add_scalar_mut(-mean);
        }
        let level = mean(targets);
        let y = DVector::from_iterator(targets.len(), targets.iter().map(|y| y - level));
        let axes = Axes::of(&centred);
        let along = axes.samples.tr_mul(&y);
        let errors = alphas.iter().map(|&alpha| axes.left_out_error(&y, &along, alpha));
        let (alpha, _) =
            alphas.iter().zip(errors).fold((alphas[0], f64::INFINITY), |best, (&alpha, error)| {
                if error < best.1 { (alpha, error) } else { best }
            });
        let coef = axes.coefficients(&centred, &along, alpha);
        let intercept = level - coef.iter().zip(&means).map(|(w, mean)| w * mean).sum::<f64>();
        Ok(Self { coef, intercept, alpha })
    }

    /// The number of each sample.
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Vec<f64>> {
        same_length("features", features.ncols(), self.coef.len())?;
        let found = matrix(features) * &self.coef;
        Ok(found.iter().map(|value| value + self.intercept).collect())
    }
}

/// The principal axes of centred features, by the smaller of their two matrices of products.
struct Axes {
    /// Squared length of the features along each axis.
    squares: DVector<f64>,
    /// Each sample along the axes: `(n_samples, n_axes)`.
    samples: DMatrix<f64>,
    /// The axes `(n_features, n_axes)`, or where there are more features than samples none.
    axes: Option<DMatrix<f64>>,
}

impl Axes {
    fn of(centred: &DMatrix<f64>) -> Self {
        if centred.nrows() > centred.ncols() {
            let eigen = SymmetricEigen::new(centred.tr_mul(centred));
            let samples = centred * &eigen.eigenvectors;
            return Self { squares: eigen.eigenvalues, samples, axes: Some(eigen.eigenvectors) };
        }
        let eigen = SymmetricEigen::new(centred * centred.transpose());
        let squares = eigen.eigenvalues.map(|square| square.max(0.0));
        let mut samples = eigen.eigenvectors;
        for (mut column, square) in samples.column_iter_mut().zip(squares.iter()) {
            column *= square.sqrt();
        }
        Self { squares, samples, axes: None }
    }

    /// Mean squared error of each sample by a model of all others: the residual over one minus the weight
    /// of the sample in its own prediction.
    fn left_out_error(&self, y: &DVector<f64>, along: &DVector<f64>, alpha: f64) -> f64 {
        let shrunk = along.zip_map(&self.squares, |along, square| along / (square + alpha));
        let fitted = &self.samples * shrunk;
        let n = y.len() as f64;
        let errors =
            self.samples.row_iter().zip(y.iter().zip(fitted.iter())).map(|(row, (y, fit))| {
                let own =
                    row.iter().zip(self.squares.iter()).map(|(z, square)| z * z / (square + alpha));
                let weight = 1.0 / n + own.sum::<f64>();
                ((y - fit) / (1.0 - weight)).powi(2)
            });
        errors.sum::<f64>() / n
    }

    fn coefficients(
        &self,
        centred: &DMatrix<f64>,
        along: &DVector<f64>,
        alpha: f64,
    ) -> DVector<f64> {
        if let Some(axes) = &self.axes {
            return axes * along.zip_map(&self.squares, |along, square| along / (square + alpha));
        }
        // samples along axes hold the square roots, which are taken out twice
        let shrunk = along.zip_map(&self.squares, |along, square| {
            if square > 0.0 { along / (square * (square + alpha)) } else { 0.0 }
        });
        centred.tr_mul(&(&self.samples * shrunk))
    }
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "recorded numbers, as they were printed")]
mod tests {
    use ndarray::s;

    use super::*;
    use crate::linear::example;

    const ALPHAS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];

    /// `2 x[0] - x[1] + 0.3 cos(0.8 i)`.
    fn targets() -> Vec<f64> {
        let features = example::features();
        let of = |i: usize| {
            let wave = 0.3 * (0.8 * i as f64).cos();
            2.0 * f64::from(features[[i, 0]]) - f64::from(features[[i, 1]]) + wave
        };
        (0..12).map(of).collect()
    }

    // scikit-learn 1.9.1, RidgeCV(alphas).fit(x, y) on the same formula: alpha_, predict(x)[:3]
    #[test]
    fn penalty_and_predictions_match_scikit_learn() {
        let features = example::features();
        let model = Ridge::fit(features.view(), &targets(), &ALPHAS).unwrap();
        assert!((model.alpha - TALL.0).abs() < 1e-12, "{}", model.alpha);
        let found = model.predict(features.view()).unwrap();
        for (found, expected) in found.iter().zip(TALL.1) {
            assert!((found - expected).abs() < 1e-7, "{found} {expected}");
        }
    }

    // the same with the first four samples: fewer samples than features
    #[test]
    fn more_features_than_samples_match_too() {
        let features = example::features();
        let few = features.slice(s![..4, ..]);
        let model = Ridge::fit(few, &targets()[..4], &ALPHAS).unwrap();
        assert!((model.alpha - WIDE.0).abs() < 1e-12, "{}", model.alpha);
        let found = model.predict(features.view()).unwrap();
        for (found, expected) in found[4..7].iter().zip(WIDE.1) {
            assert!((found - expected).abs() < 1e-7, "{found} {expected}");
        }
    }

    const TALL: (f64, [f64; 3]) = (0.10, [-0.594645396, 3.882083377, 4.594422508]);
    const WIDE: (f64, [f64; 3]) = (0.01, [3.841840679, 5.630020105, -1.180648855]);

    #[test]
    fn leaving_out_is_what_it_says() {
        let features = example::features();
        let (alpha, y) = (0.7, targets());
        let mut errors = 0.0;
        for out in 0..12 {
            let rows: Vec<usize> = (0..12).filter(|row| *row != out).collect();
            let kept = features.select(ndarray::Axis(0), &rows);
            let kept_y: Vec<f64> = rows.iter().map(|&row| y[row]).collect();
            let model = Ridge::fit(kept.view(), &kept_y, &[alpha]).unwrap();
            let found = model.predict(features.slice(s![out..=out, ..])).unwrap()[0];
            errors += (y[out] - found).powi(2) / 12.0;
        }
        let mut centred = matrix(features.view());
        for mut column in centred.column_iter_mut() {
            let mean = column.mean();
            column.add_scalar_mut(-mean);
        }
        let level = mean(&y);
        let y = DVector::from_iterator(12, y.iter().map(|y| y - level));
        let axes = Axes::of(&centred);
        let found = axes.left_out_error(&y, &axes.samples.tr_mul(&y), alpha);
        assert!((found - errors).abs() < 1e-10, "{found} {errors}");
    }

    #[test]
    fn broken_numbers_are_refused() {
        let features = example::features();
        let said = |targets: &[f64], alphas: &[f64]| {
            Ridge::fit(features.view(), targets, alphas).unwrap_err().to_string()
        };
        assert_eq!(said(&[1.0], &ALPHAS), "targets: found 1, expected 12");
        let mut broken = targets();
        broken[3] = f64::NAN;
        assert!(said(&broken, &ALPHAS).starts_with("the target of sample 3 is NaN"));
        assert!(said(&targets(), &[0.0]).starts_with("the penalty 0 is NaN"));
    }
}
