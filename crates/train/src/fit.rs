//! Fine-tuning: encoder, resampler, gates and special-token rows on paired scans and reports.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use candle_core::{Tensor, backprop::GradStore};
use encoder::{InputShape, LoraConfig};
use flamingo::{Compat, FlamingoConfig, Precision, Stop};
use nn::Device;
use nn::seeded::rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AugmentConfig, Error, Example, Fitted, Judge, LOSS, LrSchedule, Observer, Result, SCAN_GAIN,
    augment::Augmenter,
    batch::Row,
    draw,
    judge::{Judgement, Validation},
    optimizer::Optimizer,
    progression::Progression,
    reduce::{Alone, Reduce},
    schedule::Schedule,
    trainee::{ENCODER, Shown, Trainee, Window},
    trainer::{Rhythm, Task, Trainer},
};

/// How to fine-tune. Nothing here takes part when a report is written. What is absent has the value of
/// [`FitConfig::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitConfig {
    /// Optimizer steps.
    pub steps: usize,
    /// Reports per batch.
    pub batch_size: usize,
    /// Batches accumulated per step: the gradient of one large batch in the memory of a small one.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Activation checkpointing: of the activations only what goes into each block of the language model is kept, and
    /// each block runs once more on the way back. The gradients stay the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub activation_checkpointing: bool,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Warm-up: steps over which the learning rate rises.
    pub warmup_steps: usize,
    /// Decay of the learning rate after warm-up.
    #[serde(skip_serializing_if = "is_cosine")]
    pub lr_schedule: LrSchedule,
    /// The learning rate falls to this share of its peak.
    pub final_lr: f64,
    /// Decoupled weight decay of everything but the gates.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient.
    pub clip_norm: f64,
    /// Factor on the learning rate of the gates, whose gradients are small while they are near
    /// zero.
    pub gates_lr_scale: f64,
    /// Factor on the learning rate of the encoder's trained parts; below 1 for a pre-trained
    /// encoder.
    #[serde(skip_serializing_if = "is_as_fast")]
    pub encoder_lr_scale: f64,
    /// Weight of the tokens that state a slot's value; all others weigh 1.
    pub slot_weight: f64,
    /// Corrections of low rank beside frozen weights, trained with everything else. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<FitLora>,
    /// Weights of the tokens that state the values of some slots, by their names; absent: `slot_weight`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slot_weights: BTreeMap<String, f64>,
    /// Balanced sampling: every value of the slot of this name is shown equally often, however rare it is among the
    /// training reports; a number counts by its bin. Default: every report is shown equally often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<String>,
    /// A further loss on the latents, in training only; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auxiliary: Option<AuxiliaryConfig>,
    /// How training windows are varied.
    pub augment: AugmentConfig,
    /// Decay of the running average of the weights, which is what is judged and kept.
    pub averaging: f64,
    /// Steps between two evaluations on the validation examples; the best checkpoint is kept.
    pub validate_every: usize,
    /// By which metric of the validation a checkpoint is the best: `loss`, `scan_gain` (how much more likely the reports
    /// are with their own scan than with another person's), or one of what is written: `slot_accuracy`,
    /// `slot_accuracy.NAME` of one slot, `rouge_l`. Default: the lowest `loss`.
    #[serde(skip_serializing_if = "is_loss")]
    pub best: String,
    /// At each evaluation, reports of this many validation examples are written with their own scan, another
    /// person's and none, and kept side by side in `training/samples`. Default: 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub samples: usize,
    /// Warm start: the folder of a model package whose trained weights this training begins with. Its language model,
    /// encoder, resampler and gates must be those of this training. Default: weights are drawn by the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Steps between two saved states, from which a stopped training goes on.
    pub checkpoint_every: usize,
    /// Early stopping after this many evaluations without improvement. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// A check of the recipe: learns this many of the first training examples alone, and is judged by them, so that the
    /// loss should fall to nearly 0. Default: all examples are learned, and the validation examples judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overfit: Option<usize>,
    /// Time limit of the training in minutes, including earlier parts of a resumed one. Default:
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_minutes: Option<f64>,
}

