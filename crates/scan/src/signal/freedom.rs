//! How many degrees of freedom cleaning leaves, before anything is cleaned.
//!
//! Every column that is regressed out takes one. With as many columns as frames the residual is
//! rounding noise, and standardising brings that to the scale of a signal; nilearn 0.14 does so
//! without a warning.

use std::fmt;

use ndarray::Array2;

use super::{
    Filter, SignalConfig,
    design::butterworth,
    regress::{cosine_drifts, with_drifts},
};
use crate::error::{Error, Result};

/// Frames that are kept, and what is taken out of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DegreesOfFreedom {
    /// Frames that are kept.
    pub n_kept: usize,
    /// Confounds.
    pub n_confounds: usize,
    /// Polynomials beside the constant, which always counts as one.
    pub n_trends: usize,
    /// Frequencies that a filter stops, or cosines in its place.
    pub n_filter: usize,
}

impl DegreesOfFreedom {
    /// Columns that are taken out, the constant with them.
    pub fn n_taken(&self) -> usize {
        self.n_confounds + 1 + self.n_trends + self.n_filter
    }

    /// What is left, 0 where more is taken out than there are frames.
    pub fn left(&self) -> usize {
        self.n_kept.saturating_sub(self.n_taken())
    }
}

impl fmt::Display for DegreesOfFreedom {
    /// `32 columns (30 confounds, constant, 1 trend) out of 30 frames`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |n: usize, one: &str| match n {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {one}s")),
        };
        let parts = [
            counted(self.n_confounds, "confound"),
            Some("constant".to_owned()),
            counted(self.n_trends, "trend"),
            match self.n_filter {
                0 => None,
                1 => Some("1 filtered frequency".to_owned()),
                n => Some(format!("{n} filtered frequencies")),
            },
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let columns = counted(self.n_taken(), "column").unwrap_or_default();
        write!(f, "{columns} ({}) out of {} frames", parts.join(", "), self.n_kept)
    }
}

impl SignalConfig {
    /// What cleaning a run of so many frames leaves; `confounds` are `(n_frames, n_confounds)`.
    ///
    /// A Butterworth filter counts as the share of frequencies that it stops, of the frames that are
    /// kept.
    ///
    /// # Errors
    /// Where the run is too short for the filter, or its edges are none.
    pub fn degrees_of_freedom(
        &self,
        n_frames: usize,
        t_r: f64,
        confounds: Option<&Array2<f64>>,
        kept: Option<&[usize]>,
    ) -> Result<DegreesOfFreedom> {
        let n_kept = kept.map_or(n_frames, <[usize]>::len);
        if n_kept < 2 {
            return Err(Error::TooFewFrames { task: "cleaning", found: n_kept, expected: 2 });
        }
        let n_confounds = confounds.map_or(0, Array2::ncols);
        let n_filter = match self.filter {
            Filter::Butterworth { high_pass, low_pass }
                if high_pass.is_some() || low_pass.is_some() =>
            {
                let n_filtered = match kept {
                    Some(kept) if !self.extrapolate => kept[n_kept - 1] - kept[0] + 1,
                    _ => n_frames,
                };
                butterworth(t_r, high_pass, low_pass)?.check_length(n_filtered)?;
                let hz = |k: usize| k as f64 / (2.0 * n_kept as f64 * t_r);
                let is_stopped = |k: &usize| {
                    high_pass.is_some_and(|high| hz(*k) < high)
                        || low_pass.is_some_and(|low| hz(*k) > low)
                };
                (1..n_kept).filter(is_stopped).count()
            }
            Filter::Cosine { high_pass } if high_pass.is_finite() && high_pass > 0.0 => {
                let drifts = cosine_drifts(n_frames, high_pass, t_r);
                with_drifts(confounds, drifts).map_or(0, |all| all.ncols() - n_confounds)
            }
            Filter::Cosine { high_pass: found } => {
                let (field, expected) = ("high_pass", "a frequency above 0 Hz");
                return Err(Error::Setting { field, found, expected });
            }
            _ => 0,
        };
        let n_trends = self.detrend.n_polynomials().saturating_sub(1);
        Ok(DegreesOfFreedom { n_kept, n_confounds, n_trends, n_filter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::Detrend;

    fn confounds(n_frames: usize, n_columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((n_frames, n_columns), |(t, c)| ((t * (c + 3) * 7) % 11) as f64)
    }

    #[test]
    fn columns_constant_and_trend_count_against_the_kept_frames() {
        let config = SignalConfig { detrend: Detrend::Linear, ..SignalConfig::default() };
        let all = confounds(30, 30);
        let found = config.degrees_of_freedom(30, 2.0, Some(&all), None).unwrap();
        assert_eq!((found.n_taken(), found.left()), (32, 0));
        assert_eq!(
            found.to_string(),
            "32 columns (30 confounds, constant, 1 trend) out of 30 frames"
        );
        let kept: Vec<usize> = (0..20).collect();
        let few = confounds(30, 6);
        let found = config.degrees_of_freedom(30, 2.0, Some(&few), Some(&kept)).unwrap();
        assert_eq!(found.left(), 12);
        assert!(config.degrees_of_freedom(30, 2.0, None, Some(&[3])).is_err());
    }

    // a band of 0.01 to 0.1 Hz at 2 s holds 36 % of the 0.25 Hz that there are
    #[test]
    fn a_filter_takes_the_frequencies_that_it_stops() {
        let band = Filter::Butterworth { high_pass: Some(0.01), low_pass: Some(0.1) };
        let config = SignalConfig { filter: band, ..SignalConfig::default() };
        let found = config.degrees_of_freedom(200, 2.0, None, None).unwrap();
        assert_eq!((found.n_filter, found.left()), (7 + 119, 73));
        // scipy's sosfiltfilt needs 34 frames of a band-pass and 19 of one edge
        let short = config.degrees_of_freedom(33, 2.0, None, None).unwrap_err().to_string();
        assert_eq!(short, "a filter that runs both ways needs at least 34 frames, found 33");
        assert!(config.degrees_of_freedom(34, 2.0, None, None).is_ok());
        let kept: Vec<usize> = (10..40).collect();
        assert!(config.degrees_of_freedom(60, 2.0, None, Some(&kept)).is_err());
        let made_up = SignalConfig { extrapolate: true, ..config };
        assert!(made_up.degrees_of_freedom(60, 2.0, None, Some(&kept)).is_ok());
        let low = Filter::Butterworth { high_pass: None, low_pass: Some(0.1) };
        let config = SignalConfig { filter: low, ..SignalConfig::default() };
        assert!(config.degrees_of_freedom(18, 2.0, None, None).is_err());
        assert!(config.degrees_of_freedom(19, 2.0, None, None).is_ok());
    }

    #[test]
    fn cosines_that_are_among_the_confounds_count_once() {
        let filter = Filter::Cosine { high_pass: 0.02 };
        let config = SignalConfig { filter, ..SignalConfig::default() };
        let found = config.degrees_of_freedom(60, 2.0, None, None).unwrap();
        assert_eq!((found.n_filter, found.left()), (4, 55));
        let drifts = cosine_drifts(60, 0.02, 2.0);
        let found = config.degrees_of_freedom(60, 2.0, Some(&drifts), None).unwrap();
        assert_eq!((found.n_confounds, found.n_filter, found.left()), (4, 0, 55));
    }
}
