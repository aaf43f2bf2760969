//! Drift and scale of voxel series, with nilearn's formulas.
//!
//! Source: nilearn 0.14 `signal.clean`, order: detrend, then standardise. The quadratic trend is
//! ours: the same projection with one more polynomial. 64 bits inside.

use ndarray::{Array1, Array2, Axis, Zip};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    series::VoxelSeries,
};

/// Columns worked on at once, so that no 64-bit copy of a whole brain is made.
const COLUMNS: usize = 1024;

/// A spread below this share of the largest value is rounding, and the voxel constant.
pub(crate) const CONSTANT: f64 = 1e-12;

/// What is done to the series of each voxel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanConfig {
    /// Which trend over the run is taken out first.
    pub detrend: Detrend,
    /// To which scale the series is brought afterwards.
    pub standardize: Standardize,
}

/// A trend: the least-squares polynomial over the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detrend {
    /// Nothing is taken out.
    None,
    /// The mean.
    Constant,
    /// Mean and slope.
    Linear,
    /// Mean, slope and curvature.
    Quadratic,
}

/// A scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standardize {
    /// Values stay as they are.
    None,
    /// Mean 0 and sample standard deviation 1 (n − 1); constant voxels become 0.
    ZscoreSample,
    /// Percent of the voxel's mean before detrending, centred; voxels of mean 0 become 0.
    Psc,
}

impl Detrend {
    pub(crate) fn n_polynomials(self) -> usize {
        match self {
            Self::None => 0,
            Self::Constant => 1,
            Self::Linear => 2,
            Self::Quadratic => 3,
        }
    }
}

impl CleanConfig {
    /// Fewest frames of a run that can be cleaned: one more than a trend can fit, or the rest is
    /// rounding.
    pub fn least_frames(&self) -> usize {
        let n_polynomials = self.detrend.n_polynomials();
        match self.standardize {
            Standardize::None if n_polynomials == 0 => 0,
            _ => n_polynomials.max(1) + 1,
        }
    }
}

/// Detrends and standardises every voxel on its own; the input stays.
///
/// ```
/// use scan::{CleanConfig, Detrend, Standardize, VoxelSeries, clean};
///
/// let values = vec![1.0, 5.0, 2.0, 5.0, 6.0, 5.0];
/// let series = VoxelSeries { values: ndarray::Array2::from_shape_vec((3, 2), values)?, t_r: 2.0 };
/// let config = CleanConfig { detrend: Detrend::Constant, standardize: Standardize::Psc };
/// let cleaned = clean(&series, &config)?;
/// assert_eq!(cleaned.values.column(1).to_vec(), [0.0, 0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn clean(series: &VoxelSeries, config: &CleanConfig) -> Result<VoxelSeries> {
    let found = series.values.iter().filter(|x| !x.is_finite()).count();
    if found > 0 {
        return Err(Error::NonFiniteSeries { found, total: series.values.len() });
    }
    let (n_polynomials, expected) = (config.detrend.n_polynomials(), config.least_frames());
    if series.n_frames() < expected {
        return Err(Error::TooFewFrames { task: "cleaning", found: series.n_frames(), expected });
    }
    let trend = polynomials(series.n_frames(), n_polynomials);
    let mut cleaned = series.clone();
    for mut block in cleaned.values.axis_chunks_iter_mut(Axis(1), COLUMNS) {
        let mut values = block.mapv(f64::from);
        let (means, largest) = (column_means(&values), column_peaks(&values));
        project_out(&trend, &mut values);
        standardize(&mut values, config.standardize, &means, &largest);
        block.zip_mut_with(&values, |to, &x| *to = x as f32);
    }
    Ok(cleaned)
}

