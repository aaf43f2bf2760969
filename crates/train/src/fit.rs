//! Fine-tuning: encoder, resampler, gates and special-token rows on paired scans and reports.

use std::collections::HashMap;
use std::path::Path;

use encoder::InputShape;
use flamingo::{FlamingoConfig, Precision};
use nn::seeded::rng;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::augment::Augmenter;
use crate::fitted::Progression;
use crate::optimizer::Optimizer;
use crate::schedule::learning_rate;
use crate::trainee::{ENCODER, Trainee};
use crate::{AugmentConfig, Error, Example, Fitted, Observer, Progress, Result, checkpoint};

/// How to fine-tune. Nothing here takes part when a report is written. What is absent has the value of
/// [`FitConfig::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitConfig {
    /// Optimizer steps.
    pub steps: usize,
    /// Reports in a step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises.
    pub warmup_steps: usize,
    /// The learning rate falls along a cosine to this share of its peak.
    pub final_lr: f64,
    /// Decoupled weight decay of everything but the gates.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient.
    pub clip_norm: f64,
    /// The gates learn this many times faster: at zero they see little gradient.
    pub gates_lr_scale: f64,
    /// What moves of the encoder learns this many times faster; below 1 for one that has learned.
    #[serde(skip_serializing_if = "is_as_fast")]
    pub encoder_lr_scale: f64,
    /// Weight of the tokens that state a slot's value; all others weigh 1.
    pub slot_weight: f64,
    /// A further loss on the latents, in training only; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auxiliary: Option<AuxiliaryConfig>,
    /// How training windows are varied.
    pub augment: AugmentConfig,
    /// Decay of the running average of the weights, which is what is judged and kept.
    pub averaging: f64,
    /// Steps between two evaluations on the validation examples; the checkpoint with the lowest NLL is kept.
    pub validate_every: usize,
    /// Steps between two saved states, from which a stopped training goes on.
    pub checkpoint_every: usize,
}

