//! What the code around a published encoder does with a recording before its network: named, so that a
//! pipeline, a plan and a package say the same.
//!
//! Sources: the packages `cortex-mae` 0.1.1 and `brainmarks` 0.1.1; the data sets of Brain-JEPA.

use ndarray::{Array2, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::z::{frame_z, half_parcel_z};
use super::{
    FittedNormalisation, Normalisation, PadPolicy, Resampling, WindowPolicy, WindowsConfig,
    resample_time,
};
use crate::error::{Error, Result};

/// The preparation that goes with an encoder, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EncoderPolicy {
    /// CortexMAE's reader: each parcel to mean 0 and spread 1 over the run, in 16 bits; lines to 1.0 s
    /// where the TR is more than 0.1 s away; each frame to mean 0 and spread 1, cut off at ±3; windows of
    /// 16 frames, the rest dropped. A shorter run is masked.
    CortexMae,
    /// Brain-JEPA's fine-tuning: one mean and spread for the recording, then 160 frames picked evenly
    /// out of 480. A shorter run is refused.
    BrainJepaFinetuning,
    /// Brain-JEPA's pre-training: medians and quartiles of the training recordings' means, then 160
    /// frames picked evenly out of 480. A shorter run is refused.
    BrainJepaPretraining,
    /// Brainmarks for Brain-JEPA: one mean and spread for the recording; to 2.0 s where the TR is 0.2 s
    /// away or more; the first 160 frames. A shorter run is filled up with its mean frame.
    BrainJepaEvaluation,
    /// Brainmarks for Brain-Semantoks: each parcel to mean 0 and spread 1; low pass and cubic spline to
    /// 2.0 s where the TR is more than 0.01 s away; the first 100 frames. A shorter run is masked.
    BrainSemantoksEvaluation,
    /// Brainmarks for BrainLM: medians and quartiles of all training frames; lines to 0.735 s where the
    /// TR is 0.1 s away or more; windows of 200 frames, the rest dropped. A shorter run is filled up with
    /// its mean frame.
    BrainlmEvaluation,
    /// Brainmarks for SwiFT: volumes along lines to 0.8 s where the TR is 0.1 s away or more; one mean
    /// and spread for the run; 96 voxels a side; at most eight windows of 20 frames, the rest dropped. A
    /// shorter run is filled up with its mean frame.
    SwiftEvaluation,
}

/// Frames that Brain-JEPA's data sets pick, and how far the last one is from the first.
const PICKED: (usize, f64) = (160, 479.0);

/// When a recording is brought to another repetition time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolicyRate {
    /// Seconds between two frames, afterwards.
    pub t_r_s: f64,
    /// Recordings nearer to it than this stay.
    pub gap_s: f64,
    /// Whether those exactly so far away stay too.
    pub inclusive: bool,
    /// How frames between frames are made.
    pub how: Resampling,
}

impl PolicyRate {
    /// Whether a recording of this repetition time is changed.
    pub fn changes(&self, t_r_s: f64) -> bool {
        let gap = (t_r_s - self.t_r_s).abs();
        if self.inclusive { gap > self.gap_s } else { gap >= self.gap_s }
    }
}

/// A recording that was prepared.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedSeries {
    /// `(n_frames, n_parcels)`.
    pub values: Array2<f64>,
    /// Seconds between two frames.
    pub t_r_s: f64,
    /// For each frame, the one of the recording that it is or begins in.
    pub frames: Vec<usize>,
}

impl EncoderPolicy {
    /// Its formula, by the name that an encoder asks for.
    pub fn normalisation(self) -> Normalisation {
        match self {
            Self::CortexMae => Normalisation::FrameZ,
            Self::BrainJepaFinetuning | Self::BrainJepaEvaluation | Self::SwiftEvaluation => {
                Normalisation::GlobalZ
            }
            Self::BrainJepaPretraining => Normalisation::RobustMeans,
            Self::BrainSemantoksEvaluation => Normalisation::ParcelZ,
            Self::BrainlmEvaluation => Normalisation::CohortFitEps,
        }
    }

    /// Whether it reads volumes, not series of parcels.
    pub fn reads_volumes(self) -> bool {
        self == Self::SwiftEvaluation
    }

    /// Whether frames are picked, for which a first frame may be given.
    pub fn picks(self) -> bool {
        matches!(self, Self::BrainJepaFinetuning | Self::BrainJepaPretraining)
    }

