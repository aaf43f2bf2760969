//! Linear discriminant analysis with a covariance that is shrunk by a formula, not by a choice, the
//! same as scikit-learn's `LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")`.
//!
//! Each class's samples are standardised, their covariance is shrunk towards a multiple of the identity
//! (Ledoit & Wolf, J. Multivariate Analysis 88, 365, 2004) and scaled back; the pooled covariance is
//! the mean over classes, weighted by their frequency.

use nalgebra::{DMatrix, DVector};
use ndarray::{Array2, ArrayView2};

use super::{Readout, Samples, scaler::moments};
use crate::{Error, Result, metrics::at_least};

/// A covariance has the square of this as entries: 512 MiB.
const MOST_FEATURES: usize = 8192;

/// A fitted model.
#[derive(Clone, Debug)]
pub struct ShrinkageLda(Readout);

impl ShrinkageLda {
    /// Fits `(n_samples, n_features)` to one class a sample; every class that occurs needs two.
    pub fn fit(features: ArrayView2<'_, f32>, class: &[usize], n_classes: usize) -> Result<Self> {
        let samples = Samples::new(features, class, n_classes)?;
        let Samples { features, place, seen } = &samples;
        let n_features = features.ncols();
        if n_features > MOST_FEATURES {
            return Err(Error::LargeCovariance { found: n_features, most: MOST_FEATURES });
        }
        let mut means = DMatrix::zeros(n_features, seen.len());
        let mut covariance = DMatrix::zeros(n_features, n_features);
        let mut log_priors = Vec::with_capacity(seen.len());
        for idx in 0..seen.len() {
            let rows: Vec<usize> = (0..place.len()).filter(|&row| place[row] == idx).collect();
            at_least("samples of a class", rows.len(), 2)?;
            let group = features.select_rows(&rows);
            let prior = rows.len() as f64 / place.len() as f64;
            means.set_column(idx, &group.row_mean().transpose());
            covariance += shrunk_covariance(group) * prior;
            log_priors.push(prior.ln());
        }
        let coef =
            covariance.cholesky().ok_or(Error::SingularCovariance { n_features })?.solve(&means);
        let intercept = log_priors
            .into_iter()
            .enumerate()
            .map(|(idx, log_prior)| log_prior - means.column(idx).dot(&coef.column(idx)) / 2.0)
            .collect();
        Ok(Self(Readout { coef, intercept, seen: samples.seen, n_classes }))
    }

    /// The likeliest class of each sample.
    pub fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Vec<usize>> {
        self.0.predict(features)
    }

    /// `(n_samples, n_classes)` scores whose softmax is the probability of each class.
    pub fn scores(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        self.0.scores(features)
    }
}

/// Covariance of one class, shrunk in standardised units.
fn shrunk_covariance(mut group: DMatrix<f64>) -> DMatrix<f64> {
    let mut scales = DVector::zeros(group.ncols());
    for (mut column, scale) in group.column_iter_mut().zip(scales.iter_mut()) {
        let (mean, deviation) = moments(column.as_slice());
        column.iter_mut().for_each(|value| *value = (*value - mean) / deviation);
        *scale = deviation;
    }
    let (n_samples, n_features) = (group.nrows() as f64, group.ncols() as f64);
    let shrinkage = ledoit_wolf(&group);
    let mut covariance = group.tr_mul(&group) / n_samples;
    let mu = covariance.trace() / n_features;
    covariance *= 1.0 - shrinkage;
    for idx in 0..group.ncols() {
        covariance[(idx, idx)] += shrinkage * mu;
    }
    for (mut column, scale) in covariance.column_iter_mut().zip(scales.iter()) {
        column.component_mul_assign(&scales);
        column *= *scale;
    }
    covariance
}

/// How far to shrink the covariance of centred samples, 0 to 1.
fn ledoit_wolf(centred: &DMatrix<f64>) -> f64 {
    let (n_samples, n_features) = (centred.nrows() as f64, centred.ncols() as f64);
    if centred.ncols() == 1 {
        return 0.0;
    }
    let lengths: Vec<f64> = centred.row_iter().map(|row| row.norm_squared()).collect();
    let fourth: f64 = lengths.iter().map(|length| length * length).sum();
    // the squared norm of the covariance, from the smaller of the two Gram matrices
    let gram = (centred * centred.transpose()).norm_squared() / (n_samples * n_samples);
    let mu = lengths.iter().sum::<f64>() / n_samples / n_features;
    let beta = (fourth / n_samples - gram) / (n_features * n_samples);
    let delta = (gram - n_features * mu * mu) / n_features;
    let beta = beta.min(delta);
    if beta == 0.0 { 0.0 } else { beta / delta }
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "recorded numbers, as they were printed")]
mod tests {
    use super::*;
    use crate::linear::example;

    // scikit-learn 1.9.1, LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x, y)
    // .decision_function(x)[:3] on the same formula, x as float64 of the f32 values
    #[test]
    fn scores_match_scikit_learn() {
        let features = example::features();
        let model = ShrinkageLda::fit(features.view(), &example::classes(), 3).unwrap();
        let expected = [
            [4.544873246894, -2.805605679318, -80.621416983356],
            [-6.378762363303, 1.632712689451, -49.975433969833],
            [-20.713942808160, -11.171375465776, 50.122313280202],
        ];
        example::assert_close(&model.scores(features.view()).unwrap(), &expected, 1e-9);
        let predicted = model.predict(features.view()).unwrap();
        assert_eq!(predicted, [0, 1, 2, 0, 1, 2, 0, 1, 2, 1, 0, 2]);
    }

    #[test]
    fn unequal_classes_weigh_by_frequency() {
        let features = example::features();
        let class = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2];
        let model = ShrinkageLda::fit(features.view(), &class, 3).unwrap();
        let expected = [
            [-0.698673939391, -1.911611428466, -1.127912834811],
            [-0.248834981805, -0.892624045776, -1.496960845090],
            [0.541113150374, -0.568513401938, -0.326059702160],
        ];
        example::assert_close(&model.scores(features.view()).unwrap(), &expected, 1e-9);
    }

    #[test]
    fn shrinkage_matches_scikit_learn() {
        // sklearn.covariance.ledoit_wolf_shrinkage(x)
        let mut x = crate::linear::matrix(example::features().view());
        let mean = x.row_mean();
        x.row_iter_mut().for_each(|mut row| row -= &mean);
        let found = ledoit_wolf(&x);
        assert!((found - 0.312522225590347).abs() < 1e-12, "{found}");
    }

    #[test]
    fn a_class_of_one_sample_and_a_constant_feature_are_errors() {
        let mut features = example::features();
        let class = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2];
        let error = ShrinkageLda::fit(features.view(), &class, 3).unwrap_err().to_string();
        assert_eq!(error, "samples of a class: found 1, expected at least 2");
        let wide = Array2::from_shape_fn((4, MOST_FEATURES + 1), |(row, _)| row as f32);
        let error = ShrinkageLda::fit(wide.view(), &[0, 0, 1, 1], 2).unwrap_err().to_string();
        assert!(error.starts_with("a covariance of 8193 features is too large"), "{error}");
        features.column_mut(2).fill(4.0);
        let model = ShrinkageLda::fit(features.view(), &example::classes(), 3);
        assert!(model.is_ok(), "shrinkage keeps the covariance invertible");
    }
}