impl Default for FitConfig {
    /// A cautious start for a few hundred reports: the recipe of the Haxby windows without what belongs to
    /// that data (the auxiliary loss, dropped voxels, moved and mixed windows), and with a batch, and looks
    /// at the validation, that a small cohort can afford.
    fn default() -> Self {
        Self {
            steps: 200,
            batch_size: 8,
            learning_rate: 3e-3,
            warmup_steps: 20,
            final_lr: 0.02,
            weight_decay: 0.05,
            clip_norm: 1.,
            gates_lr_scale: 10.,
            encoder_lr_scale: 1.,
            slot_weight: 10.,
            auxiliary: None,
            augment: AugmentConfig::default(),
            averaging: 0.98,
            validate_every: 20,
            checkpoint_every: 20,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_as_fast(scale: &f64) -> bool {
    *scale == 1.
}

/// Cross-entropy of a linear map of the mean latent against the scored slot's value. The map is
/// thrown away after the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuxiliaryConfig {
    /// Weight beside the text's loss.
    pub weight: f64,
    /// Windows in a step: the reports' and further ones, which skip the language model.
    pub batch_size: usize,
}

/// What a training needs.
pub struct FitInputs<'a> {
    /// Folder of the frozen language model.
    pub lm: &'a Path,
    /// In which numbers it is kept.
    pub precision: Precision,
    /// Architecture around it.
    pub config: &'a FlamingoConfig,
    /// Size of one preprocessed window, without margins.
    pub input: InputShape,
    /// Where the parcels are, in mm, for encoders that read it.
    pub coordinates: Option<&'a [[f64; 3]]>,
    /// How to train.
    pub fit: &'a FitConfig,
    /// Seed of initial values, order and augmentation.
    pub seed: u64,
    /// Examples to learn from.
    pub train: &'a [Example],
    /// Validation examples. The checkpoint with the lowest NLL is kept.
    pub validation: &'a [Example],
    /// Where the state is saved and found again.
    pub state: &'a Path,
}

fn check(inputs: &FitInputs) -> Result<()> {
    let FitConfig { steps, batch_size, validate_every, augment, .. } = inputs.fit;
    if inputs.train.is_empty() || inputs.validation.is_empty() {
        let found = (inputs.train.len(), inputs.validation.len());
        return Err(Error::Data(format!(
            "a training needs training and validation examples, found {found:?}"
        )));
    }
    let one = |e: &Example| e.media.len() == 1;
    if !inputs.train.iter().chain(inputs.validation).all(one) {
        return Err(Error::Data("each example needs exactly one scan".to_owned()));
    }
    if *steps == 0 || *batch_size == 0 || *validate_every == 0 {
        let reason = "steps, batch_size and validate_every must be above 0";
        return Err(Error::Data(reason.to_owned()));
    }
    if !(0. ..1.).contains(&augment.voxel_dropout) || !(0. ..=1.).contains(&augment.class_averaging)
    {
        let reason = "voxel_dropout must lie in 0..1 and class_averaging in 0..=1";
        return Err(Error::Data(reason.to_owned()));
    }
    Ok(())
}

/// Trains from the seed, or goes on from the state saved before.
///
/// # Errors
/// [`Error::Interrupted`] when the observer breaks off, with the state saved.
pub fn fit(inputs: &FitInputs, observer: Observer) -> Result<Fitted> {
    check(inputs)?;
    kernels::keep_freed_memory();
    let config = inputs.fit;
    let trainee = Trainee::new(inputs)?;
    let mut optimizer =
        Optimizer::new(trainee.variables(), config.clip_norm, config.averaging, |name| {
            if name.ends_with("_gate") {
                (config.gates_lr_scale, 0.)
            } else if name.starts_with(ENCODER) {
                (config.encoder_lr_scale, config.weight_decay)
            } else {
                (1., config.weight_decay)
            }
        })?;
    let mut progression = Progression::of(inputs.config.encoder.identity()?);
    let mut note = |news: &Progress| _ = observer(news);
    checkpoint::resume(inputs.state, &mut note, |tensors, facts: Progression| {
        if let Some(reason) = progression.differs(&facts) {
            return Err(Error::Checkpoint { path: inputs.state.to_owned(), reason });
        }
        let (best, state): (HashMap<_, _>, HashMap<_, _>) =
            tensors.into_iter().partition(|(name, _)| name.starts_with("best/"));
        let restored = optimizer.restore(&state, facts.step);
        if restored.is_ok() {
            progression = facts;
            progression.best = best;
        }
        Ok(restored)
    })?;
    let rows = trainee.rows(inputs.train, config.slot_weight)?;
    let validation_rows = trainee.rows(inputs.validation, config.slot_weight)?;
    let augmenter = Augmenter::new(inputs.train, &config.augment);

    while optimizer.step() < config.steps {
        let step = optimizer.step();
        let mut rng = rng(inputs.seed, &format!("step {step}"));
        let n_windows =
            config.auxiliary.as_ref().map_or(0, |a| a.batch_size).max(config.batch_size);
        let mut order = Vec::new();
        while order.len() < n_windows {
            let mut round: Vec<usize> = (0..inputs.train.len()).collect();
            round.shuffle(&mut rng);
            order.extend(round);
        }
        order.truncate(n_windows);
        let windows: Vec<_> = order.iter().map(|&idx| augmenter.draw(idx, &mut rng)).collect();
        let classes: Vec<_> = order.iter().map(|&idx| inputs.train[idx].class).collect();
        let shown: Vec<_> = order[..config.batch_size].iter().map(|&idx| &rows[idx]).collect();

        let loss = trainee.loss(&shown, &windows, &classes, config)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(Error::Diverged { step });
        }
        let FitConfig { steps, warmup_steps, final_lr, .. } = *config;
        let lr = learning_rate(config.learning_rate, step, steps, warmup_steps, final_lr);
        optimizer.update(&loss.backward()?, lr)?;
        let done = optimizer.step();
        progression.took(done, value);
        let mut flow = observer(&Progress::Step { step: done, n_steps: steps, loss: value, lr });

        if done % config.validate_every == 0 || done == steps {
            let nll = optimizer
                .averaged(|| trainee.nll(inputs.validation, &validation_rows, config.batch_size))?;
            let best = progression.judged(nll);
            if best {
                progression.best = optimizer.averaged(|| trainee.kept())?;
            }
            if observer(&Progress::Validated { step: done, nll, best }).is_break() {
                flow = std::ops::ControlFlow::Break(());
            }
        }
        if flow.is_break() || done % config.checkpoint_every.max(1) == 0 || done == steps {
            let mut tensors = optimizer.state()?;
            tensors.extend(progression.best.clone());
            checkpoint::save(inputs.state, done, &tensors, &progression)?;
        }
        if flow.is_break() && done < steps {
            return Err(Error::Interrupted { step: done });
        }
    }
    Ok(Fitted::new(inputs, progression, trainee.n_frozen))
}

#[cfg(test)]
mod tests;