/// Orthonormal polynomials over the frames, `(n_frames, n_polynomials)`.
pub(crate) fn polynomials(n_frames: usize, n_polynomials: usize) -> Array2<f64> {
    let middle = (n_frames as f64 - 1.0) / 2.0;
    let half = middle.max(1.0);
    let mut basis = Array2::<f64>::ones((n_frames, n_polynomials));
    for degree in 1..n_polynomials {
        for frame in 0..n_frames {
            basis[[frame, degree]] = basis[[frame, degree - 1]] * (frame as f64 - middle) / half;
        }
    }
    for degree in 0..n_polynomials {
        // Twice: the second round removes what rounding left of the first.
        for _ in 0..2 {
            for lower in 0..degree {
                let lower = basis.column(lower).to_owned();
                let share: f64 = lower.dot(&basis.column(degree));
                basis.column_mut(degree).scaled_add(-share, &lower);
            }
        }
        let norm = basis.column(degree).dot(&basis.column(degree)).sqrt();
        basis.column_mut(degree).mapv_inplace(|x| x / norm);
    }
    basis
}

/// Takes the share of an orthonormal basis out of every column.
pub(crate) fn project_out(basis: &Array2<f64>, values: &mut Array2<f64>) {
    if basis.ncols() > 0 {
        let shares = basis.t().dot(values);
        *values -= &basis.dot(&shares);
    }
}

pub(crate) fn column_means(values: &Array2<f64>) -> Array1<f64> {
    values.sum_axis(Axis(0)) / values.nrows().max(1) as f64
}

/// Sample standard deviation (n − 1) of each column.
pub(crate) fn column_deviations(values: &Array2<f64>) -> Array1<f64> {
    let means = column_means(values);
    let squares = (values - &means).mapv(|x| x * x).sum_axis(Axis(0));
    squares.mapv(|sum| (sum / (values.nrows() as f64 - 1.0)).sqrt())
}

fn column_peaks(values: &Array2<f64>) -> Array1<f64> {
    values.fold_axis(Axis(0), 0.0, |peak, x| x.abs().max(*peak))
}

