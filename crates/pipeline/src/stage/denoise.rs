//! `denoise`: trends, frequencies and confounds out of each parcel series.
use std::path::Path;

use ndarray::Axis;
use scan::{ConfoundConfig, ConfoundStrategy, ConfoundTable, SignalConfig, clean_signals};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Artifact,
    parcellate::{SeriesFacts, StoredSeries},
    series::{self, Change},
    work::Work,
};
use crate::{Error, Result, event::Control, plan::ScanView, state::State};

/// What is taken out of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DenoiseConfig {
    /// Trend, frequencies, scale.
    pub signal: SignalConfig,
    /// Nuisance series that are regressed out, and frames that are left out.
    pub confounds: Nuisance,
}

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

impl Work for DenoiseConfig {
    fn name(&self) -> &'static str {
        "denoise"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::ParcelSeries, Artifact::ParcelSeries)
    }

    fn inputs(&self, state: &State<'_>) -> Value {
        let tables = (0..state.scans().len()).map(|idx| confounds(state, idx)).collect();
        series::keys(self, &super::said(self), &tables, state)
    }

    fn compute(&self, state: &State<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let more = |idx: usize| confounds(state, idx);
        let n_series = series::parcels(state).parcels.len();
        let cost = |idx: usize, facts: &SeriesFacts| {
            let path =
                state.scans()[idx].confounds.as_deref().filter(|_| self.asks_for_confounds());
            // a table that cannot be read will say so
            let table = path.and_then(|it| ConfoundTable::footprint(it, facts.n_frames).ok());
            let (n_confounds, n_bytes) = table.unwrap_or_default();
            let (n_frames, t_r_s) = (facts.n_frames, facts.t_r_s);
            (n_frames, n_bytes + self.signal.n_bytes(n_frames, n_series, n_confounds, t_r_s))
        };
        let work = |idx: usize, series: StoredSeries| self.clean(&state.scans()[idx], series);
        let change = Change { cost: &cost, work: &work };
        series::each_series(self, &super::said(self), &more, state, dir, control, &change)
    }

    fn load(&self, state: &mut State<'_>, dir: &Path) -> Result<()> {
        series::load(self, super::said(self), state, dir)
    }
}

/// The digest of a scan's confounds.
fn confounds(state: &State<'_>, idx: usize) -> Value {
    let path = state.scans()[idx].confounds.as_deref();
    json!(path.map(|path| scan::sha256_file(path).ok()))
}

impl DenoiseConfig {
    /// Whether a scan needs its confounds table.
    pub(crate) fn asks_for_confounds(&self) -> bool {
        self.confounds != Nuisance::None
    }

    /// A scan's series without what is taken out.
    pub(crate) fn clean(&self, scan: &ScanView, mut series: StoredSeries) -> Result<StoredSeries> {
        let chosen = match (self.confounds.config(), &scan.confounds) {
            (None, _) => None,
            (Some(_), None) => {
                let (stage, problem) = (self.name(), "the scan has no confounds table".to_owned());
                return Err(Error::StageInput { stage, problem });
            }
            (Some(config), Some(path)) => Some(ConfoundTable::read(path)?.select(&config)?),
        };
        let (values, kept) = match &chosen {
            None => (None, None),
            Some(chosen) => {
                let some = !chosen.names.is_empty();
                (some.then_some(&chosen.values), chosen.kept.as_deref())
            }
        };
        let t_r_s = series.facts.t_r_s;
        series.values = clean_signals(&series.values, t_r_s, values, kept, &self.signal)?;
        if let (Some(kept), Some(fd_mm)) = (kept, series.fd_mm.take()) {
            series.fd_mm = Some(fd_mm.select(Axis(0), kept));
        }
        series.facts.n_frames = series.values.nrows();
        Ok(series)
    }
}
