//! `prepare`: scans as the code around a published encoder prepares them, by the name of its policy:
//! scale, repetition time, windows, and what becomes of short scans.
use std::path::{Path, PathBuf};

use encoder::{EncoderSpec, InputShape};
use flamingo::PackageFile;
use ndarray::Array1;
use scan::{EncoderPolicy, FittedNormalisation, PadPolicy, WindowsConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    normalise::{self, fitted_on, formula_name},
    said,
};
use crate::{
    AboutSeries, Data, Error, Fitted, Given, Kind, Made, Planned, Recording, Result, Step, StepId,
    StoredSeries, Timing, Training, step::Packing,
};

/// Which policy, and what may be chosen within it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrepareConfig {
    /// The policy: scale, repetition time and windows.
    pub policy: EncoderPolicy,
    /// What becomes of a scan that is shorter than a window; absent: what the policy's authors do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_scans: Option<PadPolicy>,
    /// Where the frames that Brain-JEPA's data sets pick begin; they draw it from 0 to 10. Absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_frame: Option<f64>,
    /// Numbers that were fitted before (`encoder stats --export`), taken instead of a fit; relative to the
    /// file that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<PathBuf>,
}

impl Step for PrepareConfig {
    fn id(&self) -> StepId {
        StepId { name: "prepare", version: 1 }
    }

    fn said(&self) -> String {
        said(self)
    }

    fn takes(&self) -> Kind {
        if self.policy.reads_volumes() { Kind::Volumes } else { Kind::ParcelSeries }
    }

    fn accepts(&self, given: Kind) -> Option<Kind> {
        // series of parcels may stand before the volumes of a policy that reads these
        let takes = given == Kind::ParcelSeries || given == self.takes();
        takes.then_some(Kind::ScanWindows)
    }

    fn check(&self) -> Result<()> {
        let setting = |field, found: String, expected: &str| {
            let (stage, expected) = (self.id().name, expected.to_owned());
            Err(Error::Setting { stage, field, found, expected })
        };
        match self.first_frame {
            Some(first) if !self.policy.picks() => {
                let expected = "no such setting: this policy picks no frames";
                setting("first_frame", first.to_string(), expected)
            }
            Some(first) if !(0.0..=10.0).contains(&first) => {
                setting("first_frame", first.to_string(), "0 to 10, as the authors draw it")
            }
            _ if self.policy.picks()
                && self.short_scans.is_some_and(|it| it != PadPolicy::Refuse) =>
            {
                let found = files::to_json(&self.short_scans);
                setting("short_scans", found, "refuse: there is nothing to pick from")
            }
            _ => Ok(()),
        }
    }

    fn makes(&self, made: &mut Made, _planned: Option<Planned<'_>>) -> Result<()> {
        self.finds(made.volumes.is_some(), made.parcels.is_some())?;
        match made.volumes.as_mut().filter(|_| self.policy.reads_volumes()) {
            Some(volumes) => {
                volumes.fits(self.policy)?;
                volumes.policy = Some(self.policy);
            }
            None => made.normalisation = Some(formula_name(self.policy.normalisation())),
        }
        made.cut = Some(self.windows());
        made.policy = Some(self.clone());
        Ok(())
    }

    fn timing(&self, given: Timing) -> Timing {
        let Some((n_frames, t_r_s)) = given.both() else {
            return Timing { n_frames: None, ..given };
        };
        Timing {
            n_frames: Some(self.policy.n_frames(n_frames, t_r_s)),
            t_r_s: Some(self.policy.t_r_s(t_r_s)),
        }
    }

    fn policy_in_words(&self) -> Option<String> {
        Some(self.in_words())
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        self.stats.iter_mut().collect()
    }

    fn cut(&self) -> Option<WindowsConfig> {
        Some(self.windows())
    }

    fn volume_policy(&self) -> Option<EncoderPolicy> {
        self.policy.reads_volumes().then_some(self.policy)
    }

    fn serves(&self, _windows: InputShape) -> bool {
        true
    }

    fn pack(&mut self, kept: &Packing<'_>) -> Result<Vec<PackageFile>> {
        if self.policy.reads_volumes() {
            return Ok(Vec::new());
        }
        Ok(normalise::pack(&mut self.stats, kept))
    }

    fn parts(&self) -> Vec<PathBuf> {
        if self.policy.reads_volumes() { Vec::new() } else { vec![normalise::FITTED.into()] }
    }

    fn is_by_recording(&self) -> bool {
        let formula = self.policy.normalisation();
        self.policy.reads_volumes() || self.stats.is_some() || formula.asks_each_alone()
    }

    fn learns_from(&self, training: &Training<'_>) -> Option<Value> {
        Some(fitted_on(self.stats.as_deref(), training))
    }

    /// Policies that ask each recording alone read one.
    fn fit(&self, training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        if self.policy.reads_volumes() {
            return Ok(Box::new(VolumePolicy(self.policy)));
        }
        let (stats, formula) = (self.stats.as_deref(), self.policy.normalisation());
        let fitted = normalise::fit(stats, formula, 1, training)?;
        Ok(Box::new(ByPolicy { config: self.clone(), fitted }))
    }

    fn after(
        &self,
        before: Option<AboutSeries>,
        kept: &dyn Fn(&str) -> PathBuf,
    ) -> Result<AboutSeries> {
        normalise::after(self.said(), before, kept)
    }
}

/// A policy for volumes, which are made by it when they are encoded.
struct VolumePolicy(EncoderPolicy);

impl Fitted for VolumePolicy {
    fn footprint(&self, _recording: &Recording, _given: Option<Given<'_>>) -> u64 {
        0
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        let Data::Volumes(mut volumes) = given else {
            unreachable!("the chain of steps was checked")
        };
        volumes.config.policy = Some(self.0);
        Ok(Data::Volumes(volumes))
    }
}

/// A policy for series, with its scale.
struct ByPolicy {
    config: PrepareConfig,
    fitted: FittedNormalisation,
}

impl Fitted for ByPolicy {
    fn footprint(&self, _recording: &Recording, given: Option<Given<'_>>) -> u64 {
        let Some(given) = given else { return 0 };
        given.n_bytes(self.config.policy.n_frames(given.facts.n_frames, given.facts.t_r_s))
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        Ok(self.config.prepared(&self.fitted, given.into_series())?.into())
    }

    fn decides(&self) -> Option<Value> {
        Some(normalise::digest(&self.fitted))
    }

    fn keep(&self, dir: &Path) -> Result<()> {
        normalise::keep(&self.fitted, dir)
    }
}

impl PrepareConfig {
    /// The windows of a scan.
    pub fn windows(&self) -> WindowsConfig {
        self.policy.windows(self.short_scans)
    }

    fn no_volumes(&self) -> Error {
        let problem = "its policy reads volumes, expected the stage volumes before it".to_owned();
        Error::StageInput { stage: self.id().name, problem }
    }

    /// Refuses a policy of volumes where no stage makes them.
    pub fn finds(&self, has_volumes: bool, has_series: bool) -> Result<()> {
        match (self.policy.reads_volumes(), has_volumes, has_series) {
            (true, false, _) => Err(self.no_volumes()),
            (false, _, false) => {
                let problem =
                    "its policy reads series of parcels, expected the stage parcellate before \
                               it"
                    .to_owned();
                Err(Error::StageInput { stage: self.id().name, problem })
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
        if scans.is_empty() {
            Ok(())
        } else {
            Err(Error::StageInput { stage: self.id().name, problem })
        }
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
