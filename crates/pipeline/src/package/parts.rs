//! What is kept of a run beside the weights, and what a model sees of a scan.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use encoder::EncoderConfig;
use flamingo::{Medium, Model, PackageFile};
use preprocess::Seen;
use report::prompt::Labels;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result, plan::CohortPlan};

/// Said of a table of confounds that nobody reads.
pub(super) const NO_CONFOUNDS: &str =
    "the model's stages take no confounds out, expected no --confounds";

/// What a run puts into its model's package.
pub(crate) struct Packed {
    /// The section `preprocessing`.
    pub(crate) section: Value,
    pub(crate) files: Vec<PackageFile>,
    /// The encoder that made the tokens which the model is shown.
    pub(crate) frozen_encoder: Option<EncoderConfig>,
}

/// A scan of the cohort table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownScan {
    pub(crate) sha256: String,
    pub(crate) subject: String,
    pub(crate) session: String,
    pub(crate) run: usize,
    pub(crate) windows: Vec<KnownWindow>,
}

/// One of its windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownWindow {
    pub(crate) onset_s: f64,
    pub(crate) duration_s: f64,
}

impl KnownScan {
    /// All of a cohort, so that their windows can be asked for by number.
    pub(super) fn all(cohort: &CohortPlan) -> Vec<Self> {
        let known = cohort.scans.iter().enumerate().map(|(scan_idx, scan)| Self {
            sha256: scan.sha256.clone(),
            subject: scan.subject.clone(),
            session: scan.session.clone(),
            run: scan.run,
            windows: cohort
                .rows
                .iter()
                .filter(|row| row.scan_idx == scan_idx)
                .map(|row| KnownWindow { onset_s: row.onset_s, duration_s: row.duration_s })
                .collect(),
        });
        known.collect()
    }
}

/// What a model sees of a scan.
pub(crate) struct Look {
    /// In the order of the prompt.
    pub(crate) media: Vec<Arc<Medium>>,
    /// The words before its report.
    pub(crate) prompt: String,
    /// What they state of the person.
    pub(crate) given: Labels,
    /// The frames that are in it.
    pub(crate) seen: Seen,
    /// Onset and duration, in seconds, of what it shows.
    pub(crate) stretch_s: (f64, f64),
}

/// Where a file of a package lies; one that the manifest does not list is refused, for nothing holds
/// its digest.
pub(super) fn part(dir: &Path, model: &Model, name: &Path) -> Result<PathBuf> {
    if model.manifest().parts.iter().any(|part| Path::new(&part.file) == name) {
        return Ok(dir.join(name));
    }
    let problem = format!("it reads {}, which is none of its parts", name.display());
    Err(Error::Package { path: dir.to_owned(), problem })
}
