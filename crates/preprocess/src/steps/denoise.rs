//! `denoise`: trends, frequencies and confounds out of each parcel series.
use std::path::Path;

use ndarray::{Array2, Axis};
use scan::{
    ConfoundConfig, ConfoundStrategy, ConfoundTable, Confounds, Detrend, Filter, SignalConfig,
    clean_signals,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::said;
use crate::{
    Data, Error, Fitted, Given, Inputs, Recording, Result, Step, StepId, StoredSeries, Timing,
    Training,
    settings::{Rule, Settings},
};

/// What is taken out of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DenoiseConfig {
    /// Trend, frequencies, scale.
    pub signal: SignalConfig,
    /// Nuisance series that are regressed out, and frames that are left out.
    pub confounds: Nuisance,
    /// The fewest degrees of freedom that must be left: kept frames less confounds, constant, trends
    /// and what the filter takes. A scan with fewer is left out, because what remains would be noise
    /// of rounding on the scale of a signal. 10 where it is absent.
    #[serde(default = "ten")]
    pub min_degrees_of_freedom: usize,
}

const FREQUENCY: Rule = ("a frequency above 0 Hz", |hz| hz.is_finite() && hz > 0.0);

fn ten() -> usize {
    10
}

/// The columns that are regressed out and the frames that are kept, where there are any.
type Chosen<'a> = (Option<&'a Array2<f64>>, Option<&'a [usize]>);

/// Which nuisance series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nuisance {
    /// None.
    None,
    /// A usual set.
    Strategy(ConfoundStrategy),
    /// Column by column.
    Columns(ConfoundConfig),
}

impl Nuisance {
    fn config(&self) -> Option<ConfoundConfig> {
        match self {
            Self::None => None,
            Self::Strategy(strategy) => Some(strategy.config()),
            Self::Columns(config) => Some(config.clone()),
        }
    }
}

impl Step for DenoiseConfig {
    fn id(&self) -> StepId {
        StepId { name: "denoise", version: 2 }
    }

    fn said(&self) -> String {
        said(self)
    }

    fn check(&self) -> Result<()> {
        let (settings, least) = (Settings(self.id().name), self.min_degrees_of_freedom);
        settings.at_least(1, &[("min_degrees_of_freedom", least)])?;
        let edges = self.edges();
        for (field, hz) in &edges {
            settings.numbers(FREQUENCY, &[(field, *hz)])?;
        }
        match edges[..] {
            [(field, high), (_, low)] if high >= low => {
                settings.refuse(field, &high, &format!("below low_pass, which is {low} Hz"))
            }
            _ => Ok(()),
        }
    }

    fn asks_for_confounds(&self) -> bool {
        self.confounds != Nuisance::None
    }

    fn check_recording(&self, recording: &Recording, given: Timing) -> Result<()> {
        match given.t_r_s {
            _ if given == Timing::in_file(recording) => self.check_scan(recording),
            Some(t_r_s) => self.check_filter(t_r_s),
            None => Ok(()),
        }
    }

    fn decides(&self, recording: &Recording, inputs: &dyn Inputs) -> Result<Option<Value>> {
        Ok(Some(json!(inputs.digest_if(recording.confounds.as_deref())?)))
    }

    fn in_methods(&self) -> Option<String> {
        let SignalConfig { detrend, filter, .. } = self.signal;
        let parts = [
            (detrend == Detrend::None, "trends"),
            (filter == Filter::None, "frequencies outside of the pass band"),
            (self.confounds == Nuisance::None, "confounds"),
        ];
        let out: Vec<&str> =
            parts.iter().filter(|(stays, _)| !stays).map(|(_, what)| *what).collect();
        let out = if out.is_empty() { "nothing".to_owned() } else { out.join(", ") };
        Some(format!("Denoising took out of the parcel series: {out}."))
    }

    fn fit(&self, _training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        Ok(Box::new(self.clone()))
    }
}

impl Fitted for DenoiseConfig {
    fn footprint(&self, recording: &Recording, given: Option<Given<'_>>) -> u64 {
        let Some(given) = given else { return 0 };
        let (n_frames, t_r_s) = (given.facts.n_frames, given.facts.t_r_s);
        let path = recording.confounds.as_deref().filter(|_| self.asks_for_confounds());
        // a table that cannot be read will say so
        let table = path.and_then(|it| ConfoundTable::footprint(it, n_frames).ok());
        let (n_confounds, n_bytes) = table.unwrap_or_default();
        let signal = self.signal.n_bytes(n_frames, given.n_columns, n_confounds, t_r_s);
        given.n_bytes(n_frames) + n_bytes + signal
    }

    fn apply(&self, recording: &Recording, given: Data) -> Result<Data> {
        Ok(self.clean(recording, given.into_series())?.into())
    }
}

