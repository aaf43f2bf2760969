//! A package of an encoder alone: a published weight file, as pipelines name it.
//!
//! ```text
//! model.yaml            manifest: which encoder, licence, digest of every part
//! encoder.yaml          the encoder as a component of a pipeline file
//! encoder.safetensors   the weights; a reference with its digest where they may not be copied
//! gradients             the table that Brain-JEPA's weights need, likewise
//! README.md             model card
//! ```

mod import;
#[cfg(test)]
mod tests;

use std::path::Path;

use encoder::{EncoderConfig, Licence, WeightsSource};
use nn::weights::TensorInfo;
use serde::{Deserialize, Serialize};

use crate::manifest::{ENCODER, FORMAT, MANIFEST, check_format, text_in};
use crate::package::{check_part, check_parts};
use crate::{Error, Part, Result};

/// The encoder as a component of a pipeline file, in its package.
pub const ENCODER_COMPONENT: &str = "encoder.yaml";

/// The part that holds Brain-JEPA's table of gradients.
const GRADIENTS: &str = "gradients";

pub use import::{EncoderImport, ImportedEncoder, import_encoder};

/// What an encoder's package says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderManifest {
    /// Layout version.
    pub format: u32,
    /// Name of the package.
    pub name: String,
    /// Version of this software that wrote it.
    pub created_by: String,
    /// What the weights are, in words.
    pub what: String,
    /// Name and version of the architecture.
    pub encoder_id: String,
    /// The encoder as a pipeline file says it; its weights are this package.
    pub encoder: EncoderConfig,
    /// Licence of the weights.
    pub licence: Licence,
    /// The file that was imported.
    pub imported_from: String,
    /// Every file, with its digest.
    pub parts: Vec<Part>,
}

impl EncoderManifest {
    /// Reads `model.yaml` in `folder`.
    ///
    /// # Errors
    /// When it is not there, or that of something else.
    pub fn read(folder: &Path) -> Result<Self> {
        let (path, text) = text_in(folder)?;
        let wrong = |reason: String| Error::Manifest { path: path.clone(), reason };
        check_format(&path, &text, FORMAT)?;
        serde_yaml::from_str(&text).map_err(|error| wrong(error.to_string()))
    }

    fn weights(&self, folder: &Path) -> Result<&Part> {
        self.part(ENCODER).ok_or_else(|| Error::Manifest {
            path: folder.join(MANIFEST),
            reason: format!("it lists no part {ENCODER}"),
        })
    }

    fn part(&self, file: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.file == file)
    }

    /// Gives `encoder` the weights that the package in `folder` has or names, and what they need beside
    /// them.
    fn open(&self, folder: &Path, encoder: &mut EncoderConfig) -> Result<()> {
        if encoder.gradients().is_some() {
            let path = folder.join(MANIFEST);
            let reason = "the package names its table of gradients itself, expected no other \
                          (`gradients`) beside it";
            return Err(Error::Manifest { path, reason: reason.to_owned() });
        }
        encoder.set_gradients(self.part(GRADIENTS).map(|part| part.place(folder)));
        encoder.set_weights(WeightsSource::File(self.weights(folder)?.place(folder)));
        Ok(())
    }

    /// The encoder with the weights that the package in `folder` has or names.
    fn opened(&self, folder: &Path) -> Result<EncoderConfig> {
        let mut config = self.encoder.clone();
        self.open(folder, &mut config)?;
        Ok(config)
    }
}

/// Whether the package in `folder` is one of an encoder alone.
pub fn is_encoder(folder: &Path) -> bool {
    let text = formats::read_text_up_to(&folder.join(MANIFEST), formats::MAX_SETTINGS);
    let text = text.unwrap_or_default();
    serde_yaml::from_str::<serde_json::Value>(&text)
        .is_ok_and(|it| it.get("encoder_id").is_some() && it.get("config").is_none())
}

/// Puts the files that an encoder's package holds or names in the place of the package; nothing of them is
/// read, and other encoders stay as they are.
///
/// # Errors
/// When it is no such package, or names a file that `encoder` names too.
pub fn find_encoder_weights(encoder: &mut EncoderConfig) -> Result<()> {
    if let Some(WeightsSource::Package(folder)) = encoder.weights() {
        let folder = folder.clone();
        EncoderManifest::read(&folder)?.open(&folder, encoder)?;
    }
    Ok(())
}

/// Refuses an encoder package whose weights, or what they need beside them, were moved or changed since it
/// was written.
///
/// # Errors
/// Names the file, what it is now and what it was.
pub fn check_encoder_weights(folder: &Path) -> Result<()> {
    let manifest = EncoderManifest::read(folder)?;
    manifest.part(GRADIENTS).map_or(Ok(()), |part| check_part(folder, part))?;
    check_part(folder, manifest.weights(folder)?)
}

/// What is inside an encoder's package.
#[derive(Clone, Debug, Serialize)]
pub struct EncoderInfo {
    /// The manifest.
    pub manifest: EncoderManifest,
    /// Parameters in all tensors.
    pub n_parameters: usize,
    /// Every tensor, by the name that the network asks for.
    pub tensors: Vec<TensorInfo>,
}

/// Lists the parts and tensors of an encoder's package, without reading its weights.
///
/// # Errors
/// When the weights are not there, or are not the encoder's.
pub fn inspect_encoder(folder: &Path) -> Result<EncoderInfo> {
    let manifest = EncoderManifest::read(folder)?;
    let weights = manifest.opened(folder)?.published_weights()?;
    let (n_parameters, tensors) = (weights.n_values(), weights.list());
    Ok(EncoderInfo { manifest, n_parameters, tensors })
}

/// Checks digests, shapes, and that every weight is a finite number; one tensor is read at a time.
pub(crate) fn verify(folder: &Path) -> Result<()> {
    let manifest = EncoderManifest::read(folder)?;
    check_parts(folder, &manifest.parts)?;
    let path = manifest.weights(folder)?.place(folder);
    let weights = manifest.opened(folder)?.published_weights()?;
    crate::package::all_finite(&weights, &path)?;
    Ok(())
}
