//! What a training leaves behind.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use encoder::{EncoderConfig, InputShape};
use flamingo::{FlamingoConfig, NewPackage, PackageFile};
use serde::{Deserialize, Serialize};

use crate::{FitInputs, Result};

/// One point of the training curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Steps done.
    pub step: usize,
    /// Mean training loss since the point before.
    pub loss: f64,
    /// Weighted mean negative log-likelihood on the validation examples.
    pub nll: f64,
}

/// Where a training stands; what a checkpoint keeps beside the tensors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Progression {
    pub(crate) step: usize,
    pub(crate) curve: Vec<CurvePoint>,
    chosen_step: usize,
    losses: Vec<f64>,
    /// The encoder that it began with, weights hashed: the state holds what moved of them alone.
    #[serde(default)]
    encoder: String,
    #[serde(skip)]
    pub(crate) best: HashMap<String, Tensor>,
}

impl Progression {
    /// Nothing done, with the encoder of this identity.
    pub(crate) fn of(encoder: String) -> Self {
        Self { encoder, ..Self::default() }
    }

    /// Why a saved training is another one than this.
    pub(crate) fn differs(&self, saved: &Self) -> Option<String> {
        let shown = |it: &Self| it.encoder.chars().take(16).collect::<String>();
        (!saved.encoder.is_empty() && saved.encoder != self.encoder).then(|| {
            let (found, expected) = (shown(saved), shown(self));
            format!("it began with the encoder {found}…, expected {expected}…")
        })
    }

    pub(crate) fn took(&mut self, step: usize, loss: f64) {
        self.step = step;
        self.losses.push(loss);
    }

    /// Records a judgement of the present state; true when it is the best so far.
    pub(crate) fn judged(&mut self, nll: f64) -> bool {
        let best = self.curve.iter().all(|point| nll < point.nll);
        let loss = self.losses.iter().sum::<f64>() / self.losses.len().max(1) as f64;
        self.losses.clear();
        self.curve.push(CurvePoint { step: self.step, loss, nll });
        if best {
            self.chosen_step = self.step;
        }
        best
    }
}

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
