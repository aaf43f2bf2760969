//! The scale a parcel encoder was trained on: named, fitted on training recordings only, saved.
//!
//! Sources: BrainLM's toolkit and paper, whose formulas differ by a pair of parentheses; Brainmarks;
//! the data loaders of Brain-JEPA and CortexMAE. The statistics of the published weights were never
//! released, so a cohort has to be fitted.

use ndarray::{Array1, Array2, Axis, Zip};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::z::{frame_z, half_parcel_z, parcel_z};
use crate::{
    clean::column_means,
    error::{Error, Result},
    high_variance::percentile,
};

/// Version of the saved form.
const VERSION: u32 = 1;

/// Keeps a scale of 0 from dividing.
pub(super) const EPSILON: f64 = 1e-6;

/// A formula, by the name it has in a pipeline file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// (d − median) / interquartile range, d without the recording's mean; both per parcel over
    /// the first frames of all training recordings, exact zeros left out of the quartiles.
    RobustPaper,
    /// d − (median / interquartile range), as the toolkit computes it.
    RobustToolkitBug,
    /// (x − median) / interquartile range of the recording itself, per parcel.
    PerRecording,
    /// (x − median) / (interquartile range + 10⁻⁶), per parcel over all training frames.
    CohortFitEps,
    /// From 0 to 1 between the extremes of all training recordings.
    MinMaxCohort,
    /// From 0 to 1 between the extremes of the recording.
    MinMaxRecording,
    /// Without the recording's mean, per parcel.
    Demean,
    /// (x − mean) / standard deviation (n − 1), one of each for the whole recording, as Brain-JEPA
    /// is fine-tuned.
    GlobalZ,
    /// (x − median) / interquartile range, both per parcel over the means of the training
    /// recordings, as Brain-JEPA was pretrained.
    RobustMeans,
    /// Each parcel to mean 0 and spread 1 over the recording in 16 bits, then each frame over the
    /// parcels, cut off at ±3, as CortexMAE reads. A run of another rate is resampled between the two:
    /// see the policy `cortex_mae` of `prepare`.
    FrameZ,
    /// Each parcel to mean 0 and spread 1 over the recording, as Brain-Semantoks reads.
    ParcelZ,
}

impl Normalisation {
    /// Whether each recording is brought to scale by itself, so that nothing is fitted.
    pub fn asks_each_alone(self) -> bool {
        use Normalisation as N;
        matches!(
            self,
            N::PerRecording | N::MinMaxRecording | N::Demean | N::GlobalZ | N::FrameZ | N::ParcelZ
        )
    }
}

/// A formula with the numbers it needs. Serialises, so that a model takes it along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct FittedNormalisation {
    pub(super) kind: Normalisation,
    pub(super) n_recordings: usize,
    /// Per parcel; empty where the recording itself is asked.
    pub(super) shift: Array1<f64>,
    pub(super) scale: Array1<f64>,
}

/// As it stands in a file, not yet checked; parcels that could not be fitted have no scale.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    version: u32,
    kind: Normalisation,
    n_recordings: usize,
    shift: Vec<f64>,
    scale: Vec<Option<f64>>,
}

impl FittedNormalisation {
    /// From numbers that were fitted elsewhere: medians or minima, and ranges, a parcel each; ranges that
    /// are no number are of parcels without spread.
    ///
    /// # Errors
    /// Where they do not belong together.
    pub fn of_parts(kind: Normalisation, shift: &[f64], scale: &[f64]) -> Result<Self> {
        let scale = scale.iter().map(|scale| scale.is_finite().then_some(*scale)).collect();
        Self::try_from(Saved {
            version: VERSION,
            kind,
            n_recordings: 0,
            shift: shift.to_vec(),
            scale,
        })
    }

    /// Recordings that it was fitted to; 0 where that is not known.
    pub fn n_recordings(&self) -> usize {
        self.n_recordings
    }

