//! Parcel series cleaned as `nilearn.signal.clean` does it, in 64 bits.
//!
//! ```text
//! no filter, cosine:  censor ─→ detrend ──────────────────────→ confounds ─→ standardise
//! Butterworth:        bridge ─→ detrend ─→ filter ─→ censor ──→ confounds ─→ standardise
//! ```
//!
//! Confounds are detrended and filtered like the signals, so that regression cannot bring back what
//! the filter took (Lindquist et al. 2019). Source: nilearn 0.14.1.

mod design;
mod freedom;
mod regress;
mod scrub;
mod sos;
mod spline;

use ndarray::{Array2, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::freedom::DegreesOfFreedom;
pub(crate) use self::{design::anti_alias, spline::Spline};
use self::{
    design::butterworth,
    regress::{cosine_drifts, n_cosine_drifts, regress, with_drifts},
    scrub::Bridge,
};
use crate::{
    clean::{
        CONSTANT, Detrend, Standardize, column_deviations, column_means, polynomials, project_out,
    },
    error::{Error, Result},
};

/// Means below this share of the means before cleaning are none: psc then uses the latter.
const NO_MEAN: f64 = 0.1;

/// What is done to every series, in nilearn's order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalConfig {
    /// Which trend is taken out first; nilearn's is linear.
    pub detrend: Detrend,
    /// Which frequencies go.
    pub filter: Filter,
    /// To which scale the series is brought at the end.
    pub standardize: Standardize,
    /// Whether confounds are centred and scaled before they are regressed out. Uncentred confounds
    /// may take the mean of the signals with them.
    pub standardize_confounds: bool,
    /// Whether a Butterworth filter runs over made-up frames before the first and after the last
    /// kept one; otherwise they are cut off.
    pub extrapolate: bool,
    /// Reproduces two things of nilearn 0.14 that are not right: censored frame i is bridged only
    /// where frame n − 1 − i is kept, and the rounding that is left of a constant series is
    /// standardised like a signal.
    pub nilearn_compat: bool,
}

/// Frequencies in Hz.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Filter {
    /// All stay.
    None,
    /// Order five, forwards and backwards.
    Butterworth {
        /// Slower changes go.
        high_pass: Option<f64>,
        /// Faster changes go.
        low_pass: Option<f64>,
    },
    /// Slow cosines are regressed out with the confounds.
    Cosine {
        /// Slower changes go.
        high_pass: f64,
    },
}

impl Default for SignalConfig {
    /// Nothing is done, and nilearn's defaults for the rest.
    fn default() -> Self {
        Self {
            detrend: Detrend::None,
            filter: Filter::None,
            standardize: Standardize::None,
            standardize_confounds: true,
            extrapolate: false,
            nilearn_compat: false,
        }
    }
}

impl SignalConfig {
    /// The most bytes that cleaning `n_series` takes beside its input, `n_confounds` with it.
    pub fn n_bytes(&self, n_frames: usize, n_series: usize, n_confounds: usize, t_r: f64) -> u64 {
        let n_drifts = match self.filter {
            Filter::Cosine { high_pass } => n_cosine_drifts(n_frames, high_pass, t_r),
            _ => 0,
        };
        let n_confounds = n_confounds.saturating_add(n_drifts) as u64;
        // Series with two copies: bridged and cut, or on their way through a product or a spread.
        // Confounds are also joined with drifts, scaled, and made a basis.
        8 * (n_frames as u64).saturating_mul(3 * n_series as u64 + n_confounds.saturating_mul(6))
    }
}

