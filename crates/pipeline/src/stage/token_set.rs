//! Tokens of the scans of a run, each in its file.
use encoder::{EncoderConfig, InputShape};
use engine::Unit;
use ndarray::{Array2, ArrayD, IxDyn};
use preprocess::{Measured, Seen};
use scan::ImageQualityMetrics;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Result;

/// What the model is shown of the scans: tokens of a frozen encoder, or the windows that an encoder
/// under training reads.
#[derive(Clone, Debug)]
pub(crate) struct TokenSet {
    pub(crate) units: Vec<Option<Unit>>,
    pub(crate) about: AboutTokens,
}

/// What all tokens of a run share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AboutTokens {
    /// What one window of a medium is.
    pub(crate) input: InputShape,
    /// The encoder that is part of the model: one that hands tokens on, or the one under training.
    pub(crate) encoder: EncoderConfig,
    /// Name and version of the encoder that made the tokens.
    pub(crate) encoder_id: String,
    /// Its settings and weights, hashed.
    pub(crate) identity: String,
    /// Everything before it, hashed.
    pub(crate) preparation: String,
    /// Licence of its weights.
    #[serde(default)]
    pub(super) licence: String,
    /// The policy by which scans were prepared, in words; absent: stages of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<String>,
}

impl AboutTokens {
    /// The encoder, for the card of a model.
    pub(crate) fn card(&self) -> Value {
        let mut card = json!({ "id": self.encoder_id, "licence": self.licence });
        if let Some(policy) = &self.policy {
            card["policy"] = json!(policy);
        }
        card
    }
}

/// What is asked of a scan's tokens without reading them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TokenFacts {
    /// The frames of the scan that its windows hold; not known of tokens that were made elsewhere.
    #[serde(default)]
    pub(crate) seen: Seen,
    pub(crate) n_windows: usize,
    pub(crate) n_frames: usize,
    pub(crate) t_r_s: f64,
    /// Mean framewise displacement in mm of each window, where confounds say it of all.
    pub(crate) fd_mm: Option<Vec<f64>>,
    /// Of the whole scan.
    pub(crate) fd_mean_mm: Option<f64>,
    /// The largest of a frame.
    pub(crate) fd_max_mm: Option<f64>,
    pub(crate) n_lost: usize,
    /// Of the whole scan, as it was read.
    pub(crate) quality: ImageQualityMetrics,
}

impl TokenSet {
    /// A scan's tokens `(n_windows, …)`, as the model takes them.
    pub(crate) fn medium(unit: &Unit) -> Result<ArrayD<f32>> {
        let (_, mut arrays) = engine::read(&unit.path, &unit.key)?;
        let (shape, values) = arrays.take("tokens");
        let values = values.into_iter().map(|x| x as f32).collect();
        Ok(ArrayD::from_shape_vec(IxDyn(&shape), values).expect("a file's shape and size agree"))
    }

    /// One vector a window: `means` or `classes`.
    pub(crate) fn vectors(unit: &Unit, name: &str) -> Result<Option<Array2<f64>>> {
        let (_, mut arrays) = engine::read(&unit.path, &unit.key)?;
        let (shape, values) = arrays.take(name);
        let &[rows, columns] = shape.as_slice() else { return Ok(None) };
        Ok(Some(Array2::from_shape_vec((rows, columns), values).expect("shape and size agree")))
    }

    /// What is measured of a scan that was encoded.
    pub(crate) fn measured(unit: &Unit) -> Result<Measured> {
        let facts = Self::facts(unit)?;
        Ok(Measured {
            n_frames: facts.n_frames,
            t_r_s: facts.t_r_s,
            fd_mean_mm: facts.fd_mean_mm,
            fd_max_mm: facts.fd_max_mm,
            ..Measured::of_figures(&facts.quality)
        })
    }

    pub(crate) fn facts(unit: &Unit) -> Result<TokenFacts> {
        unit.facts
            .get()
            .map_err(|source| files::Error::Json { path: unit.path.clone(), source }.into())
    }
}
