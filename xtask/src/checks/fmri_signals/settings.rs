//! nilearn's settings, as the recorded cases name them, in ours.

use std::path::Path;

use anyhow::{Context, Result, bail};
use ndarray::Array2;
use scan::{
    CompCor, ConfoundConfig, ConfoundStrategy, Detrend, Expansion, ExtractConfig, Filter,
    MotionScrub, NCompCor, Reduction, SignalConfig, Standardize, WorkingGrid,
};
use serde_json::Value;

use super::super::{
    Worst,
    recorded::{max_abs, max_rel, number, numbers},
};

/// What a `NiftiLabelsMasker` was told.
#[derive(Default)]
pub(super) struct Masker {
    pub(super) extract: ExtractConfig,
    pub(super) signal: SignalConfig,
    pub(super) masked: bool,
    pub(super) high_variance: bool,
    /// Whether nilearn worked in 32 bits; the README gives its sums 1e-5.
    pub(super) single: bool,
}

impl Masker {
    /// Reads arguments by name; an unknown one is an error, not a default.
    pub(super) fn of(arguments: &Value) -> Result<Self> {
        let mut masker = Self::default();
        let (mut high_pass, mut low_pass, mut filter) = (None, None, "butterworth");
        for (name, value) in arguments.as_object().context("a masker without arguments")? {
            match (name.as_str(), value) {
                ("t_r", _) => {}
                ("resampling_target", _) if value == "labels" => {
                    masker.extract.grid = WorkingGrid::Labels;
                }
                ("resampling_target", _) => masker.extract.grid = WorkingGrid::Data,
                ("strategy", _) => masker.extract.reduction = reduction(value)?,
                ("mask_img", _) => masker.masked = value == true,
                ("high_variance_confounds", _) => masker.high_variance = value == true,
                ("smoothing_fwhm", Value::Number(_)) => {
                    masker.extract.smoothing_fwhm_mm = Some([number(value); 3]);
                }
                ("smoothing_fwhm", _) => {
                    let axes = numbers(value).try_into().ok().context("three axes")?;
                    masker.extract.smoothing_fwhm_mm = Some(axes);
                }
                ("detrend", _) if value == true => masker.signal.detrend = Detrend::Linear,
                ("detrend", _) => masker.signal.detrend = Detrend::None,
                ("standardize_confounds", _) => {
                    masker.signal.standardize_confounds = value == true;
                }
                ("standardize", _) => masker.signal.standardize = scale(value)?,
                ("high_pass", _) => high_pass = value.as_f64(),
                ("low_pass", _) => low_pass = value.as_f64(),
                ("filter", Value::String(name)) => filter = name,
                ("clean_args", _) => {
                    if let Some(name) = value["filter"].as_str() {
                        filter = name;
                    }
                    masker.signal.extrapolate = value["extrapolate"] == true;
                }
                _ => bail!("no setting of ours for {name} = {value}"),
            }
        }
        masker.signal.filter = match (filter, high_pass, low_pass) {
            (_, None, None) => Filter::None,
            ("cosine", Some(high_pass), _) => Filter::Cosine { high_pass },
            ("butterworth", high_pass, low_pass) => Filter::Butterworth { high_pass, low_pass },
            _ => bail!("no filter of ours for {filter}"),
        };
        Ok(masker)
    }

    /// What decides the series before they are cleaned.
    pub(super) fn extraction_key(&self) -> String {
        format!("{:?} {}", self.extract, self.masked)
    }

    /// Whether nilearn worked on a run in 32 bits: it does where the file holds 32-bit floats, and
    /// where unscaled whole numbers are blurred, resampled or searched for loud voxels.
    pub(super) fn is_single(&self, run: &Path) -> Result<bool> {
        let inspection = scan::inspect(run)?;
        let unscaled = inspection.scaling.is_none_or(|s| (s.slope, s.inter) == (1.0, 0.0));
        let moved = self.extract.smoothing_fwhm_mm.is_some()
            || self.extract.grid == WorkingGrid::Labels
            || self.high_variance;
        let whole = inspection.dtype.contains("int") && unscaled && moved;
        Ok(inspection.dtype == "float32" || whole)
    }

    /// Compares at the tolerance the README gives for these settings.
    pub(super) fn compare(&self, worst: &mut Worst, found: &Array2<f64>, expected: &Array2<f64>) {
        let filtered = matches!(self.signal.filter, Filter::Butterworth { .. });
        let (what, error, tolerance) = match self.signal.standardize {
            _ if self.single => ("32-bit series (rel)", max_rel(found, expected), 1e-5),
            Standardize::None => {
                let tolerance = match (self.extract.grid, filtered) {
                    (WorkingGrid::Labels, _) => 1e-6,
                    (_, true) => 1e-7,
                    _ => 1e-9,
                };
                ("series (rel)", max_rel(found, expected), tolerance)
            }
            _ => ("standardised series (abs)", max_abs(found, expected), 1e-6),
        };
        worst.add(what, error, tolerance);
    }
}

