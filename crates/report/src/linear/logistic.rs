//! Multinomial logistic regression with a ridge, the same minimum as scikit-learn's
//! `LogisticRegression`: `C sum_i -log p(class_i | x_i) + |W|^2 / 2`, the intercept free.

use nalgebra::{DMatrix, DMatrixView};
use ndarray::{Array2, ArrayView2};

use super::{Readout, Samples, lbfgs};
use crate::{Error, Result};

/// Largest entry of the gradient at the end.
const TOLERANCE: f64 = 1e-7;

/// A fitted model.
#[derive(Clone, Debug)]
pub struct Logistic(Readout);

impl Logistic {
    /// Fits `(n_samples, n_features)` to one class a sample; `c` weighs the data against the ridge.
    pub fn fit(
        features: ArrayView2<'_, f32>,
        class: &[usize],
        n_classes: usize,
        c: f64,
    ) -> Result<Self> {
        if !c.is_finite() {
            return Err(Error::NotFinite { what: "the weight C of model", idx: 0, found: c });
        }
        let samples = Samples::new(features, class, n_classes)?;
        let objective = Objective::new(&samples, c);
        let start = vec![0.0; objective.n_params()];
        let solution =
            lbfgs::minimise("logistic regression", start, TOLERANCE, |params, gradient| {
                objective.evaluate(params, gradient)
            })?;
        let (weights, intercept) = solution.split_at(solution.len() - samples.seen.len());
        let coef = DMatrix::from_column_slice(features.ncols(), samples.seen.len(), weights);
        Ok(Self(Readout { coef, intercept: intercept.to_vec(), seen: samples.seen, n_classes }))
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

/// The loss as a function of the weights `(n_features, n_seen)`, columns first, then the intercepts.
struct Objective<'a> {
    samples: &'a Samples,
    c: f64,
    /// With two classes scikit-learn penalises the difference of their weights, not both of them.
    ridge: f64,
}

impl<'a> Objective<'a> {
    fn new(samples: &'a Samples, c: f64) -> Self {
        Self { samples, c, ridge: if samples.seen.len() == 2 { 2.0 } else { 1.0 } }
    }

    fn n_params(&self) -> usize {
        (self.samples.features.ncols() + 1) * self.samples.seen.len()
    }

    fn evaluate(&self, params: &[f64], gradient: &mut [f64]) -> f64 {
        let Samples { features, place, seen } = self.samples;
        let (n_features, n_seen) = (features.ncols(), seen.len());
        let (weights, intercept) = params.split_at(n_features * n_seen);
        let mut errors = features * DMatrixView::from_slice(weights, n_features, n_seen);

        let mut loss = 0.0;
        for (mut row, &own) in errors.row_iter_mut().zip(place) {
            row.iter_mut().zip(intercept).for_each(|(score, intercept)| *score += intercept);
            let largest = row.max();
            let own_score = row[own];
            row.iter_mut().for_each(|score| *score = (*score - largest).exp());
            let total = row.sum();
            loss += total.ln() - (own_score - largest);
            row /= total;
            row[own] -= 1.0;
        }

        let slopes = features.tr_mul(&errors);
        let (weight_slopes, intercept_slopes) = gradient.split_at_mut(n_features * n_seen);
        for ((slope, found), weight) in weight_slopes.iter_mut().zip(slopes.iter()).zip(weights) {
            *slope = self.c * found + self.ridge * weight;
        }
        for (slope, column) in intercept_slopes.iter_mut().zip(errors.column_iter()) {
            *slope = self.c * column.sum();
        }
        self.c * loss + self.ridge / 2.0 * weights.iter().map(|w| w * w).sum::<f64>()
    }
}

#[cfg(test)]
#[expect(clippy::unreadable_literal, reason = "recorded numbers, as they were printed")]
mod tests {
    use super::*;
    use crate::linear::example;

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let features = example::features();
        let samples = Samples::new(features.view(), &example::classes(), 3).unwrap();
        let objective = Objective::new(&samples, 0.7);
        let params: Vec<f64> = (0..objective.n_params()).map(|i| (i as f64 * 0.37).sin()).collect();
        let mut gradient = vec![0.0; params.len()];
        objective.evaluate(&params, &mut gradient);
        let mut unused = vec![0.0; params.len()];
        for (idx, slope) in gradient.iter().enumerate() {
            let mut at = |by: f64| {
                let mut moved = params.clone();
                moved[idx] += by;
                objective.evaluate(&moved, &mut unused)
            };
            let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((slope - expected).abs() < 1e-7, "{idx}: {slope}, {expected}");
        }
    }

    // scikit-learn 1.9.1, LogisticRegression(C=C, tol=1e-12, max_iter=100000).fit(x, y)
    // .decision_function(x)[:3] on the same formula, x as float64 of the f32 values
    #[test]
    fn scores_match_scikit_learn() {
        let strong = [
            [0.495648650967, 0.019361010566, -0.515009661534],
            [-0.244123528545, 0.363916341275, -0.119792812730],
            [-0.443836118947, -0.162806865904, 0.606642984851],
        ];
        let weak = [
            [1.458691271821, -0.145083004400, -1.313608267421],
            [-0.866810894056, 1.431540577456, -0.564729683400],
            [-1.141522503269, -0.435445473354, 1.576967976624],
        ];
        let features = example::features();
        for (c, expected) in [(0.1, strong), (1.0, weak)] {
            let model = Logistic::fit(features.view(), &example::classes(), 3, c).unwrap();
            example::assert_close(&model.scores(features.view()).unwrap(), &expected, 1e-6);
        }
    }

    #[test]
    fn two_classes_match_scikit_learn_too() {
        // the same with y > 0
        let features = example::features();
        let class: Vec<usize> = example::classes().iter().map(|c| usize::from(*c > 0)).collect();
        let model = Logistic::fit(features.view(), &class, 2, 1.0).unwrap();
        let scores = model.scores(features.view()).unwrap();
        for (row, expected) in [-0.860760430928, 2.295586955309, 2.742581570992].iter().enumerate()
        {
            let found = scores[[row, 1]] - scores[[row, 0]];
            assert!((found - expected).abs() < 1e-6, "{row}: {found}, {expected}");
        }
    }
}
