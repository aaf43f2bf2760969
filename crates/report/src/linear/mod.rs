//! What a linear model reads out of the same windows: the bar a language model has to clear.
//!
//! Features are `(n_samples, n_features)` in f32, computed with in f64; classes count from 0.

mod lbfgs;
mod lda;
mod logistic;
mod ridge;
mod scaler;

use nalgebra::DMatrix;
use ndarray::{Array2, ArrayView2};

pub use lda::ShrinkageLda;
pub use logistic::Logistic;
pub use ridge::Ridge;
pub use scaler::Scaler;

use crate::{
    Error, Result,
    metrics::{at_least, same_length},
};

/// The most frequent class; the lowest of several.
///
/// ```
/// assert_eq!(report::linear::majority_class(&[2, 0, 2, 1], 3).unwrap(), 2);
/// ```
pub fn majority_class(class: &[usize], n_classes: usize) -> Result<usize> {
    at_least("samples", class.len(), 1)?;
    let counts = counts(class, n_classes)?;
    Ok((1..n_classes).fold(0, |best, idx| if counts[idx] > counts[best] { idx } else { best }))
}

/// A linear score for every class that was seen: `features * coef + intercept`.
#[derive(Clone, Debug)]
struct Readout {
    /// `(n_features, n_seen)`.
    coef: DMatrix<f64>,
    intercept: Vec<f64>,
    /// The classes that occurred in training.
    seen: Vec<usize>,
    n_classes: usize,
}

impl Readout {
    /// `(n_samples, n_classes)`; a class that was never seen scores minus infinity.
    fn scores(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        same_length("features", features.ncols(), self.coef.nrows())?;
        let found = matrix(features) * &self.coef;
        let mut scores = Array2::from_elem((features.nrows(), self.n_classes), f64::NEG_INFINITY);
        for (column, (&class, intercept)) in self.seen.iter().zip(&self.intercept).enumerate() {
            for row in 0..features.nrows() {
                scores[[row, class]] = found[(row, column)] + intercept;
            }
        }
        Ok(scores)
    }

    fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Vec<usize>> {
        let scores = self.scores(features)?;
        let best = scores.rows().into_iter().map(|row| {
            (1..self.n_classes).fold(0, |best, idx| if row[idx] > row[best] { idx } else { best })
        });
        Ok(best.collect())
    }
}

/// Checked training data: the features, the place of each sample's class among the classes that
/// occur, and those classes.
struct Samples {
    features: DMatrix<f64>,
    place: Vec<usize>,
    seen: Vec<usize>,
}

impl Samples {
    fn new(features: ArrayView2<'_, f32>, class: &[usize], n_classes: usize) -> Result<Self> {
        same_length("classes", class.len(), features.nrows())?;
        at_least("features", features.ncols(), 1)?;
        if let Some((idx, found)) = features.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            let (idx, found) = (idx / features.ncols(), f64::from(*found));
            return Err(Error::NotFinite { what: "a feature of sample", idx, found });
        }
        let counts = counts(class, n_classes)?;
        let seen: Vec<usize> = (0..n_classes).filter(|&idx| counts[idx] > 0).collect();
        at_least("classes that occur", seen.len(), 2)?;
        let place = class.iter().map(|class| seen.partition_point(|seen| seen < class)).collect();
        Ok(Self { features: matrix(features), place, seen })
    }
}

fn counts(class: &[usize], n_classes: usize) -> Result<Vec<usize>> {
    let mut counts = vec![0; n_classes];
    for (sample, &found) in class.iter().enumerate() {
        *counts.get_mut(found).ok_or(Error::ClassOutOfRange { sample, found, n_classes })? += 1;
    }
    Ok(counts)
}

fn matrix(features: ArrayView2<'_, f32>) -> DMatrix<f64> {
    DMatrix::from_fn(features.nrows(), features.ncols(), |i, j| f64::from(features[[i, j]]))
}

/// Twelve samples of five features in three classes, from a formula that numpy can repeat.
#[cfg(test)]
mod example {
    use ndarray::Array2;

    /// `x[i][j] = sin(1.7 i + 0.9 j + 0.3 i j) + (i % 3) * [0.8, -0.5, 0.3, 0, 0.1][j]`, in f32.
    pub(super) fn features() -> Array2<f32> {
        const SHIFT: [f64; 5] = [0.8, -0.5, 0.3, 0.0, 0.1];
        Array2::from_shape_fn((12, 5), |(i, j)| {
            let (row, column) = (i as f64, j as f64);
            let wave = (1.7 * row + 0.9 * column + 0.3 * row * column).sin();
            (wave + (i % 3) as f64 * SHIFT[j]) as f32
        })
    }

    pub(super) fn classes() -> Vec<usize> {
        (0..12).map(|i| i % 3).collect()
    }

    pub(super) fn assert_close(found: &Array2<f64>, expected: &[[f64; 3]], tolerance: f64) {
        for (row, expected) in expected.iter().enumerate() {
            for (column, expected) in expected.iter().enumerate() {
                let found = found[[row, column]];
                assert!(
                    (found - expected).abs() < tolerance,
                    "{row}, {column}: {found}, {expected}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_majority_is_the_lowest_of_the_most_frequent() {
        assert_eq!(majority_class(&[1, 1, 0, 0], 2).unwrap(), 0);
        assert!(majority_class(&[], 2).is_err());
        assert_eq!(
            majority_class(&[2], 2).unwrap_err().to_string(),
            "class 2 of sample 0 is out of range, there are 2 classes"
        );
    }

    #[test]
    fn a_class_that_never_occurs_is_never_predicted() {
        let class: Vec<usize> = example::classes().iter().map(|class| class + 1).collect();
        let features = example::features();
        let model = Logistic::fit(features.view(), &class, 5, 1.0).unwrap();
        let shifted = model.predict(features.view()).unwrap();
        let plain = Logistic::fit(features.view(), &example::classes(), 3, 1.0).unwrap();
        let expected = plain.predict(features.view()).unwrap();
        assert!(shifted.iter().zip(expected).all(|(a, b)| *a == b + 1));
        let scores = model.scores(features.view()).unwrap();
        assert!(scores.column(0).iter().all(|score| *score == f64::NEG_INFINITY));
    }

    #[test]
    fn broken_training_data_is_refused() {
        let mut features = example::features();
        let fit = |features: &Array2<f32>, class: &[usize]| {
            ShrinkageLda::fit(features.view(), class, 3).unwrap_err().to_string()
        };
        assert_eq!(fit(&features, &[0, 1]), "classes: found 2, expected 12");
        assert_eq!(fit(&features, &[1; 12]), "classes that occur: found 1, expected at least 2");
        features[[3, 1]] = f32::NAN;
        assert_eq!(
            fit(&features, &example::classes()),
            "a feature of sample 3 is NaN, expected a finite number"
        );
    }
}