    /// To which repetition time it resamples; `None`: recordings keep theirs, or frames are picked.
    pub fn rate(self) -> Option<PolicyRate> {
        let rate = |t_r_s, gap_s, inclusive, how| Some(PolicyRate { t_r_s, gap_s, inclusive, how });
        match self {
            Self::CortexMae => rate(1.0, 0.1, true, Resampling::Linear),
            Self::BrainJepaEvaluation => rate(2.0, 0.2, false, Resampling::NearestOrLinear),
            Self::BrainSemantoksEvaluation => rate(2.0, 0.01, true, Resampling::AntiAliased),
            Self::BrainlmEvaluation => rate(0.735, 0.1, false, Resampling::Linear),
            Self::SwiftEvaluation => rate(0.8, 0.1, false, Resampling::Linear),
            Self::BrainJepaFinetuning | Self::BrainJepaPretraining => None,
        }
    }

    /// What a recording of this repetition time has afterwards.
    pub fn t_r_s(self, t_r_s: f64) -> f64 {
        let (n, span) = PICKED;
        match self.rate() {
            None => t_r_s * span / (n - 1) as f64,
            Some(rate) if rate.changes(t_r_s) => rate.t_r_s,
            Some(_) => t_r_s,
        }
    }

    /// Frames of a recording afterwards, before windows are cut.
    pub fn n_frames(self, n_frames: usize, t_r_s: f64) -> usize {
        let Some(rate) = self.rate() else { return PICKED.0 };
        if !rate.changes(t_r_s) {
            return n_frames;
        }
        rate.how.n_frames(n_frames, t_r_s, rate.t_r_s)
    }

    /// Its windows, with what its authors do with a shorter run or what is asked for instead.
    pub fn windows(self, short: Option<PadPolicy>) -> WindowsConfig {
        let one = |n_frames| (n_frames, WindowPolicy::First);
        let all = |n_frames, at_most| (n_frames, WindowPolicy::Whole { at_most });
        let (n_frames, policy) = match self {
            Self::CortexMae => all(16, None),
            Self::BrainJepaFinetuning | Self::BrainJepaPretraining => one(PICKED.0),
            Self::BrainJepaEvaluation => one(160),
            Self::BrainSemantoksEvaluation => one(100),
            Self::BrainlmEvaluation => all(200, None),
            Self::SwiftEvaluation => all(20, Some(8)),
        };
        WindowsConfig { n_frames, policy, pad: short.unwrap_or(self.short()) }
    }

    /// What its authors do with a run that is shorter than a window.
    fn short(self) -> PadPolicy {
        match self {
            Self::CortexMae | Self::BrainSemantoksEvaluation => PadPolicy::Masked,
            Self::BrainJepaFinetuning | Self::BrainJepaPretraining => PadPolicy::Refuse,
            Self::BrainJepaEvaluation | Self::BrainlmEvaluation | Self::SwiftEvaluation => {
                PadPolicy::MeanFrame
            }
        }
    }

    /// Fits what it needs of training recordings `(n_frames, n_parcels)`.
    ///
    /// # Errors
    /// Where it needs some and there are none.
    pub fn fit(self, recordings: &[Array2<f64>]) -> Result<FittedNormalisation> {
        FittedNormalisation::fit(self.normalisation(), recordings, 1)
    }

    /// A recording `(n_frames, n_parcels)` on the scale and at the rate; `first_frame` is where picked
    /// frames begin.
    ///
    /// # Errors
    /// Where it is too short to be picked from or resampled, or was fitted to other parcels.
    pub fn prepare(
        self,
        recording: &Array2<f64>,
        t_r_s: f64,
        fitted: &FittedNormalisation,
        first_frame: f64,
    ) -> Result<PreparedSeries> {
        let scaled = match self {
            // the frames' scale comes after the rate
            Self::CortexMae => half_parcel_z(recording),
            _ => fitted.apply(recording)?,
        };
        let n = scaled.nrows();
        let Some(rate) = self.rate() else {
            let frames = picked(first_frame, n)?;
            let values = scaled.select(Axis(0), &frames);
            return Ok(PreparedSeries { values, t_r_s: self.t_r_s(t_r_s), frames });
        };
        let values = if rate.changes(t_r_s) {
            resample_time(&scaled, t_r_s, rate.t_r_s, rate.how)?
        } else {
            scaled
        };
        let values = if self == Self::CortexMae { frame_z(&values) } else { values };
        let step = n as f64 / values.nrows() as f64;
        let frames = (0..values.nrows()).map(|at| ((at as f64 * step) as usize).min(n - 1));
        Ok(PreparedSeries { frames: frames.collect(), values, t_r_s: self.t_r_s(t_r_s) })
    }
}

