//! Series at another repetition time.
//!
//! Sources: `torch.nn.functional.interpolate(mode="linear", align_corners=False)` as the wrappers
//! of BrainLM, `SwiFT` and `NeuroSTORM` call it; `scipy.signal.decimate`'s filter followed by a cubic
//! spline as Brain-Semantoks and Brainmarks do it; the picked frames of Brain-JEPA's data loader.

use ndarray::{Array2, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    signal::{Spline, anti_alias},
};

/// The filter lets this share of the new half sampling rate pass.
const PASS: f64 = 0.8;

/// Frames below which it is left out: it mirrors 27 at either end.
const FEWEST: usize = 30;

/// How frames between frames are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// Straight lines between the middles of frames; fast changes fold into slow ones.
    Linear,
    /// Fast changes are filtered out first where the new rate is lower and there are 30 frames; then a
    /// cubic spline. No frame lies behind the last one or behind the run's length.
    AntiAliased,
    /// Frames are picked where the new rate is lower, straight lines are drawn where it is higher; a
    /// part of a frame at the end is none. Brainmarks reads Brain-JEPA's series so.
    NearestOrLinear,
    /// Frames are picked, none are mixed: the one that begins last before the new time. Brain-JEPA's
    /// loader picks every third or so.
    Picked,
}

/// Series `(n_frames, n_series)` sampled every `t_r` seconds, as if every `to_t_r` seconds.
///
/// ```
/// let series = ndarray::array![[0.0], [1.0], [2.0], [3.0]];
/// let faster = scan::resample_time(&series, 2.0, 1.0, scan::Resampling::Linear)?;
/// assert_eq!(faster.column(0).to_vec(), [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]);
/// # Ok::<(), scan::Error>(())
/// ```
pub fn resample_time(
    series: &Array2<f64>,
    t_r: f64,
    to_t_r: f64,
    how: Resampling,
) -> Result<Array2<f64>> {
    for found in [t_r, to_t_r] {
        if !(found.is_finite() && found > 0.0) {
            return Err(Error::BadRepetitionTime { found });
        }
    }
    let found = series.nrows();
    if found < 2 {
        return Err(Error::TooFewFrames { task: "resampling in time", found, expected: 2 });
    }
    let n_new = how.n_frames(found, t_r, to_t_r);
    match how {
        Resampling::AntiAliased => anti_aliased(series, n_new, to_t_r / t_r),
        Resampling::NearestOrLinear if to_t_r > t_r => Ok(nearest(series, n_new)),
        Resampling::Linear | Resampling::NearestOrLinear => Ok(linear(series, n_new)),
        Resampling::Picked => Ok(picked(series, to_t_r / t_r)),
    }
}

impl Resampling {
    /// Frames of a run of `n` frames every `t_r` seconds that is brought to one every `to_t_r`.
    pub fn n_frames(self, n: usize, t_r: f64, to_t_r: f64) -> usize {
        let exact = t_r * n as f64 / to_t_r;
        match self {
            // ties to even, as Python rounds
            Self::Linear => (exact.round_ties_even() as usize).max(1),
            Self::AntiAliased if t_r == to_t_r => n,
            Self::AntiAliased => {
                // a frame that lies behind the last one would be made up
                let last = t_r * (n as f64 - 1.0);
                let whole = 0..exact as usize;
                whole.take_while(|&frame| to_t_r * frame as f64 <= last).count().max(1)
            }
            Self::NearestOrLinear => (exact as usize).max(1),
            Self::Picked => picks(n, to_t_r / t_r).count(),
        }
    }
}

/// The frames of `n` that are picked. Rounding must not move a frame that begins just then.
fn picks(n: usize, factor: f64) -> impl Iterator<Item = usize> {
    let frames = (0_usize..).map(move |frame| (frame as f64 * factor + 1e-9) as usize);
    frames.take_while(move |&frame| frame < n)
}

/// The low pass that goes before a lower rate, section by section: b0, b1, b2, 1, a1, a2.
pub fn anti_alias_sections(t_r: f64, to_t_r: f64) -> Vec<[f64; 6]> {
    let filter = anti_alias(PASS * t_r / to_t_r);
    filter.sections.iter().map(|&[b0, b1, b2, a1, a2]| [b0, b1, b2, 1.0, a1, a2]).collect()
}

fn linear(series: &Array2<f64>, n_new: usize) -> Array2<f64> {
    let n = series.nrows();
    let step = n as f64 / n_new as f64;
    let mut seen = Array2::zeros((n_new, series.ncols()));
    for (frame, mut row) in seen.rows_mut().into_iter().enumerate() {
        let place = ((frame as f64 + 0.5) * step - 0.5).max(0.0);
        let low = (place as usize).min(n - 1);
        let high = (low + 1).min(n - 1);
        let share = place - low as f64;
        row.assign(&series.row(low));
        row *= 1.0 - share;
        row.scaled_add(share, &series.row(high));
    }
    seen
}

fn picked(series: &Array2<f64>, factor: f64) -> Array2<f64> {
    series.select(Axis(0), &picks(series.nrows(), factor).collect::<Vec<_>>())
}

/// As PyTorch picks them, in 32 bits.
fn nearest(series: &Array2<f64>, n_new: usize) -> Array2<f64> {
    let n = series.nrows();
    let step = n as f32 / n_new as f32;
    let of = |frame: usize| ((frame as f32 * step).floor() as usize).min(n - 1);
    series.select(Axis(0), &(0..n_new).map(of).collect::<Vec<_>>())
}

