//! How good a run or a window is, in the numbers a technique sentence states.

use ndarray::{ArrayView2, Axis, Zip};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    clean::{column_deviations, column_means, polynomials, project_out},
    error::{Error, Result},
    series::VoxelSeries,
};

/// Figures of raw, uncleaned series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageQualityMetrics {
    /// Seconds between two frames.
    pub t_r: f64,
    /// Number of frames.
    pub n_frames: usize,
    /// Number of voxels.
    pub n_voxels: usize,
    /// Temporal signal-to-noise ratio, the median over voxels: mean over the sample standard
    /// deviation (n − 1) after a linear trend is out. Voxels without a positive mean or without
    /// any variation are left out. None of series that are centred or standardised: their means
    /// are rounding.
    pub median_tsnr: Option<f64>,
    /// Change from frame to frame in percent of each voxel's mean, root mean square over voxels,
    /// the median over frames; DVARS (Power et al. 2012) in percent. None of centred series.
    pub median_dvars_percent: Option<f64>,
}

/// Series are centred where half of the voxels have a mean below this share of their deviation. Of
/// noise alone, as a scanner stores it, the mean is 1.9 deviations.
const CENTRED: f64 = 0.1;

impl ImageQualityMetrics {
    /// Measures the raw series of a run or a window.
    pub fn measure(raw: &VoxelSeries) -> Result<Self> {
        let (n_frames, n_voxels) = raw.values.dim();
        let (task, expected) = ("measuring quality", 3);
        if n_frames < expected {
            return Err(Error::TooFewFrames { task, found: n_frames, expected });
        }
        let found = raw.values.iter().filter(|x| !x.is_finite()).count();
        if found > 0 {
            return Err(Error::NonFiniteSeries { found, total: raw.values.len() });
        }
        let trend = polynomials(n_frames, 2);
        let mut tsnr = Vec::new();
        let mut levels = Vec::new();
        let mut change = vec![0.0; n_frames - 1];
        let mut n_positive = 0_usize;
        for block in raw.values.axis_chunks_iter(Axis(1), 1024) {
            let mut values = block.mapv(f64::from);
            let means = column_means(&values);
            for (column, &mean) in values.columns().into_iter().zip(&means) {
                if mean > 0.0 {
                    n_positive += 1;
                    for (frame, sum) in change.iter_mut().enumerate() {
                        let step = 100.0 * (column[frame + 1] - column[frame]) / mean;
                        *sum += step * step;
                    }
                }
            }
            project_out(&trend, &mut values);
            Zip::from(&means).and(&column_deviations(&values)).for_each(|&mean, &deviation| {
                let level = mean.abs();
                if deviation > f64::MIN_POSITIVE && deviation > 1e-12 * level {
                    levels.push(level / deviation);
                    if mean > 0.0 {
                        tsnr.push(mean / deviation);
                    }
                }
            });
        }
        let level = median(levels).ok_or(Error::NoVariation { task })?;
        let dvars = change.iter().map(|sum| (sum / n_positive as f64).sqrt()).collect();
        let is_raw = level >= CENTRED && !tsnr.is_empty();
        let of_raw = |figures| if is_raw { median(figures) } else { None };
        let (median_tsnr, median_dvars_percent) = (of_raw(tsnr), of_raw(dvars));
        Ok(Self { t_r: raw.t_r, n_frames, n_voxels, median_tsnr, median_dvars_percent })
    }
}

/// From where on a run is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QualityLimits {
    /// Smallest temporal signal-to-noise ratio, the median over voxels.
    #[serde(default)]
    pub median_tsnr: Option<f64>,
    /// Largest DVARS in percent, the median over frames.
    #[serde(default)]
    pub median_dvars_percent: Option<f64>,
}

impl ImageQualityMetrics {
    /// Why the run is left out, in words; nothing where it is good.
    pub fn excluded_by(&self, limits: &QualityLimits) -> Option<String> {
        let unknown = |what: &str| format!("{what} is not for standardised series");
        let tsnr = limits.median_tsnr.and_then(|limit| match self.median_tsnr {
            None => Some(unknown("temporal signal-to-noise ratio")),
            Some(found) => (found < limit).then(|| {
                format!("temporal signal-to-noise ratio is {found:.1}, the limit is {limit}")
            }),
        });
        tsnr.or_else(|| match (limits.median_dvars_percent?, self.median_dvars_percent) {
            (_, None) => Some(unknown("DVARS in percent")),
            (limit, Some(found)) => {
                (found > limit).then(|| format!("DVARS is {found:.2} %, the limit is {limit} %"))
            }
        })
    }
}

