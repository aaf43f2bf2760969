//! Recordings at mean 0 and spread 1, as the readers of published encoders do it.

use half::f16;
use ndarray::{Array2, Axis};

use crate::clean::column_means;

/// Keeps a spread of 0 from dividing.
const EPSILON: f64 = 1e-6;

/// Where CortexMAE cuts values off, in standard deviations.
const MOST: f64 = 3.0;

/// CortexMAE's scale over time: parcels to mean 0 and spread 1 (n), 0 without spread, in 16 bits.
pub fn half_parcel_z(recording: &Array2<f64>) -> Array2<f64> {
    let spread = recording.std_axis(Axis(0), 0.0);
    // a parcel that hardly varies becomes 0
    let factor = spread.mapv(|spread| if spread > EPSILON { 1.0 / spread } else { 0.0 });
    let values = (recording - &column_means(recording)) * factor;
    values.mapv_into(|x| f16::from_f64(x).to_f64())
}

/// CortexMAE's scale over parcels: frames to mean 0 and spread 1 (n − 1), cut off.
pub(super) fn frame_z(recording: &Array2<f64>) -> Array2<f64> {
    let mut values = recording.clone();
    for mut frame in values.rows_mut() {
        let (mean, spread) = (frame.mean().unwrap_or(0.0), frame.std(1.0));
        frame.mapv_inplace(|x| ((x - mean) / (spread + EPSILON)).clamp(-MOST, MOST));
    }
    values
}

/// Brain-Semantoks' scale: parcels to mean 0 and spread 1 (n), summed frame by frame in 32 bits as its
/// authors' data set does.
pub(super) fn parcel_z(recording: &Array2<f64>) -> Array2<f64> {
    const TINY: f32 = 1e-8;
    let mut values = recording.clone();
    for mut series in values.columns_mut() {
        let n = series.len().max(1) as f32;
        let mean = series.iter().fold(0.0_f32, |sum, &x| sum + x as f32) / n;
        let squares = series.iter().fold(0.0_f32, |sum, &x| {
            let gap = x as f32 - mean;
            sum + gap * gap
        });
        let spread = (squares / n).sqrt() + TINY;
        series.mapv_inplace(|x| f64::from((x as f32 - mean) / spread));
    }
    values
}
