//! What a model package holds beside the weights: how a scan becomes the model's input, and how its
//! text becomes slots with probabilities.
mod tokens;
mod windows;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use encoder::{EncoderConfig, InputShape};
use flamingo::{Manifest, Medium, Model, PackageFile};
use preprocess::{Seen, StepRegistry};
use report::slots::SlotSet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, OneScan, Result, media::Media, plan::CohortPlan};
use tokens::TokenReader;
use windows::{Preprocessing, WindowReader};

/// What a run puts into its model's package.
pub(crate) struct Packed {
    /// The section `preprocessing`.
    pub(crate) section: Value,
    pub(crate) files: Vec<PackageFile>,
    /// The encoder that made the tokens which the model is shown.
    pub(crate) frozen_encoder: Option<EncoderConfig>,
}

impl Packed {
    /// Everything that another machine needs to show the model a scan as this run does.
    pub(crate) fn of(media: &Media<'_>, temperature: f64) -> Result<Self> {
        match &media.tokens {
            Some(set) => tokens::packed(media, set, temperature),
            None => Ok(Preprocessing::packed(media, temperature)),
        }
    }
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
    fn all(cohort: &CohortPlan) -> Vec<Self> {
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

/// Names a package by what is in it.
pub(crate) fn model_id(manifest: &Manifest) -> String {
    let parts: String = manifest.parts.iter().map(|part| part.sha256.as_str()).collect();
    format!("{}-{}", manifest.name, &files::sha256_bytes(parts.as_bytes())[..12])
}

/// What a model sees of a scan.
pub(crate) struct Look {
    pub(crate) medium: Arc<Medium>,
    /// The words before its report.
    pub(crate) prompt: String,
    /// The frames that are in it.
    pub(crate) seen: Seen,
    /// Onset and duration, in seconds, of what it shows.
    pub(crate) stretch_s: (f64, f64),
}

/// A package ready to be given scans.
pub(crate) enum Reader {
    /// Its model sees one window of voxels.
    Windows(Box<WindowReader>),
    /// Its model sees tokens of a whole scan, or the windows that its own encoder makes them of.
    Tokens(Box<TokenReader>),
}

impl Reader {
    /// Takes the section and the files of an open package in `dir`.
    pub(crate) fn open(dir: &Path, model: &Model, steps: &StepRegistry) -> Result<Self> {
        if let InputShape::Image { .. } = model.manifest().input {
            let problem = format!("this model reads {}, no scans", model.manifest().input);
            return Err(Error::NoSuchWindow { path: dir.to_owned(), problem });
        }
        if model.manifest().preprocessing.get(tokens::SECTION).is_some() {
            return Ok(Self::Tokens(Box::new(TokenReader::open(dir, model, steps)?)));
        }
        Ok(Self::Windows(Box::new(WindowReader::open(dir, model)?)))
    }

    /// The scans of the cohort that the model was trained on.
    pub(crate) fn scans(&self) -> &[KnownScan] {
        match self {
            Self::Windows(reader) => &reader.preprocessing.scans,
            Self::Tokens(reader) => &reader.section.scans,
        }
    }

    /// What its model sees of a scan, which may be one of the cohort.
    pub(crate) fn look(&self, scan: &OneScan<'_>, known: Option<&KnownScan>) -> Result<Look> {
        match self {
            Self::Windows(reader) => reader.look(scan, known),
            Self::Tokens(reader) => reader.look(scan, known),
        }
    }

    /// How a text becomes slots, and what their likelihoods are divided by.
    pub(crate) fn read_by(self) -> (SlotSet, f64) {
        match self {
            Self::Windows(reader) => (reader.preprocessing.slots, reader.preprocessing.temperature),
            Self::Tokens(reader) => (reader.section.slots, reader.section.temperature),
        }
    }
}

/// Where a file of a package lies; one that the manifest does not list is refused, for nothing holds
/// its digest.
fn part(dir: &Path, model: &Model, name: &Path) -> Result<PathBuf> {
    if model.manifest().parts.iter().any(|part| Path::new(&part.file) == name) {
        return Ok(dir.join(name));
    }
    let problem = format!("it reads {}, which is none of its parts", name.display());
    Err(Error::Package { path: dir.to_owned(), problem })
}

/// A section as `T`, of the format that this version writes.
fn section<T: serde::de::DeserializeOwned>(dir: &Path, model: &Model, format: u32) -> Result<T> {
    let refuse = |problem: String| Error::Package { path: dir.to_owned(), problem };
    let section = &model.manifest().preprocessing;
    match section.get("format").and_then(Value::as_u64) {
        Some(found) if found != u64::from(format) => {
            let problem = format!(
                "its preprocessing has format {found}, expected {format}: run its pipeline again"
            );
            Err(refuse(problem))
        }
        _ => serde_json::from_value(section.clone()).map_err(|error| refuse(error.to_string())),
    }
}
