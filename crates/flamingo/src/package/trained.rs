//! What a training left in a package, to begin another one with.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Tensor;
use nn::weights::load;

use super::check_part;
use crate::manifest::{ADAPTER, ENCODER, LM};
use crate::{Error, Manifest, Part, Result};

/// The trained tensors of a package, by name.
#[derive(Clone, Debug)]
pub struct TrainedWeights {
    /// Of its encoder: of one with published weights what moved, of CLIP nothing.
    pub encoder: HashMap<String, Tensor>,
    /// Whether what is lacking of the encoder begins as its file or its seed has it.
    pub encoder_has_base: bool,
    /// Resampler, gated blocks and special tokens' rows.
    pub adapter: HashMap<String, Tensor>,
    /// Names all of them.
    pub sha256: String,
}

impl TrainedWeights {
    /// Reads those of the package in `folder`.
    ///
    /// # Errors
    /// Where its manifest cannot be read, or a file is not the one that the manifest names.
    pub fn read(folder: &Path) -> Result<Self> {
        let manifest = Manifest::read(folder)?;
        let tensors = |file: &str| -> Result<HashMap<String, Tensor>> {
            let Some(part) = trained(&manifest, file) else { return Ok(HashMap::new()) };
            check_part(folder, part)?;
            let path = part.place(folder);
            load(&path).map_err(|error| {
                let reason = error.to_string();
                Error::Import { path, reason, fault: crate::Fault::Package }
            })
        };
        // one that was frozen stands beside the one that handed its tokens on
        let encoder = manifest.frozen_encoder.as_ref().unwrap_or(&manifest.config.encoder);
        Ok(Self {
            encoder: tensors(ENCODER)?,
            encoder_has_base: encoder.weights().is_some(),
            adapter: tensors(ADAPTER)?,
            sha256: manifest.trained_sha256(),
        })
    }
}

/// The part of this name, where the package has it and it was trained.
fn trained<'a>(manifest: &'a Manifest, file: &str) -> Option<&'a Part> {
    let part = manifest.parts.iter().find(|part| part.file == file && part.path.is_none())?;
    (file != ENCODER || !super::is_clip(&manifest.config)).then_some(part)
}

impl Manifest {
    /// Names the trained weights by their digests.
    pub fn trained_sha256(&self) -> String {
        let parts = [ADAPTER, ENCODER].into_iter().filter_map(|file| trained(self, file));
        let digests: Vec<&str> = parts.map(|part| part.sha256.as_str()).collect();
        files::sha256_bytes(digests.join(" ").as_bytes())
    }

    /// The files of its language model with their digests.
    pub fn language_model(&self) -> impl Iterator<Item = (&str, &str)> {
        let prefix = format!("{LM}/");
        self.parts.iter().filter_map(move |part| {
            Some((part.file.strip_prefix(prefix.as_str())?, part.sha256.as_str()))
        })
    }
}
