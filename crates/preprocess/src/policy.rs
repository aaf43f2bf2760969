//! The policy by which the code around a published encoder prepares scans, and what may be chosen within it.
use std::path::PathBuf;

use encoder::EncoderSpec;
use ndarray::Array1;
use scan::{EncoderPolicy, FittedNormalisation, PadPolicy, WindowsConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Recording, Result, StoredSeries};

/// Name and version of the step that applies the policy.
pub(crate) const STEP: (&str, u32) = ("prepare", 1);

/// Which policy, and what may be chosen within it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrepareConfig {
    /// The policy: scale, repetition time and windows.
    pub policy: EncoderPolicy,
    /// How a scan shorter than a window is handled. Default: as the policy's authors do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_scans: Option<PadPolicy>,
    /// Where the frames that Brain-JEPA's data sets pick begin; they draw it from 0 to 10. Absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_frame: Option<f64>,
    /// File of fitted statistics (`encoder stats --export`) to use instead of fitting; relative to
    /// the file that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<PathBuf>,
}

impl PrepareConfig {
    /// The windows of a scan.
    pub fn windows(&self) -> WindowsConfig {
        self.policy.windows(self.short_scans)
    }

    fn no_volumes() -> Error {
        let problem = "its policy reads volumes, expected the stage volumes before it".to_owned();
        Error::StageInput { stage: STEP.0, problem }
    }

    /// Refuses a policy of volumes where no stage makes them.
    pub fn finds(&self, has_volumes: bool, has_series: bool) -> Result<()> {
        match (self.policy.reads_volumes(), has_volumes, has_series) {
            (true, false, _) => Err(Self::no_volumes()),
            (false, _, false) => {
                let problem =
                    "its policy reads series of parcels, expected the stage parcellate before \
                               it"
                    .to_owned();
                Err(Error::StageInput { stage: STEP.0, problem })
            }
            _ => Ok(()),
        }
    }

    /// A series on the scale and at the rate; one that is too short where that is refused fails.
    pub fn prepared(
        &self,
        fitted: &FittedNormalisation,
        mut series: StoredSeries,
    ) -> Result<StoredSeries> {
        let t_r_s = series.facts.t_r_s;
        let first = self.first_frame.unwrap_or(0.0);
        let found = self.policy.prepare(&series.values, t_r_s, fitted, first)?;
        let windows = self.windows();
        if windows.pad == PadPolicy::Refuse {
            windows.first_frames(found.values.nrows())?;
        }
        // displacement is a fact of the frames that were: no curve goes through it
        series.fd_mm = series.fd_mm.map(|fd_mm| {
            found
                .frames
                .iter()
                .map(|&frame| fd_mm[frame.min(fd_mm.len() - 1)])
                .collect::<Array1<_>>()
        });
        series.values = found.values;
        series.facts.t_r_s = found.t_r_s;
        series.facts.n_frames = series.values.nrows();
        Ok(series)
    }

    /// Refuses what the encoder's authors' code does not do with a short scan, and the tokens that a
    /// masked one of the cohort would lack.
    pub fn fits(&self, encoder: &EncoderSpec, learned: bool, scans: &[Recording]) -> Result<()> {
        let windows = self.windows();
        encoder.check_short_scans(windows.pad, learned).map_err(Error::Encoder)?;
        if windows.pad == PadPolicy::Refuse {
            return self.some_long_enough(&windows, scans);
        }
        if windows.pad != PadPolicy::Masked || !encoder.drops_masked {
            return Ok(());
        }
        let short = scans.iter().find_map(|scan| {
            let n_frames = self.frames_of(scan)?;
            (n_frames < windows.n_frames).then_some(n_frames)
        });
        match short {
            Some(n_real) if !encoder.tokens.fits_short_windows() => {
                Err(Error::Encoder(encoder.too_few_tokens(n_real)))
            }
            _ => Ok(()),
        }
    }

    /// Frames of a scan afterwards, as far as its header says.
    fn frames_of(&self, scan: &Recording) -> Option<usize> {
        Some(self.policy.n_frames(scan.n_frames?, scan.t_r_s?))
    }