impl DenoiseConfig {
    /// A scan's series without what is taken out.
    pub fn clean(&self, scan: &Recording, mut series: StoredSeries) -> Result<StoredSeries> {
        self.needs_all_frames(scan)?;
        let chosen = self.chosen(scan.confounds.as_deref())?;
        let (t_r_s, n_frames) = (series.facts.t_r_s, series.values.nrows());
        let (values, kept) = self.fitting(chosen.as_ref(), n_frames, t_r_s)?;
        series.values = clean_signals(&series.values, t_r_s, values, kept, &self.signal)?;
        if let Some(kept) = kept {
            series.fd_mm = series.fd_mm.map(|fd_mm| fd_mm.select(Axis(0), kept));
        }
        series.facts.n_frames = series.values.nrows();
        if let Some(kept) = kept {
            // those that were left out before count on
            let in_file = |&frame: &usize| series.facts.kept.as_ref().map_or(frame, |it| it[frame]);
            series.facts.kept = Some(kept.iter().map(in_file).collect());
        }
        Ok(series)
    }

    /// The edges of the filter in Hz, high pass first, by their keys.
    fn edges(&self) -> Vec<(&'static str, f64)> {
        match self.signal.filter {
            Filter::None => Vec::new(),
            Filter::Butterworth { high_pass, low_pass } => {
                let high = high_pass.map(|hz| ("signal.filter.butterworth.high_pass", hz));
                let low = low_pass.map(|hz| ("signal.filter.butterworth.low_pass", hz));
                high.into_iter().chain(low).collect()
            }
            Filter::Cosine { high_pass } => vec![("signal.filter.cosine.high_pass", high_pass)],
        }
    }

    /// Refuses a filter whose edges are no frequencies of a series with so many seconds between frames.
    pub fn check_filter(&self, t_r_s: f64) -> Result<()> {
        let nyquist = 0.5 / t_r_s;
        match self.edges().into_iter().find(|(_, hz)| *hz >= nyquist) {
            None => Ok(()),
            Some((field, hz)) => {
                let expected = format!(
                    "below {} Hz, half the sampling rate at {} s a frame",
                    scan::seconds(nyquist),
                    scan::seconds(t_r_s)
                );
                Settings(self.id().name).refuse(field, &hz, &expected)
            }
        }
    }

    /// Refuses what [`clean`](Self::clean) would refuse of a scan, by its header and its confounds.
    pub fn check_scan(&self, scan: &Recording) -> Result<()> {
        self.needs_all_frames(scan)?;
        let chosen = self.chosen(scan.confounds.as_deref())?;
        let n_rows = chosen.as_ref().map(|chosen| chosen.values.nrows());
        let Some(n_frames) = scan.n_frames.or(n_rows) else { return Ok(()) };
        // where no header says a repetition time, everything else is still true
        let t_r_s = scan.t_r_s.unwrap_or(1.0);
        if scan.t_r_s.is_none() && self.signal.filter != Filter::None {
            return Ok(());
        }
        self.fitting(chosen.as_ref(), n_frames, t_r_s).map(drop)
    }

    /// Refuses what cannot be done where frames of a run were left out before.
    fn needs_all_frames(&self, scan: &Recording) -> Result<()> {
        let what = match (&self.confounds, self.signal.filter) {
            (Nuisance::Strategy(_) | Nuisance::Columns(_), _) => "confounds",
            (Nuisance::None, Filter::Butterworth { .. } | Filter::Cosine { .. }) => "filters",
            (Nuisance::None, Filter::None) => return Ok(()),
        };
        let Some(kept) = &scan.kept else { return Ok(()) };
        let problem = format!(
            "the scan has {} of the {} frames of its run, and {what} ask for all of them",
            kept.frames.len(),
            kept.of
        );
        Err(Error::StageInput { stage: self.id().name, problem })
    }

    /// What a scan's table says of its frames.
    fn chosen(&self, confounds: Option<&Path>) -> Result<Option<Confounds>> {
        match (self.confounds.config(), confounds) {
            (None, _) => Ok(None),
            (Some(_), None) => {
                let (stage, problem) =
                    (self.id().name, "the scan has no confounds table".to_owned());
                Err(Error::StageInput { stage, problem })
            }
            (Some(config), Some(path)) => Ok(Some(ConfoundTable::read(path)?.select(&config)?)),
        }
    }

    /// The columns and the kept frames, unless they do not fit the scan or leave too little of it.
    fn fitting<'a>(
        &self,
        chosen: Option<&'a Confounds>,
        n_frames: usize,
        t_r_s: f64,
    ) -> Result<Chosen<'a>> {
        if let Some(chosen) = chosen
            && chosen.values.nrows() != n_frames
        {
            let found = chosen.values.nrows();
            return Err(scan::Error::ConfoundFrames { found, expected: n_frames }.into());
        }
        self.check_filter(t_r_s)?;
        let values = chosen.filter(|it| !it.names.is_empty()).map(|it| &it.values);
        let kept = chosen.and_then(|it| it.kept.as_deref());
        let degrees = self.signal.degrees_of_freedom(n_frames, t_r_s, values, kept)?;
        let (found, least) = (degrees.left(), self.min_degrees_of_freedom);
        if found < least {
            return Err(Error::DegreesOfFreedom { degrees, found, least });
        }
        Ok((values, kept))
    }
}
