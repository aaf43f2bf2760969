//! Features to mean 0 and standard deviation 1, by what the training samples say.

use ndarray::{Array2, ArrayView2};

use crate::{
    Result,
    metrics::{at_least, mean, same_length},
};

/// Mean and standard deviation of each feature; a feature that never varies is only centred.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaler {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl Scaler {
    /// Learns from training samples; the standard deviation divides by `n`.
    pub fn fit(features: ArrayView2<'_, f32>) -> Result<Self> {
        at_least("samples", features.nrows(), 1)?;
        let (mean, scale) = features
            .columns()
            .into_iter()
            .map(|column| {
                moments(&column.iter().map(|&value| f64::from(value)).collect::<Vec<_>>())
            })
            .unzip();
        Ok(Self { mean, scale })
    }

    /// The scaled features of any samples.
    pub fn apply(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        same_length("features", features.ncols(), self.mean.len())?;
        Ok(Array2::from_shape_fn(features.dim(), |(row, column)| {
            ((f64::from(features[[row, column]]) - self.mean[column]) / self.scale[column]) as f32
        }))
    }
}

/// Mean and population standard deviation; 1 instead of a deviation that is only rounding.
pub(super) fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = mean(values);
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    let rounding = n * f64::EPSILON * variance + (n * mean * f64::EPSILON).powi(2);
    (mean, if variance <= rounding { 1.0 } else { variance.sqrt() })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn training_samples_get_mean_zero_and_deviation_one() {
        let train = array![[1.0_f32, 7.3], [3.0, 7.3], [5.0, 7.3]];
        let scaler = Scaler::fit(train.view()).unwrap();
        let scaled = scaler.apply(train.view()).unwrap();
        let end = 1.5_f32.sqrt();
        assert_eq!(scaled, array![[-end, 0.0], [0.0, 0.0], [end, 0.0]]);
        assert_eq!(scaler.apply(array![[3.0, 8.3]].view()).unwrap(), array![[0.0, 1.0]]);
    }

    #[test]
    fn other_features_are_refused() {
        let scaler = Scaler::fit(array![[1.0_f32, 2.0]].view()).unwrap();
        let error = scaler.apply(array![[1.0]].view()).unwrap_err();
        assert_eq!(error.to_string(), "features: found 1, expected 2");
    }
}