    /// Refuses a cohort of which no scan is long enough.
    fn some_long_enough(&self, windows: &WindowsConfig, scans: &[Recording]) -> Result<()> {
        let needed = if self.policy.picks() { 480 } else { windows.n_frames };
        let mut longest = 0;
        for scan in scans {
            let found = if self.policy.picks() { scan.n_frames } else { self.frames_of(scan) };
            match found {
                Some(n_frames) if n_frames < needed => longest = longest.max(n_frames),
                // one is long enough, or its header does not say
                _ => return Ok(()),
            }
        }
        let other = if self.policy.picks() {
            "another policy"
        } else {
            "another policy, or `short_scans`,"
        };
        let problem = format!(
            "no scan has the {needed} frames that it needs, the longest has {longest}: {other} fills scans up"
        );
        if scans.is_empty() { Ok(()) } else { Err(Error::StageInput { stage: STEP.0, problem }) }
    }

    /// What becomes of a cohort's scans, as far as their headers say; nothing where none says.
    pub fn of_cohort(&self, scans: &[Recording]) -> Option<String> {
        let windows = self.windows();
        let before: Vec<(usize, f64)> =
            scans.iter().filter_map(|scan| Some((scan.n_frames?, scan.t_r_s?))).collect();
        let after: Vec<usize> =
            before.iter().map(|&(n, t_r_s)| self.policy.n_frames(n, t_r_s)).collect();
        let n_windows = after.iter().map(|&n| match windows.first_frames(n) {
            Ok(starts) => starts.len(),
            Err(_) => usize::from(windows.pad != PadPolicy::Refuse),
        });
        let (n_windows, most) = (spread(n_windows.clone())?, n_windows.max());
        let short = match after.iter().filter(|n| **n < windows.n_frames).count() {
            0 => String::new(),
            n => format!("; shorter than a window: {n} of {}", after.len()),
        };
        Some(format!(
            "{} frames of {} s become {} of {} s: {n_windows} {} a scan{short}",
            spread(before.iter().map(|it| it.0))?,
            spread(before.iter().map(|it| Seconds(it.1)))?,
            spread(after.iter().copied())?,
            spread(before.iter().map(|it| Seconds(self.policy.t_r_s(it.1))))?,
            if most == Some(1) { "window" } else { "windows" },
        ))
    }

    /// The policy in words, for a plan and a card.
    pub fn in_words(&self) -> String {
        let name = serde_json::to_value(self.policy).expect("a plain word");
        let name = name.as_str().unwrap_or_default().to_owned();
        let windows = self.windows();
        let rate = match self.policy.rate() {
            Some(rate) => format!("to {} s", rate.t_r_s),
            None => "frames picked".to_owned(),
        };
        let short = match windows.pad {
            PadPolicy::Refuse => "left out",
            PadPolicy::MeanFrame => "filled up with their mean frame",
            PadPolicy::Repeat => "filled up by repetition",
            PadPolicy::Zeros => "filled up with zeros",
            PadPolicy::Masked => "masked",
        };
        format!("{name}, {rate}, windows of {} frames, short scans {short}", windows.n_frames)
    }
}

/// The least and the most of these; nothing where there are none.
fn spread<T: PartialOrd + Clone + ToString>(all: impl Iterator<Item = T>) -> Option<String> {
    let mut ends: Option<(T, T)> = None;
    for it in all {
        ends = Some(match ends {
            None => (it.clone(), it),
            Some((least, most)) if it < least => (it, most),
            Some((least, most)) if it > most => (least, it),
            Some(ends) => ends,
        });
    }
    let (least, most) = ends?;
    let (least, most) = (least.to_string(), most.to_string());
    Some(if least == most { least } else { format!("{least} to {most}") })
}

/// Seconds that are compared as numbers and shown as everywhere.
#[derive(Clone, PartialEq, PartialOrd)]
struct Seconds(f64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&scan::seconds(self.0))
    }
}