    /// The formula.
    pub fn kind(&self) -> Normalisation {
        self.kind
    }

    /// Medians or minima per parcel; empty where the recording itself is asked.
    pub fn shift(&self) -> &Array1<f64> {
        &self.shift
    }

    /// Interquartile ranges or spans per parcel; NaN where nothing could be fitted.
    pub fn scale(&self) -> &Array1<f64> {
        &self.scale
    }

    /// Parcels, by position, that had no spread to fit: their series become 0.
    pub fn unfitted(&self) -> Vec<usize> {
        let scales = self.scale.iter().enumerate();
        scales.filter(|(_, scale)| !is_scale(**scale)).map(|(parcel, _)| parcel).collect()
    }

    /// Normalises a recording `(n_frames, n_parcels)`.
    pub fn apply(&self, recording: &Array2<f64>) -> Result<Array2<f64>> {
        use Normalisation as N;
        if !self.shift.is_empty() && self.shift.len() != recording.ncols() {
            let (task, found, expected) =
                ("the fitted normalisation", recording.ncols(), self.shift.len());
            return Err(Error::SeriesCount { task, found, expected });
        }
        Ok(match self.kind {
            N::Demean => demeaned(recording),
            N::RobustPaper => scaled(demeaned(recording), &self.shift, &self.scale),
            N::CohortFitEps | N::RobustMeans => scaled(recording.clone(), &self.shift, &self.scale),
            N::GlobalZ => {
                let (mean, spread) = (recording.mean().unwrap_or(0.0), recording.std(1.0));
                recording.mapv(|x| if is_scale(spread) { (x - mean) / spread } else { 0.0 })
            }
            N::FrameZ => frame_z(&half_parcel_z(recording)),
            N::ParcelZ => parcel_z(recording),
            N::RobustToolkitBug => {
                let mut values = demeaned(recording);
                Zip::from(values.columns_mut()).and(&self.shift).and(&self.scale).for_each(
                    |mut column, &shift, &scale| {
                        if is_scale(scale) {
                            column -= shift / scale;
                        } else {
                            column.fill(0.0);
                        }
                    },
                );
                values
            }
            N::PerRecording => {
                let (median, range) = quartiles_of(std::slice::from_ref(recording), false);
                scaled(recording.clone(), &median, &range)
            }
            N::MinMaxCohort => between(recording, self.shift[0], self.shift[0] + self.scale[0]),
            N::MinMaxRecording => {
                let (low, high) = extremes(recording.iter());
                between(recording, low, high)
            }
        })
    }
}

fn is_scale(scale: f64) -> bool {
    scale.is_finite() && scale != 0.0
}

pub(super) fn demeaned(recording: &Array2<f64>) -> Array2<f64> {
    recording - &column_means(recording)
}

/// (x − shift) / scale per column; 0 where there is no scale.
fn scaled(mut values: Array2<f64>, shift: &Array1<f64>, scale: &Array1<f64>) -> Array2<f64> {
    Zip::from(values.columns_mut()).and(shift).and(scale).for_each(|mut column, &shift, &scale| {
        let factor = if is_scale(scale) { 1.0 / scale } else { 0.0 };
        column.mapv_inplace(|x| (x - shift) * factor);
    });
    values
}

/// From 0 to 1 between two extremes; unchanged where they are the same.
fn between(recording: &Array2<f64>, low: f64, high: f64) -> Array2<f64> {
    if high > low { recording.mapv(|x| (x - low) / (high - low)) } else { recording.clone() }
}

pub(super) fn extremes<'a>(values: impl Iterator<Item = &'a f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)))
}