impl Default for FitConfig {
    /// A cautious start for a few hundred reports: the recipe of the Haxby windows without what belongs to
    /// that data (the auxiliary loss, dropped voxels, moved and mixed windows), and with a batch, and looks
    /// at the validation, that a small cohort can afford.
    fn default() -> Self {
        Self {
            steps: 200,
            batch_size: 8,
            accumulate: 1,
            activation_checkpointing: false,
            learning_rate: 3e-3,
            warmup_steps: 20,
            lr_schedule: LrSchedule::Cosine,
            final_lr: 0.02,
            weight_decay: 0.05,
            clip_norm: 1.,
            gates_lr_scale: 10.,
            encoder_lr_scale: 1.,
            slot_weight: 10.,
            lora: None,
            slot_weights: BTreeMap::new(),
            balance: None,
            auxiliary: None,
            augment: AugmentConfig::default(),
            averaging: 0.98,
            validate_every: 20,
            best: LOSS.to_owned(),
            samples: 0,
            from: None,
            checkpoint_every: 20,
            patience: None,
            overfit: None,
            max_minutes: None,
        }
    }
}

impl FitConfig {
    /// What is learned and what judges it, of the training and the validation examples.
    pub fn division<'a, T>(&self, train: &'a [T], validation: &'a [T]) -> (&'a [T], &'a [T]) {
        match self.overfit {
            Some(n) => (&train[..n.min(train.len())], &train[..n.min(train.len())]),
            None => (train, validation),
        }
    }

    /// The architecture with the corrections that this training learns.
    ///
    /// # Errors
    /// Where the encoder has no frozen weights, or says already what is trained of it.
    pub fn around(&self, config: &FlamingoConfig) -> Result<FlamingoConfig> {
        let mut config = config.clone();
        if let Some(FitLora { lm, encoder }) = self.lora.clone() {
            config.lora = lm.or(config.lora);
            encoder.map_or(Ok(()), |lora| config.encoder.set_lora(lora))?;
        }
        Ok(config)
    }
}

/// Of what corrections of low rank are learned (LoRA, Hu et al. 2022), in the terms of PEFT.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FitLora {
    /// Beside the linear layers of the language model. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lm: Option<LoraConfig>,
    /// Beside those of the encoder, which then runs in every step. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<LoraConfig>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_as_fast(scale: &f64) -> bool {
    *scale == 1.
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

