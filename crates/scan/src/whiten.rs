//! Multivariate noise normalisation: voxels that share noise are turned into ones that do not.
//!
//! Source: Walther et al., "Reliability of dissimilarity measures for multi-voxel pattern
//! analysis", `NeuroImage` 137 (2016). Σ is the covariance of what is left of the training windows
//! after their class means; frames x become x Σ^(−1/2).

use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array2, ArrayView2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    covariance::{centred, ledoit_wolf_shrinkage, shrunk},
    error::{Error, Result},
};

/// Eigenvalues below this share of the largest are rounding; their inverse root would be noise.
const SMALLEST_SHARE: f64 = 1e-12;

/// How the noise is estimated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhitenConfig {
    /// How far the covariance is drawn towards equal, uncorrelated voxels.
    pub shrinkage: Shrinkage,
}

/// A share of the sphere in the covariance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shrinkage {
    /// The share that Ledoit and Wolf's formula finds in the samples.
    LedoitWolf,
    /// A share from 0 to 1.
    Fixed(f64),
}

/// The fitted map Σ^(−1/2), symmetric, `(n_voxels, n_voxels)`.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseWhitening {
    matrix: Array2<f32>,
    shrinkage: f64,
}

impl NoiseWhitening {
    /// Fits on residuals `(n_samples, n_voxels)` of training windows, never of tested ones.
    pub fn fit(residuals: ArrayView2<f32>, config: &WhitenConfig) -> Result<Self> {
        let centred = centred(residuals.mapv(f64::from).view())?;
        let shrinkage = match config.shrinkage {
            Shrinkage::LedoitWolf => ledoit_wolf_shrinkage(&centred),
            Shrinkage::Fixed(share) if (0.0..=1.0).contains(&share) => share,
            Shrinkage::Fixed(found) => {
                let (field, expected) = ("shrinkage", "a number from 0 to 1");
                return Err(Error::Setting { field, found, expected });
            }
        };
        let matrix = inverse_root(&shrunk(&centred, shrinkage))?;
        Ok(Self { matrix, shrinkage })
    }

    /// A share of the sphere up to this leaves the covariance of fewer samples than voxels without an
    /// inverse: its largest eigenvalue may be as many times the mean as there are voxels.
    pub fn least_share(n_voxels: usize) -> f64 {
        SMALLEST_SHARE * n_voxels as f64
    }

    /// Whitens frames `(n_frames, n_voxels)`.
    pub fn apply(&self, frames: ArrayView2<f32>) -> Result<Array2<f32>> {
        if frames.ncols() != self.n_voxels() {
            let (found, expected) = (frames.ncols(), self.n_voxels());
            return Err(Error::VoxelCount { task: "noise whitening", found, expected });
        }
        Ok(frames.dot(&self.matrix))
    }

    /// The share of the sphere that was used.
    pub fn shrinkage(&self) -> f64 {
        self.shrinkage
    }

    /// Number of voxels.
    pub fn n_voxels(&self) -> usize {
        self.matrix.nrows()
    }

    /// Matrix and shrinkage, for a file.
    pub fn to_parts(&self) -> (Array2<f32>, f64) {
        (self.matrix.clone(), self.shrinkage)
    }

    /// Back from a file.
    pub fn from_parts(matrix: Array2<f32>, shrinkage: f64) -> Result<Self> {
        let whole =
            matrix.is_square() && !matrix.is_empty() && matrix.iter().all(|x| x.is_finite());
        if !whole {
            return Err(Error::WhiteningMatrix { found: matrix.dim().into() });
        }
        if !(0.0..=1.0).contains(&shrinkage) {
            let (field, expected) = ("shrinkage", "a number from 0 to 1");
            return Err(Error::Setting { field, found: shrinkage, expected });
        }
        Ok(Self { matrix: matrix.as_standard_layout().into_owned(), shrinkage })
    }
}

/// Samples `(n_samples, n_voxels)` minus the mean of the samples with the same group label.
///
/// A group is whatever is expected to look the same: all frames of one kind of event in one run.
pub fn residuals_by_group(samples: ArrayView2<f32>, groups: &[usize]) -> Result<Array2<f32>> {
    let n_samples = samples.nrows();
    if groups.len() != n_samples {
        return Err(Error::GroupCount { n_groups: groups.len(), n_samples });
    }
    let mut members = std::collections::BTreeMap::<usize, Vec<usize>>::new();
    for (sample, &group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(sample);
    }
    let mut residuals = samples.to_owned();
    for rows in members.values() {
        let mut mean = ndarray::Array1::<f64>::zeros(samples.ncols());
        for &row in rows {
            mean.zip_mut_with(&samples.row(row), |sum, &x| *sum += f64::from(x));
        }
        mean /= rows.len() as f64;
        for &row in rows {
            residuals
                .row_mut(row)
                .zip_mut_with(&mean, |x, &mean| *x = (f64::from(*x) - mean) as f32);
        }
    }
    Ok(residuals)
}