fn reduction(value: &Value) -> Result<Reduction> {
    Ok(match value.as_str().unwrap_or_default() {
        "mean" => Reduction::Mean,
        "median" => Reduction::Median,
        "sum" => Reduction::Sum,
        "minimum" => Reduction::Minimum,
        "maximum" => Reduction::Maximum,
        "variance" => Reduction::Variance,
        "standard_deviation" => Reduction::StandardDeviation,
        other => bail!("no reduction of ours for {other}"),
    })
}

fn scale(value: &Value) -> Result<Standardize> {
    Ok(match value.as_str() {
        Some("zscore_sample") => Standardize::ZscoreSample,
        Some("psc") => Standardize::Psc,
        None if value == true => Standardize::ZscoreSample,
        None => Standardize::None,
        Some(other) => bail!("no scale of ours for {other}"),
    })
}

/// What `load_confounds_strategy` or `load_confounds` was told.
pub(super) fn strategy(case: &Value) -> Result<ConfoundConfig> {
    let arguments = &case["args"];
    let text = |name: &str| arguments[name].as_str();
    let mut config = match (case["function"].as_str(), text("denoise_strategy")) {
        (Some("load_confounds_strategy"), Some("simple") | None) => {
            ConfoundStrategy::Simple.config()
        }
        (Some("load_confounds_strategy"), Some("scrubbing")) => {
            ConfoundStrategy::Scrubbing.config()
        }
        (Some("load_confounds_strategy"), Some("compcor")) => ConfoundStrategy::CompCor.config(),
        (Some("load_confounds"), None) => by_parts(arguments)?,
        other => bail!("no confounds of ours for {other:?}"),
    };
    if let (Some(old), Some(new)) = (config.motion, text("motion")) {
        config.motion = Some(expansion(new).unwrap_or(old));
    }
    if let (Some(old), Some(new)) = (config.wm_csf, text("wm_csf")) {
        config.wm_csf = Some(expansion(new).unwrap_or(old));
    }
    if let Some(new) = text("global_signal") {
        let named = case["function"] == "load_confounds_strategy" || config.global_signal.is_some();
        config.global_signal = expansion(new).filter(|_| named);
    }
    if let Some(scrub) = &mut config.scrub {
        let set = |to: &mut f64, name: &str| {
            if let Some(x) = arguments[name].as_f64() {
                *to = x;
            }
        };
        set(&mut scrub.fd_mm, "fd_threshold");
        if let Some(std_dvars) = &mut scrub.std_dvars {
            set(std_dvars, "std_dvars_threshold");
        }
        if let Some(n) = arguments["scrub"].as_u64() {
            scrub.min_segment = n as usize;
        }
    }
    if let Some((kind, n)) = &mut config.compcor {
        *kind = match text("compcor") {
            None => *kind,
            Some("anat_combined") => CompCor::AnatCombined,
            Some("anat_separated") => CompCor::AnatSeparated,
            Some("temporal") => CompCor::Temporal,
            Some("temporal_anat_combined") => CompCor::TemporalAnatCombined,
            Some("temporal_anat_separated") => CompCor::TemporalAnatSeparated,
            Some(other) => bail!("no components of ours for {other}"),
        };
        if let Some(first) = arguments["n_compcor"].as_u64() {
            *n = NCompCor::First(first as usize);
        }
    }
    if let Some(demean) = arguments["demean"].as_bool() {
        config.demean = demean;
    }
    Ok(config)
}

/// The parts a list names, with nilearn's defaults.
fn by_parts(arguments: &Value) -> Result<ConfoundConfig> {
    let mut config = ConfoundConfig {
        motion: None,
        wm_csf: None,
        global_signal: None,
        high_pass: false,
        compcor: None,
        scrub: None,
        columns: Vec::new(),
        demean: true,
    };
    let parts = arguments["strategy"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| ["motion", "high_pass", "wm_csf"].map(Value::from).to_vec());
    for part in &parts {
        match part.as_str().unwrap_or_default() {
            "motion" => config.motion = Some(Expansion::Full),
            "wm_csf" => config.wm_csf = Some(Expansion::Basic),
            "global_signal" => config.global_signal = Some(Expansion::Basic),
            "high_pass" => config.high_pass = true,
            "compcor" => config.compcor = Some((CompCor::AnatCombined, NCompCor::All)),
            "scrub" => {
                config.scrub =
                    Some(MotionScrub { min_segment: 5, fd_mm: 0.5, std_dvars: Some(1.5) });
            }
            "non_steady_state" => {}
            other => bail!("no confounds of ours for {other}"),
        }
    }
    Ok(config)
}

fn expansion(name: &str) -> Option<Expansion> {
    match name {
        "basic" => Some(Expansion::Basic),
        "derivatives" => Some(Expansion::Derivatives),
        "power2" => Some(Expansion::Power2),
        "full" => Some(Expansion::Full),
        _ => None,
    }
}