fn standardize(
    values: &mut Array2<f64>,
    scale: Standardize,
    means_before: &Array1<f64>,
    largest: &Array1<f64>,
) {
    let divisors = match scale {
        Standardize::None => return,
        Standardize::ZscoreSample => column_deviations(values),
        Standardize::Psc => means_before.mapv(|mean| mean.abs() / 100.0),
    };
    let means = column_means(values);
    *values -= &means;
    let factors = Zip::from(&divisors).and(largest).map_collect(|&divisor, &largest| {
        if divisor <= CONSTANT * largest || divisor < f64::EPSILON { 0.0 } else { 1.0 / divisor }
    });
    *values *= &factors;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn series(columns: &[&[f32]]) -> VoxelSeries {
        let n_frames = columns[0].len();
        let values = Array2::from_shape_fn((n_frames, columns.len()), |(t, v)| columns[v][t]);
        VoxelSeries { values, t_r: 2.0 }
    }

    fn cleaned(detrend: Detrend, standardize: Standardize, column: &[f32]) -> Vec<f32> {
        let config = CleanConfig { detrend, standardize };
        clean(&series(&[column]), &config).unwrap().values.into_raw_vec_and_offset().0
    }

    fn assert_close(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 2e-7 * expected.abs().max(1.0), "{found} {expected}");
        }
    }

    const X: [f32; 6] = [101.0, 99.0, 104.0, 108.0, 103.0, 112.0];

    // nilearn 0.14.1: signal.clean(detrend=…, standardize=…, t_r=2.0)
    #[test]
    fn formulas_agree_with_nilearn() {
        use Standardize::{None, Psc, ZscoreSample};
        let as_they_are = X.map(f64::from);
        let z = [
            -0.734_607_090,
            -1.154_382_570,
            -0.104_943_870,
            0.734_607_090,
            -0.314_831_610,
            1.574_158_051,
        ];
        let psc = [
            -3.349_282_297,
            -5.263_157_895,
            -0.478_468_900,
            3.349_282_297,
            -1.435_406_699,
            7.177_033_493,
        ];
        let rest = [
            1.571_428_571,
            -2.457_142_857,
            0.514_285_714,
            2.485_714_286,
            -4.542_857_143,
            2.428_571_429,
        ];
        let rest_z = [
            0.545_544_726,
            -0.853_033_571,
            0.178_541_910,
            0.862_952_566,
            -1.577_120_207,
            0.843_114_576,
        ];
        let rest_psc = [
            1.503_759_398,
            -2.351_332_878,
            0.492_139_440,
            2.378_673_958,
            -4.347_231_716,
            2.323_991_798,
        ];
        let cases = [
            (Detrend::None, None, as_they_are),
            (Detrend::None, ZscoreSample, z),
            (Detrend::None, Psc, psc),
            (Detrend::Constant, ZscoreSample, z),
            (Detrend::Constant, Psc, psc),
            (Detrend::Linear, None, rest),
            (Detrend::Linear, ZscoreSample, rest_z),
            (Detrend::Linear, Psc, rest_psc),
        ];
        for (detrend, standardize, expected) in cases {
            assert_close(&cleaned(detrend, standardize, &X), &expected);
        }
    }

    // numpy 2.4: x − polyval(polyfit(t, x, 2), t)
    #[test]
    fn quadratic_trend_agrees_with_a_polynomial_fit() {
        let expected =
            [0.678_571_429, -2.278_571_429, 1.228_571_429, 3.2, -4.364_285_714, 1.535_714_286];
        assert_close(&cleaned(Detrend::Quadratic, Standardize::None, &X), &expected);
    }

    #[test]
    fn constant_voxels_become_zero_whatever_rounding_does() {
        for standardize in [Standardize::ZscoreSample, Standardize::Psc] {
            for detrend in [Detrend::Constant, Detrend::Linear, Detrend::Quadratic] {
                let flat = cleaned(detrend, standardize, &[1234.567; 37]);
                assert!(flat.iter().all(|x| x.abs() < 1e-9), "{detrend:?} {standardize:?}");
            }
        }
        // nothing but trend is constant too, though rounding leaves 1e-13 of it
        let ramp: Vec<f32> = (0..37_u8).map(|t| 1000.0 + 0.75 * f32::from(t)).collect();
        assert_eq!(cleaned(Detrend::Linear, Standardize::ZscoreSample, &ramp), [0.0; 37]);
        assert_eq!(cleaned(Detrend::None, Standardize::ZscoreSample, &[0.1; 7]), [0.0; 7]);
        assert_eq!(cleaned(Detrend::Linear, Standardize::ZscoreSample, &[1e-3; 7]), [0.0; 7]);
    }

    #[test]
    fn short_series_and_values_that_are_not_finite_are_refused() {
        let config =
            CleanConfig { detrend: Detrend::Quadratic, standardize: Standardize::ZscoreSample };
        let short = clean(&series(&[&[1.0, 2.0, 4.0]]), &config).unwrap_err();
        assert_eq!(short.to_string(), "cleaning needs at least 4 frames, found 3");
        let nan = clean(&series(&[&[1.0, f32::NAN, 4.0, 5.0]]), &config).unwrap_err();
        assert_eq!(nan.to_string(), "1 of 4 values of the series are not finite");
    }

    #[test]
    fn settings_are_strict() {
        let text = r#"{"detrend": "linear", "standardize": "zscore_sample"}"#;
        let config: CleanConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.standardize, Standardize::ZscoreSample);
        for wrong in [
            r#"{"detrend": "linear"}"#,
            &text.replace("zscore", "z"),
            &text.replace('}', r#","tr":2}"#),
        ] {
            assert!(serde_json::from_str::<CleanConfig>(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn adding_a_trend_changes_nothing(
            noise in prop::collection::vec(-10.0_f32..10.0, 12),
            base in -100.0_f32..100.0,
            slope in -5.0_f32..5.0,
            curve in -0.5_f32..0.5,
        ) {
            let bent: Vec<f32> = noise.iter().enumerate()
                .map(|(t, x)| x + base + slope * t as f32 + curve * (t * t) as f32)
                .collect();
            let plain = cleaned(Detrend::Quadratic, Standardize::None, &noise);
            let bent = cleaned(Detrend::Quadratic, Standardize::None, &bent);
            for (a, b) in plain.iter().zip(&bent) {
                prop_assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
        }
    }
}
