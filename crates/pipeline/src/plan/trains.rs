//! What a fine-tuning moves and what it leaves as it is, counted without reading a weight.
use std::fmt;

use encoder::InputShape;
use flamingo::{FlamingoConfig, LanguageModel, Trained};

use super::{resolved::window, texts::Given};
use crate::{Error, Result, spec::CohortSpec, stage::given};

/// What stands around the language model in a training.
pub(super) struct Around {
    pub(super) config: FlamingoConfig,
    pub(super) input: InputShape,
    pub(super) trained: Trained,
}

/// What the stage `finetune` puts around the language model and moves, where the sizes of what it is shown are known.
pub(super) fn around(given: &Given<'_>, lm: &LanguageModel) -> Result<Option<Around>> {
    let spec = &given.loaded.spec;
    let (Some(fit), Some(model)) = (spec.finetune(), &spec.model) else { return Ok(None) };
    let mut config = model.flamingo();
    if let CohortSpec::Pairs(pairs) = &spec.cohort {
        config.media = given.cohort.media_of_model(pairs);
    }
    let (config, input) = match given.encoder {
        Some(plan) if plan.trainable.moves() => {
            let own = given.loaded.encoder().unwrap_or(config.encoder);
            (FlamingoConfig { encoder: own, ..config }, plan.input)
        }
        Some(plan) => {
            let (tokens, input) = given::handed_on(&plan.spec);
            (FlamingoConfig { encoder: tokens, ..config }, input)
        }
        None => {
            let Some(window) = window(spec) else { return Ok(None) };
            let of_grid = || given.cohort.grid.iter().product();
            let n_voxels = given.n_parcels.unwrap_or_else(of_grid);
            (config, InputShape::Window { n_frames: window.n_frames, n_voxels })
        }
    };
    // what the encoder cannot have was told of the encoder
    let Ok(config) = fit.around(&config) else { return Ok(None) };
    if let Some(problem) = config.lora.as_ref().and_then(|lora| lm.lora_problem(lora).transpose()) {
        return Err(Error::StageInput { stage: "finetune", problem: problem? });
    }
    let trained = lm.trained(&config, input)?;
    Ok(Some(Around { config, input, trained }))
}

/// What is trained and what is frozen, a line for each.
pub(super) struct InWords<'a>(pub(super) &'a Trained);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trained { resampler, gated_blocks, special_rows, lora_of_lm, encoder, .. } = *self.0;
        let parts = [
            ("resampler", resampler),
            ("gated blocks", gated_blocks),
            ("rows of the special tokens", special_rows),
            ("LoRA of the language model", lora_of_lm),
            ("encoder", encoder),
        ];
        let moved = parts.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}"));
        let moved: Vec<String> = moved.collect();
        writeln!(f, "trains    {} parameters: {}", self.0.n(), moved.join(", "))?;
        let kept = match self.0.frozen_encoder {
            0 => String::new(),
            n => format!(", encoder {n}"),
        };
        let (n, of_lm) = (self.0.n_frozen(), self.0.frozen_lm);
        writeln!(f, "frozen    {n} parameters: language model {of_lm}{kept}")
    }
}