/// DVARS, in the unit of the series: the root mean square over voxels of the change from the frame
/// before. The first frame has none and is NaN. Series are `(n_frames, n_voxels)`.
///
/// Source: Power et al., `NeuroImage` 59 (2012).
///
/// ```
/// let series = ndarray::array![[1.0, 2.0], [4.0, 6.0], [4.0, 6.0]];
/// let dvars = scan::dvars(series.view());
/// assert!(dvars[0].is_nan() && dvars[2] == 0.0);
/// assert!((dvars[1] - 12.5_f64.sqrt()).abs() < 1e-12);
/// ```
pub fn dvars(series: ArrayView2<f64>) -> Vec<f64> {
    let frames: Vec<_> = series.rows().into_iter().collect();
    let changed = frames.windows(2).map(|pair| {
        let squares = pair[0].iter().zip(pair[1]).map(|(a, b)| (b - a) * (b - a));
        (squares.sum::<f64>() / series.ncols() as f64).sqrt()
    });
    frames.first().map(|_| f64::NAN).into_iter().chain(changed).collect()
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len() / 2;
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nii::{read_bold, testing::fixture};
    use crate::{VoxelMask, VoxelMaskConfig};
    use ndarray::Array2;

    fn assert_figures(series: &VoxelSeries, tsnr: f64, dvars: f64) {
        let figures = ImageQualityMetrics::measure(series).unwrap();
        assert!((figures.median_tsnr.unwrap() - tsnr).abs() < 1e-9 * tsnr, "{figures:?}");
        let found = figures.median_dvars_percent.unwrap();
        assert!((found - dvars).abs() < 1e-9 * dvars, "{figures:?}");
        assert_eq!(figures.n_frames, series.n_frames());
    }

    // numpy 2.4, scipy 1.17 (signal.detrend), nibabel 5.4.2: the whole run, then frames 8 to 16
    #[test]
    fn figures_of_a_real_run_and_of_a_window_agree_with_numpy() {
        let bold = read_bold(fixture("run001/bold_1slice.nii.gz")).unwrap();
        let mask = VoxelMask::fit(&[&bold], &VoxelMaskConfig { above_mean: 0.6 }).unwrap();
        let series = mask.apply(&bold).unwrap();
        assert_figures(&series, 117.090_101_568_092_78, 1.152_588_766_759_35);
        let values = series.values.slice(ndarray::s![8..17, ..]).to_owned();
        let window = VoxelSeries { values, t_r: series.t_r };
        assert_figures(&window, 145.937_881_981_859_6, 1.227_009_498_909_826_1);
    }

    #[test]
    fn a_run_outside_the_limits_is_left_out_with_the_reason() {
        let figures = ImageQualityMetrics {
            t_r: 2.0,
            n_frames: 100,
            n_voxels: 10,
            median_tsnr: Some(42.04),
            median_dvars_percent: Some(1.234),
        };
        let limits = |tsnr, dvars| QualityLimits { median_tsnr: tsnr, median_dvars_percent: dvars };
        assert_eq!(figures.excluded_by(&limits(Some(42.0), Some(1.3))), None);
        assert_eq!(figures.excluded_by(&limits(None, None)), None);
        let noisy = figures.excluded_by(&limits(Some(50.0), None)).unwrap();
        assert_eq!(noisy, "temporal signal-to-noise ratio is 42.0, the limit is 50");
        let jumpy = figures.excluded_by(&limits(Some(42.0), Some(1.0))).unwrap();
        assert_eq!(jumpy, "DVARS is 1.23 %, the limit is 1 %");
    }

    #[test]
    fn centred_series_have_no_figures_and_constant_ones_are_refused() {
        let measured =
            |values: Array2<f32>| ImageQualityMetrics::measure(&VoxelSeries { values, t_r: 2.0 });
        // means of 0, or of rounding, and of percent around 0
        for shift in [0.0, 1e-6, 0.05] {
            let wave = |(t, v): (usize, usize)| ((t * (v + 2)) as f32 * 0.7).sin() + shift;
            let figures = measured(Array2::from_shape_fn((90, 4), wave)).unwrap();
            assert_eq!((figures.median_tsnr, figures.median_dvars_percent), (None, None));
            let limits = QualityLimits { median_tsnr: Some(20.0), median_dvars_percent: None };
            let reason = figures.excluded_by(&limits).unwrap();
            assert_eq!(reason, "temporal signal-to-noise ratio is not for standardised series");
        }
        let error = measured(Array2::from_elem((4, 2), 7.0)).unwrap_err();
        assert!(error.to_string().contains("found no voxel that varies"), "{error}");
        assert!(measured(Array2::from_elem((2, 2), 7.0)).is_err());
    }
}