/// Median and interquartile range of each parcel over all frames of all recordings.
pub(super) fn quartiles_of(
    recordings: &[Array2<f64>],
    without_zeros: bool,
) -> (Array1<f64>, Array1<f64>) {
    let views: Vec<_> = recordings.iter().map(|x| x.view()).collect();
    let pool = ndarray::concatenate(Axis(0), &views).expect("equal numbers of parcels");
    let median = pool.map_axis(Axis(0), |column| percentile(&column.to_vec(), 50.0));
    let range = pool.map_axis(Axis(0), |column| {
        let counted: Vec<f64> =
            column.iter().copied().filter(|x| !without_zeros || *x != 0.0).collect();
        percentile(&counted, 75.0) - percentile(&counted, 25.0)
    });
    (median, range)
}

impl TryFrom<Saved> for FittedNormalisation {
    type Error = Error;

    fn try_from(saved: Saved) -> Result<Self> {
        let damaged = |problem: &str| Err(Error::DamagedFit { problem: problem.to_owned() });
        if saved.version != VERSION {
            return damaged("its version is not 1");
        }
        if saved.shift.len() != saved.scale.len() || saved.shift.iter().any(|x| !x.is_finite()) {
            return damaged("shift and scale do not belong together");
        }
        let scale = saved.scale.into_iter().map(|scale| scale.unwrap_or(f64::NAN)).collect();
        let (kind, n_recordings) = (saved.kind, saved.n_recordings);
        Ok(Self { kind, n_recordings, shift: saved.shift.into(), scale })
    }
}