/// Cleans series `(n_frames, n_series)` of which the frames `kept` are good; all of them, where
/// nothing is given. Confounds are `(n_frames, n_confounds)`; `t_r` is in seconds.
///
/// ```
/// use ndarray::array;
/// use scan::{SignalConfig, Standardize, clean_signals};
///
/// let series = array![[1.0], [5.0], [3.0], [7.0], [90.0]];
/// let config = SignalConfig { standardize: Standardize::ZscoreSample, ..Default::default() };
/// let cleaned = clean_signals(&series, 2.0, None, Some(&[0, 1, 2, 3]), &config)?;
/// assert_eq!(cleaned.nrows(), 4);
/// assert!(cleaned.sum().abs() < 1e-12);
/// # Ok::<(), scan::Error>(())
/// ```
pub fn clean_signals(
    series: &Array2<f64>,
    t_r: f64,
    confounds: Option<&Array2<f64>>,
    kept: Option<&[usize]>,
    config: &SignalConfig,
) -> Result<Array2<f64>> {
    check(series, confounds, kept)?;
    let n_frames = series.nrows();
    let confounds = match config.filter {
        Filter::Cosine { high_pass } if high_pass.is_finite() && high_pass > 0.0 => {
            with_drifts(confounds, cosine_drifts(n_frames, high_pass, t_r))
        }
        Filter::Cosine { high_pass: found } => {
            let (field, expected) = ("high_pass", "a frequency above 0 Hz");
            return Err(Error::Setting { field, found, expected });
        }
        _ => confounds.cloned(),
    };
    let peaks = series.fold_axis(Axis(0), 0.0, |peak: &f64, x| x.abs().max(*peak));
    let filter = match config.filter {
        Filter::Butterworth { high_pass: None, low_pass: None } => None,
        Filter::Butterworth { high_pass, low_pass } => Some(butterworth(t_r, high_pass, low_pass)?),
        _ => None,
    };
    let both = [Some(series.clone()), confounds];
    let [signals, confounds] = match (&filter, kept) {
        (_, None) => both,
        (None, Some(kept)) => both.map(|x| x.map(|x| x.select(Axis(0), kept))),
        (Some(_), Some(kept)) => {
            let mirrored = config.nilearn_compat;
            let bridge = Bridge { t_r, extrapolate: config.extrapolate, mirrored };
            let [signals, confounds] = both.map(|x| x.map(|x| bridge.over(&x, kept)).transpose());
            [signals?, confounds?]
        }
    };
    let mut signals = signals.expect("the first of both are the signals");
    let means_before = column_means(&signals);
    let prepare = |mut x: Array2<f64>| -> Result<Array2<f64>> {
        project_out(&polynomials(x.nrows(), config.detrend.n_polynomials()), &mut x);
        let Some(filter) = &filter else { return Ok(x) };
        for mut column in x.columns_mut() {
            let mut one = column.to_vec();
            filter.apply(&mut one)?;
            column.iter_mut().zip(one).for_each(|(to, x)| *to = x);
        }
        match kept {
            None => Ok(x),
            Some(kept) => select_kept(&x, kept, config.extrapolate),
        }
    };
    signals = prepare(signals)?;
    if let Some(confounds) = confounds.map(prepare).transpose()? {
        regress(&mut signals, confounds, config.standardize_confounds);
    }
    let limit = if config.nilearn_compat { peaks * 0.0 } else { peaks * CONSTANT };
    standardize(&mut signals, config.standardize, &means_before, &limit);
    Ok(signals)
}

/// The kept frames of series that were bridged, whose first frames may be gone.
fn select_kept(series: &Array2<f64>, kept: &[usize], extrapolated: bool) -> Result<Array2<f64>> {
    let shift = if extrapolated { 0 } else { kept[0] };
    let rows: Vec<usize> = kept.iter().map(|frame| frame - shift).collect();
    match rows.last() {
        Some(&last) if last >= series.nrows() => {
            Err(Error::KeptFrame { found: last, n_frames: series.nrows() })
        }
        _ => Ok(series.select(Axis(0), &rows)),
    }
}

fn check(
    series: &Array2<f64>,
    confounds: Option<&Array2<f64>>,
    kept: Option<&[usize]>,
) -> Result<()> {
    let n_frames = series.nrows();
    if n_frames < 2 {
        return Err(Error::TooFewFrames { task: "cleaning", found: n_frames, expected: 2 });
    }
    for values in [Some(series), confounds].into_iter().flatten() {
        if values.nrows() != n_frames {
            return Err(Error::ConfoundFrames { found: values.nrows(), expected: n_frames });
        }
        let found = values.iter().filter(|x| !x.is_finite()).count();
        if found > 0 {
            return Err(Error::NonFiniteSeries { found, total: values.len() });
        }
    }
    let Some(kept) = kept else { return Ok(()) };
    if kept.len() < 2 {
        return Err(Error::TooFewFrames { task: "cleaning", found: kept.len(), expected: 2 });
    }
    let wrong = kept.windows(2).find(|pair| pair[0] >= pair[1]).map(|pair| pair[1]);
    match wrong.or(kept.last().copied().filter(|&last| last >= n_frames)) {
        Some(found) => Err(Error::KeptFrame { found, n_frames }),
        None => Ok(()),
    }
}

fn standardize(
    signals: &mut Array2<f64>,
    scale: Standardize,
    means_before: &ndarray::Array1<f64>,
    constant: &ndarray::Array1<f64>,
) {
    let means = column_means(signals);
    let size = |means: &ndarray::Array1<f64>| means.mapv(f64::abs).sum();
    match scale {
        Standardize::None => {}
        Standardize::ZscoreSample => {
            let deviations = column_deviations(signals);
            *signals -= &means;
            for (mut column, (&deviation, &constant)) in
                signals.columns_mut().into_iter().zip(deviations.iter().zip(constant))
            {
                let divisor = if deviation < f64::EPSILON { 1.0 } else { deviation };
                let factor = if deviation <= constant { 0.0 } else { 1.0 / divisor };
                column.mapv_inplace(|x| x * factor);
            }
        }
        Standardize::Psc => {
            let lost = size(&means) / size(means_before) < NO_MEAN;
            let levels = if lost { &means + means_before } else { means.clone() };
            *signals -= &means;
            for (mut column, &level) in signals.columns_mut().into_iter().zip(&levels) {
                let level = level.abs();
                let factor = if level < f64::EPSILON { 0.0 } else { 100.0 / level };
                column.mapv_inplace(|x| x * factor);
            }
        }
    }
}

#[cfg(test)]
mod tests;
