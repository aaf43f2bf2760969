//! Fine-tuning: encoder, resampler, gates and special-token rows on paired scans and reports.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Module, Tensor};
use encoder::{EncoderInput, InputShape};
use flamingo::{Flamingo, FlamingoConfig, MediaView, Medium, Vocabulary};
use nn::Linear;
use nn::seeded::rng;
use nn::weights::Variables;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::augment::{Augmenter, crop};
use crate::batch::{Row, text_loss};
use crate::fitted::Progression;
use crate::optimizer::Optimizer;
use crate::schedule::learning_rate;
use crate::{AugmentConfig, Error, Example, Fitted, Observer, Progress, Result, checkpoint};

/// How to fine-tune. Nothing here takes part when a report is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
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
    /// Weight of the tokens that state a slot's value; all others weigh 1.
    pub slot_weight: f64,
    /// A further loss on the latents, in training only; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auxiliary: Option<AuxiliaryConfig>,
    /// How training windows are varied.
    pub augment: AugmentConfig,
    /// Decay of the running average of the weights, which is what is judged and kept.
    pub averaging: f64,
    /// Steps between two looks at the examples that choose; the likeliest state is kept.
    pub validate_every: usize,
    /// Steps between two saved states, from which a stopped training goes on.
    pub checkpoint_every: usize,
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
    /// Architecture around it.
    pub config: &'a FlamingoConfig,
    /// Size of one preprocessed window, without margins.
    pub input: InputShape,
    /// How to train.
    pub fit: &'a FitConfig,
    /// Seed of initial values, order and augmentation.
    pub seed: u64,
    /// Examples to learn from.
    pub train: &'a [Example],
    /// Examples that choose the step to keep, by likelihood.
    pub choose: &'a [Example],
    /// Where the state is saved and found again.
    pub state: &'a Path,
}

/// A model under training.
struct Trainee {
    flamingo: Flamingo,
    vocabulary: Vocabulary,
    encoder: Variables,
    adapter: Variables,
    auxiliary: Option<(Linear, Variables)>,
    n_frozen: usize,
}

impl Trainee {
    fn new(inputs: &FitInputs) -> Result<Self> {
        let pretrained = lm::open(inputs.lm, DType::F32)?;
        let vocabulary = Vocabulary::new(pretrained.tokenizer, pretrained.lm.vocab_size())?;
        let (encoder, adapter) = (Variables::default(), Variables::default());
        let flamingo = Flamingo::new(
            inputs.config,
            inputs.input,
            pretrained.lm,
            vocabulary.n_special,
            encoder.builder(inputs.seed, DType::F32),
            adapter.builder(inputs.seed, DType::F32),
        )?;
        let n_classes = inputs.train.iter().filter_map(|e| e.class).max().map_or(0, |max| max + 1);
        let auxiliary = match &inputs.fit.auxiliary {
            Some(_) if n_classes > 0 => {
                let variables = Variables::default();
                let vb = variables.builder(inputs.seed, DType::F32).pp("auxiliary");
                let dim = flamingo.encoder().spec().vis_dim;
                Some((Linear::with_bias(dim, n_classes, vb)?, variables))
            }
            _ => None,
        };
        let n_frozen = pretrained.n_parameters;
        Ok(Self { flamingo, vocabulary, encoder, adapter, auxiliary, n_frozen })
    }

    /// All variables; the encoder's under a prefix, so that names stay unique.
    fn variables(&self) -> Vec<(String, candle_core::Var)> {
        let prefixed = |(name, var)| (format!("encoder/{name}"), var);
        let mut all: Vec<_> = self.encoder.all().into_iter().map(prefixed).collect();
        all.extend(self.adapter.all());
        all.extend(self.auxiliary.iter().flat_map(|(_, variables)| variables.all()));
        all
    }

    fn rows(&self, examples: &[Example], slot_weight: f64) -> Result<Vec<Row>> {
        let limit = self.flamingo.lm().n_positions();
        let rows = examples.iter().map(|e| Row::new(e, &self.vocabulary, slot_weight));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        match rows.iter().map(Row::len).max() {
            Some(found) if found > limit => Err(flamingo::Error::TooLong { found, limit }.into()),
            _ => Ok(rows),
        }
    }

    fn look(&self, windows: &[Medium]) -> Result<MediaView> {
        let (n_frames, n_voxels) = windows[0].dim();
        let values: Vec<f32> = windows.iter().flat_map(|window| window.iter().copied()).collect();
        let shape = (windows.len(), 1, 1, n_frames, n_voxels);
        let values = Tensor::from_vec(values, shape, &Device::Cpu)?;
        Ok(self.flamingo.look(&EncoderInput { values })?)
    }

