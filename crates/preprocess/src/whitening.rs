//! Noise whitening as the model sees it: centred, whitened, and of unit size.
//!
//! Fitted on training windows only: the mean over windows and frames; the covariance of what is left
//! of each frame after the mean of its class at its place in the window; and one scale that gives
//! the frame-averaged whitened training windows standard deviation 1.
use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use scan::{NoiseWhitening, WhitenConfig};

use crate::{Result, arrays};

/// The fitted map `x ↦ (x − mean) Σ^(−1/2) / scale`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Whitening {
    mean: Array1<f32>,
    noise: NoiseWhitening,
    scale: f32,
}

impl Whitening {
    /// `class[i]` is what window `i`, `(n_frames, n_voxels)`, shows.
    pub(crate) fn fit(
        windows: &[ArrayView2<'_, f32>],
        class: &[usize],
        config: &WhitenConfig,
    ) -> Result<Self> {
        let n_frames = windows[0].nrows();
        let frames = ndarray::concatenate(Axis(0), windows).expect("windows have one shape");
        let place = |frame: usize| class[frame / n_frames] * n_frames + frame % n_frames;
        let groups: Vec<usize> = (0..frames.nrows()).map(place).collect();
        let residuals = scan::residuals_by_group(frames.view(), &groups)?;
        let noise = NoiseWhitening::fit(residuals.view(), config)?;
        let mean = mean_of_rows(frames.view());
        let mut fitted = Self { mean, noise, scale: 1.0 };
        let mut averages = Vec::new();
        for window in windows {
            averages.extend(mean_of_rows(fitted.apply(*window)?.view()));
        }
        fitted.scale = standard_deviation(&averages);
        Ok(fitted)
    }

    /// One window, `(n_frames, n_voxels)`.
    pub(crate) fn apply(&self, window: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        // the width is checked by `noise`; a wrong one must not panic here
        let centred = if window.ncols() == self.mean.len() {
            &window - &self.mean
        } else {
            window.to_owned()
        };
        Ok(self.noise.apply(centred.view())? / self.scale)
    }

    /// The share of the sphere in the noise covariance.
    pub(crate) fn shrinkage(&self) -> f64 {
        self.noise.shrinkage()
    }

    /// For a file; numbers that are not matrices go into [`Whitening::from_arrays`] as they are.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (matrix, _) = self.noise.to_parts();
        let mean = self.mean.view().insert_axis(Axis(0));
        let scale = Array2::from_elem((1, 1), self.scale);
        arrays::to_bytes([
            ("matrix".to_owned(), matrix.view()),
            ("mean".to_owned(), mean),
            ("scale".to_owned(), scale.view()),
        ])
    }

    /// Back from a file; `None` where a part is missing.
    pub(crate) fn from_arrays(
        mut arrays: BTreeMap<String, Array2<f32>>,
        shrinkage: f64,
    ) -> Result<Option<Self>> {
        let mut take = |name: &str| arrays.remove(name);
        let (Some(matrix), Some(mean), Some(scale)) = (take("matrix"), take("mean"), take("scale"))
        else {
            return Ok(None);
        };
        let (Some(&scale), n_voxels) = (scale.first(), mean.ncols()) else { return Ok(None) };
        let noise = NoiseWhitening::from_parts(matrix, shrinkage)?;
        if noise.n_voxels() != n_voxels || mean.nrows() != 1 {
            return Ok(None);
        }
        Ok(Some(Self { mean: mean.row(0).to_owned(), noise, scale }))
    }
}

fn mean_of_rows(rows: ArrayView2<'_, f32>) -> Array1<f32> {
    let sum = rows.mapv(f64::from).sum_axis(Axis(0));
    (sum / rows.nrows() as f64).mapv(|x| x as f32)
}

fn standard_deviation(values: &[f32]) -> f32 {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    // windows that never vary have nothing to be scaled by
    if variance > 0.0 { variance.sqrt() as f32 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use scan::Shrinkage;

    use super::*;

    fn windows() -> Vec<Array2<f32>> {
        (0..8)
            .map(|w| {
                Array2::from_shape_fn((3, 2), |(t, v)| {
                    ((w * w * 5 + t * 7 + v * 11 + w * t * v * 3) % 13) as f32
                })
            })
            .collect()
    }

    fn fitted() -> Whitening {
        let windows = windows();
        let views: Vec<_> = windows.iter().map(|window| window.view()).collect();
        let class = [0, 1, 0, 1, 0, 1, 0, 1];
        let config = WhitenConfig { shrinkage: Shrinkage::Fixed(0.3) };
        Whitening::fit(&views, &class, &config).unwrap()
    }

    #[test]
    fn training_windows_come_out_centred_and_of_unit_size() {
        let fitted = fitted();
        let white: Vec<Array2<f32>> =
            windows().iter().map(|window| fitted.apply(window.view()).unwrap()).collect();
        let averages: Vec<f32> = white.iter().flat_map(|it| mean_of_rows(it.view())).collect();
        assert!((standard_deviation(&averages) - 1.0).abs() < 1e-5);
        let total: f32 = white.iter().map(|it| it.column(0).sum()).sum();
        assert!(total.abs() < 1e-3, "{total}");
    }

    #[test]
    fn a_file_brings_the_same_map_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let fitted = fitted();
        files::write_atomic(&path, &fitted.to_bytes()).unwrap();
        let arrays = arrays::read(&path).unwrap();
        assert_eq!(Whitening::from_arrays(arrays, 0.3).unwrap(), Some(fitted));
    }

    #[test]
    fn a_window_of_another_width_is_refused() {
        assert!(fitted().apply(Array2::zeros((3, 5)).view()).is_err());
    }
}