fn is_loss(metric: &str) -> bool {
    metric == LOSS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_one(n: &usize) -> bool {
    *n == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_cosine(schedule: &LrSchedule) -> bool {
    *schedule == LrSchedule::Cosine
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
    /// Where the model works.
    pub device: &'a Device,
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
    /// Validation examples, which choose the checkpoint that is kept.
    pub validation: &'a [Example],
    /// Reads what is written during the training, where that is wanted.
    pub judge: Option<&'a dyn Judge>,
    /// Ends a validation before it is done; the training goes on from there as if it had not begun.
    pub stop: Stop<'a>,
    /// Where the state is saved and found again.
    pub state: &'a Path,
}

fn check(inputs: &FitInputs) -> Result<()> {
    let FitConfig { steps, batch_size, accumulate, validate_every, augment, .. } = inputs.fit;
    if inputs.train.is_empty() || inputs.validation.is_empty() {
        let found = (inputs.train.len(), inputs.validation.len());
        return Err(Error::Data(format!(
            "a training needs training and validation examples, found {found:?}"
        )));
    }
    let one = |e: &Example| e.media.len() == 1;
    if inputs.config.media.is_empty() && !inputs.train.iter().chain(inputs.validation).all(one) {
        return Err(Error::Data("each example needs exactly one scan".to_owned()));
    }
    if [steps, batch_size, accumulate, validate_every].contains(&&0) {
        let reason = "steps, batch_size, accumulate and validate_every must be above 0";
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
    fit_with(inputs, &Alone, observer)
}

/// The same as one of several processes.
fn fit_with(inputs: &FitInputs, reduce: &dyn Reduce, observer: Observer) -> Result<Fitted> {
    let (train, validation) = inputs.fit.division(inputs.train, inputs.validation);
    let around = &inputs.fit.around(inputs.config)?;
    let inputs = &FitInputs { config: around, train, validation, ..*inputs };
    check(inputs)?;
    kernels::keep_freed_memory();
    let config = inputs.fit;
    let trainee = Trainee::new(inputs)?;
    let began_with = config.from.as_ref().map(|from| trainee.begin_with(from)).transpose()?;
    let optimizer = Optimizer::new(
        inputs.device,
        trainee.variables(),
        config.clip_norm,
        config.averaging,
        |name| {
            if name.ends_with("_gate") {
                (config.gates_lr_scale, 0.)
            } else if name.starts_with(ENCODER) {
                (config.encoder_lr_scale, config.weight_decay)
            } else {
                (1., config.weight_decay)
            }
        },
    )?;
    let task = Reports {
        inputs,
        rows: trainee.rows(inputs.train)?,
        validation_rows: trainee.rows(inputs.validation)?,
        augmenter: Augmenter::new(inputs.train, &config.augment),
        strata: draw::strata(inputs.train.iter().map(|example| example.stratum)),
        trainee,
    };
    let trainer = Trainer {
        optimizer,
        schedule: Schedule {
            peak: config.learning_rate,
            n_steps: config.steps,
            warmup_steps: config.warmup_steps,
            final_share: config.final_lr,
            shape: config.lr_schedule,
            compat: Compat::None,
        },
        rhythm: Rhythm {
            n_steps: config.steps,
            validate_every: config.validate_every,
            checkpoint_every: config.checkpoint_every,
            best_by: &config.best,
            patience: config.patience,
            max_time: config.max_minutes.map(|minutes| Duration::from_secs_f64(60. * minutes)),
        },
        state: inputs.state,
        reduce,
        observer,
    };
    let began = Progression::of(
        inputs.config.encoder.identity()?,
        recipe(inputs, began_with.as_deref()),
        data(inputs, [&task.rows, &task.validation_rows]),
    );
    let progression = trainer.run(&task, began)?;
    Ok(Fitted::new(inputs, progression, task.trainee.n_frozen))
}

/// Digest of what decides a training beside its data; when it is saved and when it ends early does not. Activation
/// checkpointing does: its gradients are the same to rounding only.
fn recipe(inputs: &FitInputs, began_with: Option<&str>) -> String {
    let same = FitConfig {
        checkpoint_every: 0,
        patience: None,
        max_minutes: None,
        samples: 0,
        // what is taken over is told by its digests, not by its place
        from: None,
        ..inputs.fit.clone()
    };
    let mut said =
        serde_json::json!([same, inputs.seed, inputs.config.resampler, inputs.config.gates]);
    if let (Some(lora), Some(said)) = (&inputs.config.lora, said.as_array_mut()) {
        said.push(serde_json::json!(lora));
    }
    if let (false, Some(said)) = (inputs.config.media.is_empty(), said.as_array_mut()) {
        said.push(serde_json::json!(inputs.config.media));
    }
    let began = began_with.map_or_else(String::new, |it| format!(" {it}"));
    files::sha256_bytes(format!("{said}{began}").as_bytes())
}

/// Digest of every row of ids and every window.
fn data(inputs: &FitInputs, rows: [&[Row]; 2]) -> String {
    let mut digests = String::new();
    for (examples, rows) in [inputs.train, inputs.validation].into_iter().zip(rows) {
        for (example, row) in examples.iter().zip(rows) {
            let mut bytes = format!("{row:?} {:?} {}", example.class, example.margin).into_bytes();
            bytes.extend(example.stratum.map(|it| format!(" {it}")).unwrap_or_default().bytes());
            for medium in &example.media {
                bytes.extend(format!("{:?}", medium.shape()).into_bytes());
                bytes.extend(medium.iter().flat_map(|x| x.to_le_bytes()));
            }
            digests += &files::sha256_bytes(&bytes);
        }
        digests.push(' ');
    }
    files::sha256_bytes(digests.as_bytes())
}

/// Reports learned from scans.
struct Reports<'a> {
    inputs: &'a FitInputs<'a>,
    trainee: Trainee,
    augmenter: Augmenter<'a>,
    rows: Vec<Row>,
    validation_rows: Vec<Row>,
    /// Training examples by the value that they are balanced by.
    strata: Vec<Vec<usize>>,
}

impl Reports<'_> {
    /// A training example as it is shown in one step.
    fn drawn(&self, idx: usize, rng: &mut impl rand::Rng) -> Window {
        let media = self.augmenter.draw(idx, rng);
        self.trainee.window(&self.inputs.train[idx], media).expect("its prompt was read before")
    }
}

impl Task for Reports<'_> {
    type Batch = Shown;

    fn batches(&self, step: usize) -> impl Iterator<Item = Shown> {
        let FitInputs { fit: config, train, seed, .. } = *self.inputs;
        let mut rng = rng(seed, &format!("step {step}"));
        let auxiliary = config.auxiliary.as_ref().map_or(0, |it| it.batch_size);
        let n_windows = auxiliary.max(config.batch_size);
        let n_drawn = config.accumulate * n_windows;
        let order = match config.balance {
            Some(_) => draw::balanced(&self.strata, n_drawn, &mut rng),
            None => draw::even(train.len(), n_drawn, &mut rng),
        };
        // every learned token of a step weighs the same, whichever batch it falls into
        let rows = order.chunks(n_windows).flat_map(|windows| &windows[..config.batch_size]);
        let weight = rows.map(|&row| self.rows[row].weight()).sum();
        let n_classes = order.iter().filter(|&&idx| train[idx].class.is_some()).count();
        (0..config.accumulate).map(move |at| {
            let windows = &order[at * n_windows..][..n_windows];
            Shown {
                windows: windows.iter().map(|&idx| self.drawn(idx, &mut rng)).collect(),
                classes: windows.iter().map(|&idx| train[idx].class).collect(),
                rows: windows[..config.batch_size].to_vec(),
                weight,
                n_classes,
            }
        })
    }

    fn loss(&self, shown: Shown) -> Result<Option<Tensor>> {
        self.trainee.loss(&shown, &self.rows, self.inputs.fit).map(Some)
    }

    fn backward(&self, shown: Shown) -> Result<Option<(Tensor, GradStore)>> {
        let FitInputs { fit, .. } = *self.inputs;
        if fit.activation_checkpointing {
            return self.trainee.checkpointed(&shown, &self.rows, fit).map(Some);
        }
        let loss = self.trainee.loss(&shown, &self.rows, fit)?;
        let grads = loss.backward()?;
        Ok(Some((loss, grads)))
    }

    fn n_tokens(&self, shown: &Shown) -> usize {
        shown.rows.iter().map(|&row| self.rows[row].len()).sum()
    }

    fn not_finite(&self, shown: &Shown) -> Result<Vec<String>> {
        // also what a window was mixed with, and windows that are shown without their text
        let broken = |it: &&Example| it.media.iter().any(|it| it.iter().any(|x| !x.is_finite()));
        let broken = self.inputs.train.iter().filter(broken).map(|it| it.name.clone());
        let broken: Vec<String> = broken.collect();
        if !broken.is_empty() {
            return Ok(broken);
        }
        let own = self.own_losses(shown)?.into_iter();
        Ok(own.filter(|(_, loss)| !loss.is_finite()).map(|(name, _)| name).collect())
    }

    fn own_losses(&self, shown: &Shown) -> Result<Vec<(String, f64)>> {
        let own = |&row: &usize| {
            let example = &self.inputs.train[row];
            let alone = Shown {
                windows: vec![self.trainee.window(example, example.shown())?],
                classes: vec![example.class],
                rows: vec![row],
                weight: self.rows[row].weight(),
                n_classes: 1,
            };
            let loss = self.trainee.loss(&alone, &self.rows, self.inputs.fit)?;
            Ok((example.name.clone(), f64::from(loss.to_scalar::<f32>()?)))
        };
        shown.rows.iter().map(own).collect()
    }

    fn validate(&self, step: usize) -> Result<Validation> {
        let found = self.judged(step)?;
        Ok(found.map_or(Validation::Stopped, Validation::Found))
    }

    fn kept(&self) -> Result<HashMap<String, Tensor>> {
        self.trainee.kept()
    }
}

impl Reports<'_> {
    /// What the validation examples say; nothing where it was asked to stop before it was done.
    fn judged(&self, step: usize) -> Result<Option<Judgement>> {
        let FitInputs { fit, validation, judge, stop, .. } = *self.inputs;
        let nll = |examples: &[&Example]| {
            self.trainee.nll(examples, &self.validation_rows, fit.batch_size, stop)
        };
        let own: Vec<&Example> = validation.iter().collect();
        let Some(own) = nll(&own)? else { return Ok(None) };
        let mut found = Judgement { nll: own, metrics: BTreeMap::new() };
        let Some(judge) = judge else { return Ok(Some(found)) };
        let writer = self.trainee.writer();
        let Some(metrics) = judge.judge(step, &writer, stop).map_err(Error::Judge)? else {
            return Ok(None);
        };
        found.metrics = metrics;
        if let Some(others) = judge.others() {
            let others: Vec<&Example> = others.iter().map(|&at| &validation[at]).collect();
            let Some(other) = nll(&others)? else { return Ok(None) };
            found.metrics.insert(SCAN_GAIN.to_owned(), other - own);
        }
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests;