    /// The loss of one step: weighted text loss plus the auxiliary loss.
    fn loss(
        &self,
        rows: &[&Row],
        windows: &[Medium],
        classes: &[Option<usize>],
        fit: &FitConfig,
    ) -> Result<Tensor> {
        let media = self.look(windows)?;
        let shown = media.first(rows.len())?;
        let text = text_loss(&self.flamingo, rows, Some(&shown), &self.vocabulary)?;
        let (Some((head, _)), Some(config)) = (&self.auxiliary, &fit.auxiliary) else {
            return Ok(text);
        };
        let known: Vec<u32> =
            (0u32..).zip(classes).filter_map(|(idx, class)| class.map(|_| idx)).collect();
        let targets: Vec<u32> = classes.iter().flatten().map(|&class| class as u32).collect();
        if known.is_empty() {
            return Ok(text);
        }
        let known = Tensor::from_slice(&known, known.len(), &Device::Cpu)?;
        let latents = media.latents().squeeze(1)?.mean(1)?.index_select(&known, 0)?;
        let auxiliary = nn::cross_entropy(&head.forward(&latents)?, targets)?.mean_all()?;
        Ok((text + (auxiliary * config.weight)?)?)
    }

    /// Weighted mean negative log-likelihood of the reports, without augmentation.
    fn nll(&self, examples: &[Example], rows: &[Row], batch_size: usize) -> Result<f64> {
        let (mut sum, mut n) = (0., 0usize);
        for (examples, rows) in examples.chunks(batch_size).zip(rows.chunks(batch_size)) {
            let windows: Vec<_> = examples.iter().map(|e| crop(&e.media[0], e.margin, 0)).collect();
            let media = self.look(&windows)?;
            let rows: Vec<_> = rows.iter().collect();
            let loss = text_loss(&self.flamingo, &rows, Some(&media), &self.vocabulary)?;
            sum += f64::from(loss.to_scalar::<f32>()?) * rows.len() as f64;
            n += rows.len();
        }
        Ok(sum / n as f64)
    }
}

fn check(inputs: &FitInputs) -> Result<()> {
    let FitConfig { steps, batch_size, validate_every, augment, .. } = inputs.fit;
    if inputs.train.is_empty() || inputs.choose.is_empty() {
        let found = (inputs.train.len(), inputs.choose.len());
        return Err(Error::Data(format!(
            "a training needs examples to learn from and examples to choose by, found {found:?}"
        )));
    }
    let one = |e: &Example| e.media.len() == 1;
    if !inputs.train.iter().chain(inputs.choose).all(one) {
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
    let config = inputs.fit;
    let trainee = Trainee::new(inputs)?;
    let mut optimizer =
        Optimizer::new(trainee.variables(), config.clip_norm, config.averaging, |name| {
            if name.ends_with("_gate") {
                (config.gates_lr_scale, 0.)
            } else {
                (1., config.weight_decay)
            }
        })?;
    let mut progression = Progression::default();
    if let Some((tensors, facts)) = checkpoint::load::<Progression>(inputs.state)? {
        progression = facts;
        let (best, state): (HashMap<_, _>, HashMap<_, _>) =
            tensors.into_iter().partition(|(name, _)| name.starts_with("best/"));
        if let Some(missing) = optimizer.restore(&state, progression.step)? {
            let reason = format!("tensor `{missing}` is missing or of another size");
            return Err(Error::Checkpoint { path: inputs.state.to_owned(), reason });
        }
        progression.best = best;
    }
    let rows = trainee.rows(inputs.train, config.slot_weight)?;
    let choose_rows = trainee.rows(inputs.choose, config.slot_weight)?;
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
                .averaged(|| trainee.nll(inputs.choose, &choose_rows, config.batch_size))?;
            let best = progression.judged(nll);
            if best {
                progression.best = optimizer.averaged(|| best_tensors(&trainee))?;
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

/// Copies of the package's tensors, under `best/encoder/` and `best/adapter/`.
fn best_tensors(trainee: &Trainee) -> Result<HashMap<String, Tensor>> {
    let mut best = HashMap::new();
    for (part, variables) in [("encoder", &trainee.encoder), ("adapter", &trainee.adapter)] {
        for (name, tensor) in variables.tensors() {
            best.insert(format!("best/{part}/{name}"), tensor.copy()?);
        }
    }
    Ok(best)
}