impl From<FittedNormalisation> for Saved {
    fn from(fit: FittedNormalisation) -> Self {
        let scale = fit.scale.iter().map(|&scale| scale.is_finite().then_some(scale)).collect();
        let (kind, n_recordings) = (fit.kind, fit.n_recordings);
        Self { version: VERSION, kind, n_recordings, shift: fit.shift.to_vec(), scale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recordings() -> Vec<Array2<f64>> {
        let one = |seed: usize| {
            Array2::from_shape_fn((7, 3), |(t, p)| match p {
                2 => 0.0,
                _ => ((t * t * 5 + 11 * p + seed * 3) % 17) as f64,
            })
        };
        vec![one(0), one(1), one(2).slice(ndarray::s![..3, ..]).to_owned()]
    }

    #[test]
    fn the_slip_of_the_toolkit_is_a_pair_of_parentheses() {
        let paper = FittedNormalisation::fit(Normalisation::RobustPaper, &recordings(), 5).unwrap();
        let slip =
            FittedNormalisation::fit(Normalisation::RobustToolkitBug, &recordings(), 5).unwrap();
        assert_eq!((paper.shift(), paper.unfitted()), (slip.shift(), vec![2]));
        let d = demeaned(&recordings()[0]);
        let (median, range) = (paper.shift()[1], paper.scale()[1]);
        let right = paper.apply(&recordings()[0]).unwrap();
        let wrong = slip.apply(&recordings()[0]).unwrap();
        assert!((right[[3, 1]] - (d[[3, 1]] - median) / range).abs() < 1e-12);
        assert!((wrong[[3, 1]] - (d[[3, 1]] - median / range)).abs() < 1e-12);
        assert!(right.column(2).iter().chain(wrong.column(2)).all(|x| *x == 0.0));
    }

    #[test]
    fn the_recording_itself_or_the_cohort_is_the_measure() {
        let fit = |kind| FittedNormalisation::fit(kind, &recordings(), 5).unwrap();
        let recording = &recordings()[1];
        let own = fit(Normalisation::PerRecording).apply(recording).unwrap();
        assert!(percentile(&own.column(0).to_vec(), 50.0).abs() < 1e-12);
        let unit = fit(Normalisation::MinMaxRecording).apply(recording).unwrap();
        assert_eq!(extremes(unit.iter()), (0.0, 1.0));
        let cohort = fit(Normalisation::MinMaxCohort);
        let all: Vec<_> = recordings().iter().map(|x| cohort.apply(x).unwrap()).collect();
        assert_eq!(extremes(all.iter().flatten()), (0.0, 1.0));
        let mean = fit(Normalisation::Demean).apply(recording).unwrap();
        assert!(column_means(&mean).iter().all(|x| x.abs() < 1e-12));
        let eps = fit(Normalisation::CohortFitEps);
        assert!((eps.scale()[2] - EPSILON).abs() < 1e-18);
    }

    // worked by hand: the means are 1 and 3, and 2 and 2; the numbers have mean 2 and variance 2
    #[test]
    fn brain_jepas_scales_are_of_the_whole_recording_or_of_the_recordings_means() {
        let one = ndarray::array![[0.0, 2.0], [2.0, 4.0], [0.0, 3.0], [2.0, 3.0]];
        let other = ndarray::array![[5.0, 1.0], [-1.0, 3.0]];
        let whole = FittedNormalisation::fit(Normalisation::GlobalZ, std::slice::from_ref(&one), 1)
            .unwrap();
        let seen = whole.apply(&one).unwrap();
        assert!((seen[[1, 1]] - 2.0_f64.sqrt()).abs() < 1e-12, "{seen}");
        let recordings = [one.clone(), other];
        let fit = FittedNormalisation::fit(Normalisation::RobustMeans, &recordings, 1).unwrap();
        assert_eq!((fit.shift().to_vec(), fit.scale().to_vec()), (vec![1.5, 2.5], vec![0.5, 0.5]));
        let seen = fit.apply(&one).unwrap();
        assert_eq!(seen.row(0).to_vec(), [-3.0, -1.0]);
    }

    // worked by hand: parcels become ±1, and 0 where nothing varies; a frame (1, 1, −1, 0) has mean
    // 1/4 and variance 11/12
    #[test]
    fn cortex_maes_frames_are_scaled_after_its_parcels() {
        let series = ndarray::array![[5.0, 2.0, -7.0, 4.0], [3.0, 0.0, -3.0, 4.0]];
        let fit = FittedNormalisation::fit(Normalisation::FrameZ, std::slice::from_ref(&series), 1)
            .unwrap();
        let seen = fit.apply(&series).unwrap();
        let spread = (11.0_f64 / 12.0).sqrt() + EPSILON;
        let expected = [0.75, 0.75, -1.25, -0.25].map(|x| x / spread);
        for (found, expected) in seen.row(0).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{seen}");
        }
        let mut far = Array2::zeros((2, 40));
        far[[0, 7]] = 1.0;
        let cut =
            FittedNormalisation::fit(Normalisation::FrameZ, std::slice::from_ref(&far), 1).unwrap();
        assert_eq!(cut.apply(&far).unwrap()[[0, 7]], 3.0);
    }

    #[test]
    fn a_fit_is_saved_with_its_version_and_checked() {
        let fit = FittedNormalisation::fit(Normalisation::RobustPaper, &recordings(), 5).unwrap();
        let text = serde_json::to_string(&fit).unwrap();
        assert!(
            text.starts_with(r#"{"version":1,"kind":"robust_paper","n_recordings":3"#),
            "{text}"
        );
        let back: FittedNormalisation = serde_json::from_str(&text).unwrap();
        assert_eq!(back.apply(&recordings()[0]).unwrap(), fit.apply(&recordings()[0]).unwrap());
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert!(serde_json::from_str::<FittedNormalisation>(&newer).is_err());
        let narrow = Array2::zeros((7, 2));
        let error = fit.apply(&narrow).unwrap_err().to_string();
        assert_eq!(error, "the fitted normalisation needs 3 series, found 2");
    }

    #[test]
    fn nothing_to_fit_on_is_refused() {
        let kind = Normalisation::RobustPaper;
        assert!(FittedNormalisation::fit(kind, &[], 5).is_err());
        let error = FittedNormalisation::fit(kind, &recordings(), 9).unwrap_err().to_string();
        assert_eq!(error, "normalisation needs a recording of at least 9 frames, found none");
    }
}
