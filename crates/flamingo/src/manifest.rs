//! `model.yaml`: what a package says of itself.

use std::path::{Path, PathBuf};

use encoder::InputShape;
use serde::{Deserialize, Serialize};

use crate::{Error, FlamingoConfig, Result};

/// The manifest's file.
pub(crate) const MANIFEST: &str = "model.yaml";
/// Resampler, gated blocks, special-token rows.
pub(crate) const ADAPTER: &str = "adapter.safetensors";
/// The brain encoder.
pub(crate) const ENCODER: &str = "encoder.safetensors";
/// The language model's folder.
pub(crate) const LM: &str = "lm";

/// The layout of packages that this version writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// One file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Path inside the package.
    pub file: String,
    /// Where the file lies instead, for one that may not be copied; relative to the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Size.
    pub bytes: u64,
    /// Digest, in hexadecimal.
    pub sha256: String,
    /// Licence of the contents.
    pub licence: String,
}

impl Part {
    /// Where the part lies, for a package in `folder`; a referenced file may also lie in it.
    pub(crate) fn place(&self, folder: &Path) -> PathBuf {
        let Some(path) = &self.path else { return folder.join(&self.file) };
        let beside = path.file_name().map(|name| folder.join(name)).filter(|it| it.is_file());
        beside.unwrap_or_else(|| folder.join(path))
    }
}

/// What a package is made of and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout version.
    pub format: u32,
    /// Name of the run that made it.
    pub name: String,
    /// Version of this software that wrote it.
    pub created_by: String,
    /// Seed of the training.
    pub seed: u64,
    /// Size of one preprocessed window.
    pub input: InputShape,
    /// Architecture around the language model.
    pub config: FlamingoConfig,
    /// Every file, with its digest.
    pub parts: Vec<Part>,
    /// How a scan becomes a window; read by whoever prepares scans.
    pub preprocessing: serde_json::Value,
    /// Data and settings of the training.
    pub trained_on: serde_json::Value,
}

impl Manifest {
    /// Reads `model.yaml` in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| Error::Io { path: path.clone(), source })?;
        if crate::is_encoder(folder) {
            let reason = "it is the package of an encoder alone, expected a whole model; a pipeline \
                          file names it as `encoder: { file: PATH/encoder.yaml }`";
            return Err(Error::Manifest { path, reason: reason.to_owned() });
        }
        let manifest: Self = serde_yaml::from_str(&text)
            .map_err(|error| Error::Manifest { path: path.clone(), reason: error.to_string() })?;
        if manifest.format != FORMAT {
            let reason = format!("found format {}, expected {FORMAT}", manifest.format);
            return Err(Error::Manifest { path, reason });
        }
        Ok(manifest)
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(MANIFEST);
        let text = serde_yaml::to_string(self)
            .map_err(|error| Error::Manifest { path: path.clone(), reason: error.to_string() })?;
        std::fs::write(&path, text).map_err(|source| Error::Io { path, source })
    }
}