fn anti_aliased(series: &Array2<f64>, n_new: usize, factor: f64) -> Result<Array2<f64>> {
    let n = series.nrows();
    if factor == 1.0 {
        return Ok(series.clone());
    }
    let filter = (factor > 1.0 && n >= FEWEST).then(|| anti_alias(PASS / factor));
    let spline = Spline::new((0..n).map(|frame| frame as f64).collect());
    let mut seen = Array2::zeros((n_new, series.ncols()));
    for (column, mut to) in series.columns().into_iter().zip(seen.columns_mut()) {
        let mut values = column.to_vec();
        if let Some(filter) = &filter {
            filter.apply(&mut values)?;
        }
        let slopes = spline.slopes(&values);
        for (frame, x) in to.iter_mut().enumerate() {
            *x = spline.at(&values, &slopes, (frame as f64 * factor).min(n as f64 - 1.0));
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_known_beforehand() {
        use Resampling as R;
        for (how, t_r, to_t_r) in
            [(R::Linear, 2.0, 0.735), (R::AntiAliased, 0.735, 2.0), (R::Picked, 0.72, 2.2)]
        {
            let least = 2;
            for n in [least, least + 1, 100] {
                let series = Array2::from_shape_fn((n, 1), |(frame, _)| frame as f64);
                let seen = resample_time(&series, t_r, to_t_r, how).unwrap();
                assert_eq!(seen.nrows(), how.n_frames(n, t_r, to_t_r), "{how:?} {n}");
            }
            let short = Array2::zeros((least - 1, 1));
            assert!(resample_time(&short, t_r, to_t_r, how).is_err(), "{how:?} {least}");
        }
    }

    fn sine(hz: f64, t_r: f64, n: usize) -> Array2<f64> {
        Array2::from_shape_fn((n, 1), |(t, _)| (std::f64::consts::TAU * hz * t as f64 * t_r).sin())
    }

    // torch 2.12: interpolate(x, size=3, mode="linear", align_corners=False)
    #[test]
    fn lines_between_middles_agree_with_torch() {
        let series = ndarray::array![[1.0], [2.0], [4.0], [8.0], [16.0]];
        let seen = resample_time(&series, 1.2, 2.0, Resampling::Linear).unwrap();
        let expected = [1.0 + 1.0 / 3.0, 4.0, 13.0 + 1.0 / 3.0];
        assert_eq!(seen.nrows(), 3);
        for (found, expected) in seen.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{seen}");
        }
    }

    #[test]
    fn the_same_rate_is_the_identity() {
        let series = sine(0.05, 1.0, 80);
        for how in [
            Resampling::Linear,
            Resampling::AntiAliased,
            Resampling::Picked,
            Resampling::NearestOrLinear,
        ] {
            let seen = resample_time(&series, 1.0, 1.0, how).unwrap();
            assert!((&seen - &series).iter().all(|x| x.abs() < 1e-12), "{how:?}");
        }
    }

    // the loader: 160 whole numbers, each rounded down, evenly from 0 to 479
    #[test]
    fn picked_frames_are_those_of_brain_jepas_loader() {
        let series = Array2::from_shape_fn((490, 1), |(frame, _)| frame as f64);
        let to_t_r = 0.735 * 479.0 / 159.0;
        let seen = resample_time(&series, 0.735, to_t_r, Resampling::Picked).unwrap();
        let expected: Vec<f64> = (0..160).map(|k| f64::from(k * 479 / 159)).collect();
        assert_eq!(seen.column(0).to_vec()[..160], expected);
        assert_eq!(seen.nrows(), 163);
    }

    #[test]
    fn slow_waves_survive_a_lower_rate_and_fast_ones_do_not_fold_into_slow_ones() {
        let slow = resample_time(&sine(0.03, 0.72, 400), 0.72, 2.0, Resampling::AntiAliased);
        let expected = sine(0.03, 2.0, 144);
        let slow = slow.unwrap();
        assert_eq!(slow.nrows(), 144);
        let worst = (20..120).map(|t| (slow[[t, 0]] - expected[[t, 0]]).abs()).fold(0.0, f64::max);
        assert!(worst < 0.02, "{worst}");
        let peak = |how| {
            let fast = resample_time(&sine(0.48, 0.72, 400), 0.72, 2.0, how).unwrap();
            (20..120).map(|t| fast[[t, 0]].abs()).fold(0.0, f64::max)
        };
        assert!(peak(Resampling::AntiAliased) < 1e-3);
        assert!(peak(Resampling::Linear) > 0.1);
    }

    #[test]
    fn bad_times_are_refused() {
        let series = sine(0.03, 1.0, 10);
        assert!(resample_time(&series, 0.0, 1.0, Resampling::Linear).is_err());
        assert!(resample_time(&series, 1.0, f64::NAN, Resampling::Linear).is_err());
        let one = series.slice(ndarray::s![..1, ..]).to_owned();
        let error = resample_time(&one, 1.0, 2.0, Resampling::AntiAliased).unwrap_err();
        assert!(error.to_string().contains("frames, found 1"), "{error}");
        // too short for the filter: the spline alone
        assert_eq!(resample_time(&series, 1.0, 2.0, Resampling::AntiAliased).unwrap().nrows(), 5);
    }
}
