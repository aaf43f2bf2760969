//! What becomes of an encoder: run once, or trained with the model.
use std::fmt;

use encoder::{
    EncoderConfig, EncoderParameters, EncoderSpec, InputShape, Trainable, WeightsSource,
};
use report::counted;
use serde::Serialize;

use super::memory;
use crate::{Error, Result};

/// What an encoder needs and gives, and what becomes of its weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EncoderPlan {
    /// What it needs and gives.
    #[serde(flatten)]
    pub spec: EncoderSpec,
    /// What one window of its input is.
    #[serde(skip)]
    pub(crate) input: InputShape,
    /// Which of its weights move.
    pub trainable: Trainable,
    /// How many that are.
    pub parameters: EncoderParameters,
    /// The policy by which scans are prepared, in words; absent: stages of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What the policy makes of the cohort's scans, in words; absent: no policy, or no header says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepared: Option<String>,
    /// What to know of weights that move; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

impl EncoderPlan {
    /// Whether it reads whole volumes.
    pub(super) fn reads_volumes(&self) -> bool {
        matches!(self.input, InputShape::Volume { .. })
    }

    pub(super) fn of(config: &EncoderConfig, input: InputShape) -> Result<Self> {
        let spec = config.spec(input).map_err(Error::Encoder)?;
        let parameters = config.parameters(input).map_err(Error::Encoder)?;
        // what lies in a file is no larger than the file
        let drawn = !matches!(config.weights(), Some(WeightsSource::File(_)));
        let frozen = if drawn { parameters.frozen } else { 0 };
        memory::holds_weights(parameters.trainable, frozen).map_err(|reason| {
            Error::Encoder(encoder::Error::Setting { encoder: config.name(), reason })
        })?;
        let trainable = config.trainable().clone();
        let changes = matches!(trainable, Trainable::LastNBlocks(_) | Trainable::All);
        let warning = (changes && spec.licence.no_derivatives).then(|| {
            let licence = &spec.licence.name;
            format!(
                "{licence} forbids to hand on changed weights: the trained model is for you alone"
            )
        });
        Ok(Self { spec, input, trainable, parameters, policy: None, prepared: None, warning })
    }
}

impl fmt::Display for EncoderPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EncoderParameters { trainable, frozen } = self.parameters;
        let which = match &self.trainable {
            Trainable::None if frozen == 0 => return f.write_str("nothing to learn, tokens kept"),
            Trainable::None => {
                return write!(f, "{frozen} parameters frozen: run once a scan, tokens kept");
            }
            Trainable::LastNBlocks(n) => {
                format!("the last {} and what follows", counted(*n, "block"))
            }
            Trainable::All => "all that are learned".to_owned(),
            Trainable::Lora(config) => format!("LoRA of rank {}", config.rank),
        };
        write!(
            f,
            "{trainable} parameters trained ({which}), {frozen} frozen: run in every step, tokens are \
             not kept"
        )
    }
}
