//! What a training leaves behind.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use encoder::{EncoderConfig, InputShape};
use flamingo::{FlamingoConfig, NewPackage, PackageFile};

use crate::{CurvePoint, FitInputs, Result, progression::Progression};

/// A finished training: the chosen state and how it was reached.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The training curve.
    pub curve: Vec<CurvePoint>,
    /// Step whose state was kept.
    pub chosen_step: usize,
    /// Parameters that moved and are kept.
    pub n_trained: usize,
    /// Parameters of the frozen language model, and of the encoder those that stayed.
    pub n_frozen: usize,
    pub(crate) encoder: HashMap<String, Tensor>,
    pub(crate) adapter: HashMap<String, Tensor>,
    lm: PathBuf,
    config: FlamingoConfig,
    input: InputShape,
    coordinates: Option<Vec<[f64; 3]>>,
}

/// What the caller adds to a package.
#[derive(Clone, Debug)]
pub struct PackageCard {
    /// Name of the run.
    pub name: String,
    /// Seed of the training.
    pub seed: u64,
    /// How a scan becomes a window.
    pub preprocessing: serde_json::Value,
    /// Further files by name.
    pub files: Vec<PackageFile>,
    /// The encoder that made the tokens which the model is shown.
    pub frozen_encoder: Option<EncoderConfig>,
    /// Data and settings of the training.
    pub trained_on: serde_json::Value,
    /// Licence of the trained parts.
    pub licence: String,
}

impl Fitted {
    pub(crate) fn new(inputs: &FitInputs, progression: Progression, n_frozen: usize) -> Self {
        let part = |prefix: &str| -> HashMap<String, Tensor> {
            let tensors = progression.best.iter();
            tensors
                .filter_map(|(name, tensor)| {
                    Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()))
                })
                .collect()
        };
        let (encoder, adapter) = (part("best/encoder/"), part("best/adapter/"));
        Self {
            n_trained: encoder.values().chain(adapter.values()).map(Tensor::elem_count).sum(),
            n_frozen,
            encoder,
            adapter,
            curve: progression.curve,
            chosen_step: progression.chosen_step,
            lm: inputs.lm.to_owned(),
            config: inputs.config.clone(),
            input: inputs.input,
            coordinates: inputs.coordinates.map(<[_]>::to_vec),
        }
    }

    /// Writes the chosen state as a package; `folder` is whole afterwards, or untouched.
    pub fn save(&self, folder: &Path, card: &PackageCard) -> Result<()> {
        let package = NewPackage {
            name: &card.name,
            seed: card.seed,
            input: self.input,
            config: &self.config,
            frozen_encoder: card.frozen_encoder.as_ref(),
            encoder: &self.encoder,
            coordinates: self.coordinates.as_deref(),
            adapter: &self.adapter,
            lm: &self.lm,
            preprocessing: card.preprocessing.clone(),
            trained_on: card.trained_on.clone(),
            files: &card.files,
            licence: &card.licence,
        };
        Ok(flamingo::write(folder, &package)?)
    }
}