/// The frames of Brain-JEPA's data sets: `linspace(first, first + 479, 160)` in 32 bits as PyTorch
/// reckons it, rounded down.
///
/// # Errors
/// Where a recording of `n` frames ends before the last one.
pub fn picked(first: f64, n: usize) -> Result<Vec<usize>> {
    let (steps, span) = PICKED;
    if !(first.is_finite() && first >= 0.0) {
        let expected = "a frame, 0 or later";
        return Err(Error::Setting { field: "first_frame", found: first, expected });
    }
    let (start, end) = (first as f32, (first + span) as f32);
    let step = (end - start) / (steps - 1) as f32;
    let at = |idx: usize| {
        if idx < steps / 2 {
            start + step * idx as f32
        } else {
            end - step * (steps - 1 - idx) as f32
        }
    };
    let frames: Vec<usize> = (0..steps).map(|idx| at(idx) as usize).collect();
    let last = frames[steps - 1];
    if last >= n {
        let task = "picking frames as Brain-JEPA's data sets do";
        return Err(Error::TooFewFrames { task, found: n, expected: last + 1 });
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [EncoderPolicy; 7] = [
        EncoderPolicy::CortexMae,
        EncoderPolicy::BrainJepaFinetuning,
        EncoderPolicy::BrainJepaPretraining,
        EncoderPolicy::BrainJepaEvaluation,
        EncoderPolicy::BrainSemantoksEvaluation,
        EncoderPolicy::BrainlmEvaluation,
        EncoderPolicy::SwiftEvaluation,
    ];

    #[test]
    fn the_frames_that_a_policy_says_are_those_that_it_makes() {
        for policy in ALL {
            for (n, t_r_s) in [(150, 2.0), (490, 0.735), (292, 0.8), (60, 3.0), (500, 1.0)] {
                let recording =
                    Array2::from_shape_fn((n, 3), |(t, p)| ((t * t + 7 * p) % 13) as f64);
                let fitted = policy.fit(std::slice::from_ref(&recording)).unwrap();
                let Ok(found) = policy.prepare(&recording, t_r_s, &fitted, 0.0) else {
                    assert!(policy.picks() && n < 480, "{policy:?} {n}");
                    continue;
                };
                // the spline may lose frames behind the last one
                let said = policy.n_frames(n, t_r_s);
                let near = said - found.values.nrows();
                assert!(near <= usize::from(t_r_s > 2.0), "{policy:?} {n} {t_r_s}: {said}");
                assert_eq!(found.frames.len(), found.values.nrows());
                assert_eq!(found.t_r_s, policy.t_r_s(t_r_s));
            }
        }
    }

    // by hand: 150 volumes of 2.0 s are 300 s, which hold 408 frames of 0.735 s, 300 of 1 s and 375 of
    // 0.8 s
    #[test]
    fn a_cohort_of_150_volumes_at_two_seconds_fills_these_windows() {
        let cut = |policy: EncoderPolicy| {
            let recording = Array2::from_shape_fn((150, 3), |(t, p)| ((t * t + 7 * p) % 13) as f64);
            let fitted = policy.fit(std::slice::from_ref(&recording)).unwrap();
            let found = policy.prepare(&recording, 2.0, &fitted, 0.0)?;
            let windows = policy.windows(None).cut(found.values.view())?;
            Ok::<_, Error>((windows.len(), windows[0].n_real, found.values.nrows()))
        };
        assert_eq!(cut(EncoderPolicy::BrainlmEvaluation).unwrap(), (2, 200, 408));
        assert_eq!(cut(EncoderPolicy::BrainJepaEvaluation).unwrap(), (1, 150, 150));
        assert_eq!(cut(EncoderPolicy::CortexMae).unwrap(), (18, 16, 300));
        assert_eq!(cut(EncoderPolicy::BrainSemantoksEvaluation).unwrap(), (1, 100, 150));
        assert_eq!(cut(EncoderPolicy::SwiftEvaluation).unwrap(), (8, 20, 375));
        assert!(cut(EncoderPolicy::BrainJepaFinetuning).is_err());
        assert!(cut(EncoderPolicy::BrainJepaPretraining).is_err());
    }

    // by hand: 2.2 − 2.0 is above 0.2 in 64 bits, 2.0 − 1.8 is below it
    #[test]
    fn the_edge_of_a_rate_is_where_its_authors_comparison_puts_it() {
        let evaluation = EncoderPolicy::BrainJepaEvaluation.rate().unwrap();
        assert!(evaluation.changes(2.2) && !evaluation.changes(1.8) && !evaluation.changes(2.15));
        let cortex = EncoderPolicy::CortexMae.rate().unwrap();
        assert!(!cortex.changes(1.08) && cortex.changes(0.72) && !cortex.changes(0.9));
    }

    #[test]
    fn frames_are_picked_evenly_and_never_made_up() {
        let frames = picked(0.0, 490).unwrap();
        assert_eq!(frames, (0..160).map(|k| k * 479 / 159).collect::<Vec<_>>());
        assert_eq!(picked(9.99, 490).unwrap()[159], 488);
        let error = picked(0.0, 150).unwrap_err().to_string();
        assert!(error.contains("at least 480 frames, found 150"), "{error}");
        assert!(picked(-1.0, 490).is_err());
    }
}