fn inverse_root(covariance: &Array2<f64>) -> Result<Array2<f32>> {
    let n = covariance.nrows();
    let symmetric = DMatrix::from_fn(n, n, |i, j| covariance[[i, j]]);
    let eigen = SymmetricEigen::new(symmetric);
    let (smallest, largest) = (eigen.eigenvalues.min(), eigen.eigenvalues.max());
    // Also catches NaN, which compares as neither.
    if !(largest > 0.0 && smallest > SMALLEST_SHARE * largest) {
        return Err(Error::Singular { smallest, largest });
    }
    let mut scaled = eigen.eigenvectors.clone();
    for (mut column, value) in scaled.column_iter_mut().zip(eigen.eigenvalues.iter()) {
        column /= value.sqrt();
    }
    let root = scaled * eigen.eigenvectors.transpose();
    Ok(Array2::from_shape_fn((n, n), |(i, j)| f64::midpoint(root[(i, j)], root[(j, i)]) as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(shrinkage: Shrinkage) -> WhitenConfig {
        WhitenConfig { shrinkage }
    }

    /// Correlated samples: column v holds the sum of the first v + 1 of some odd numbers.
    fn samples(n_samples: usize, n_voxels: usize) -> Array2<f32> {
        let mut values = Array2::from_shape_fn((n_samples, n_voxels), |(s, v)| {
            ((s * s * 7 + v * 13 + s * v * 5) % 23) as f32 - 11.0
        });
        for v in 1..n_voxels {
            let before = values.column(v - 1).to_owned();
            values.column_mut(v).scaled_add(0.8, &before);
        }
        values
    }

    #[test]
    fn whitened_training_samples_are_uncorrelated() {
        let samples = samples(40, 4);
        let whitening =
            NoiseWhitening::fit(samples.view(), &config(Shrinkage::Fixed(0.0))).unwrap();
        let white = whitening.apply(samples.view()).unwrap().mapv(f64::from);
        let centred = centred(white.view()).unwrap();
        let covariance = shrunk(&centred, 0.0);
        for ((i, j), x) in covariance.indexed_iter() {
            let expected = f64::from(u8::from(i == j));
            assert!((x - expected).abs() < 1e-5, "({i}, {j}) {x}");
        }
    }

    // scipy 1.17: inv(sqrtm(Σ)), Σ by scikit-learn 1.9.1 (Ledoit-Wolf) or 0.7 cov + 0.3 trace/3 I
    #[test]
    fn inverse_root_agrees_with_scipy() {
        let samples = Array2::from_shape_fn((6, 3), |(s, v)| {
            ((s * s * 7 + v * 13 + s * v * 5) % 23) as f32 - 11.0
        });
        let found = [Shrinkage::LedoitWolf, Shrinkage::Fixed(0.3)]
            .map(|share| NoiseWhitening::fit(samples.view(), &config(share)).unwrap().to_parts().0);
        let expected = [
            [
                0.141_264_980,
                -0.005_182_330,
                -0.008_823_716,
                0.144_666_548,
                0.013_508_949,
                0.138_810_230,
            ],
            [
                0.151_208_730,
                -0.023_771_921,
                -0.029_960_749,
                0.168_315_300,
                0.044_986_507,
                0.152_846_660,
            ],
        ];
        for (found, expected) in found.iter().zip(expected) {
            let upper = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];
            for ((i, j), expected) in upper.into_iter().zip(expected) {
                assert!((f64::from(found[[i, j]]) - expected).abs() < 2e-8, "({i}, {j})");
                assert_eq!(found[[i, j]], found[[j, i]]);
            }
        }
    }

    #[test]
    fn fewer_samples_than_voxels_need_shrinkage() {
        let few = samples(3, 6);
        let singular = NoiseWhitening::fit(few.view(), &config(Shrinkage::Fixed(0.0)));
        assert!(singular.unwrap_err().to_string().starts_with("covariance is singular"));
        let whitening = NoiseWhitening::fit(few.view(), &config(Shrinkage::LedoitWolf)).unwrap();
        assert!(whitening.shrinkage() > 0.0);
        let silent = Array2::zeros((5, 3));
        assert!(NoiseWhitening::fit(silent.view(), &config(Shrinkage::LedoitWolf)).is_err());
        for share in [-0.1, 1.1, f64::NAN] {
            assert!(NoiseWhitening::fit(few.view(), &config(Shrinkage::Fixed(share))).is_err());
        }
    }

    #[test]
    fn parts_bring_a_fit_back_and_are_checked() {
        let samples = samples(12, 3);
        let fitted = NoiseWhitening::fit(samples.view(), &config(Shrinkage::LedoitWolf)).unwrap();
        let (matrix, shrinkage) = fitted.to_parts();
        assert_eq!(NoiseWhitening::from_parts(matrix.clone(), shrinkage).unwrap(), fitted);
        assert!(NoiseWhitening::from_parts(Array2::zeros((2, 3)), shrinkage).is_err());
        assert!(NoiseWhitening::from_parts(matrix * f32::NAN, shrinkage).is_err());
        let wrong = fitted.apply(Array2::zeros((5, 4)).view()).unwrap_err().to_string();
        assert_eq!(wrong, "noise whitening needs 3 voxels, found 4");
    }

    #[test]
    fn residuals_lose_the_mean_of_their_group() {
        let samples =
            Array2::from_shape_vec((4, 2), vec![1.0, 10.0, 5.0, 0.0, 3.0, 20.0, 6.0, 4.0]).unwrap();
        let residuals = residuals_by_group(samples.view(), &[7, 2, 7, 2]).unwrap();
        let expected = [-1.0, -5.0, -0.5, -2.0, 1.0, 5.0, 0.5, 2.0];
        assert_eq!(residuals.as_slice().unwrap(), expected);
        assert!(residuals_by_group(samples.view(), &[0, 1]).is_err());
    }

    #[test]
    fn settings_are_externally_tagged() {
        let fixed: WhitenConfig = serde_json::from_str(r#"{"shrinkage": {"fixed": 0.4}}"#).unwrap();
        assert_eq!(fixed.shrinkage, Shrinkage::Fixed(0.4));
        let found: WhitenConfig = serde_json::from_str(r#"{"shrinkage": "ledoit_wolf"}"#).unwrap();
        assert_eq!(found.shrinkage, Shrinkage::LedoitWolf);
    }
}
