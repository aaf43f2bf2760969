//! OpenFlamingo's own training: batches of several sources in one step, each with a multiplier of its loss.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Tensor, Var, backprop::GradStore};
use encoder::EncoderInput;
use flamingo::{Compat, Flamingo, Prompts, TextView};

use crate::{
    Error, LOSS, LrSchedule, Observer, Result,
    batch::Predicted,
    judge::Validation,
    optimizer::Optimizer,
    progression::Progression,
    reduce::Alone,
    schedule::Schedule,
    trainer::{Rhythm, Task, Trainer},
};

/// Rows of one source, shown in one pass.
#[derive(Clone, Debug)]
pub struct MixtureBatch {
    /// `(batch, n_media, 1, …)`, then the dimensions of one item.
    pub media: EncoderInput,
    /// Ids and padding, `(batch, n_tokens)`.
    pub text: Prompts,
    /// What is learned of each row, `(batch, n_tokens)`, not shifted; see [`crate::labels`].
    pub labels: Vec<Vec<Option<u32>>>,
}

/// Where batches come from.
pub trait Source {
    /// Factor on the source's loss.
    fn loss_multiplier(&self) -> f64;

    /// Batch `idx` of an epoch, both counted from 0.
    ///
    /// # Errors
    /// What cannot be read.
    fn batch(&self, epoch: usize, idx: usize) -> Result<MixtureBatch>;
}

/// How to train on a mixture of sources.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureConfig {
    /// Passes over the sources.
    pub n_epochs: usize,
    /// Micro-batches of an epoch; each has one batch of every source.
    pub n_batches: usize,
    /// Micro-batches of a step.
    pub accumulate: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises.
    pub warmup_steps: usize,
    /// How the learning rate goes on after warm-up, down to 0.
    pub lr_schedule: LrSchedule,
    /// Decoupled weight decay of the gated blocks, gates and norms included; nothing else decays.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient.
    pub clip_norm: f64,
    /// The only rows of a variable, by its name, that move: those of the special tokens in an embedding.
    pub trained_rows: Option<(String, Vec<u32>)>,
    /// Whether activations are computed once more on the way back instead of kept; see [`Flamingo::checkpointed`].
    pub activation_checkpointing: bool,
    /// Steps between two saved states; the last step is saved as well.
    pub checkpoint_every: usize,
    /// Which implementation's faults to reproduce.
    ///
    /// Of none: every learned token of a source weighs the same within a step; a batch without one is passed over and
    /// counted; gradients are clipped once, when a step is due; a shorter last group of an epoch is divided by its own
    /// size; the schedule counts steps, and its first moves the weights.
    ///
    /// As OpenFlamingo 2.0.1: the loss of a batch is the mean over its own tokens, over `accumulate` also in a shorter
    /// group; what was gathered is clipped after every micro-batch; a batch of the last source without a learned token
    /// drops all that its step gathered before; the schedule is as long as there are micro-batches, but moves on once a
    /// step, and the first step of a warm-up has rate 0.
    pub compat: Compat,
}

impl MixtureConfig {
    /// Steps of an epoch, the last of which may be shorter.
    fn steps_of_epoch(&self) -> usize {
        self.n_batches.div_ceil(self.accumulate)
    }

    fn check(&self, sources: &[&dyn Source]) -> Result<()> {
        let counts = [self.n_epochs, self.n_batches, self.accumulate, sources.len()];
        if counts.contains(&0) {
            let reason =
                "n_epochs, n_batches, accumulate and the number of sources must be above 0";
            return Err(Error::Data(reason.to_owned()));
        }
        Ok(())
    }
}

/// Trains variables of a model on a mixture of sources, or goes on from the state saved in `state`.
///
/// The variables, all those under training by their names in OpenFlamingo, hold the last weights afterwards. Returns the
/// steps in which nothing was learned.
///
/// # Errors
/// [`Error::Interrupted`] when the observer breaks off, with the state saved; [`Error::Data`] where a batch does not
/// fit the model or nothing is to be trained; [`Error::Diverged`] at a loss or a gradient that is not finite.
pub fn train_mixture(
    flamingo: &Flamingo,
    variables: Vec<(String, Var)>,
    sources: &[&dyn Source],
    config: &MixtureConfig,
    state: &Path,
    observer: Observer,
) -> Result<Vec<usize>> {
    config.check(sources)?;
    let original = config.compat == Compat::OpenFlamingo;
    // what was gathered is clipped already where the original clips it
    let clip_norm = if original { f64::INFINITY } else { config.clip_norm };
    let mut optimizer = Optimizer::new(flamingo.device(), variables, clip_norm, 0., |name| {
        (1., if name.contains("gated_cross_attn") { config.weight_decay } else { 0. })
    })?;
    if let Some((name, rows)) = &config.trained_rows {
        optimizer.train_only_rows(name, rows)?;
    }
    let n_steps = config.n_epochs * config.steps_of_epoch();
    let n_micro_batches = config.n_epochs * config.n_batches;
    let trainer = Trainer {
        optimizer,
        schedule: Schedule {
            peak: config.learning_rate,
            n_steps: if original { n_micro_batches } else { n_steps },
            warmup_steps: config.warmup_steps,
            final_share: 0.,
            shape: config.lr_schedule,
            compat: config.compat,
        },
        rhythm: Rhythm {
            n_steps,
            validate_every: usize::MAX,
            checkpoint_every: config.checkpoint_every,
            best_by: LOSS,
            patience: None,
            max_time: None,
        },
        state,
        reduce: &Alone,
        observer,
    };
    let begun = Progression::of(String::new(), recipe(sources, config), String::new());
    let progression = trainer.run(&Mixture { flamingo, sources, config }, begun)?;
    Ok(progression.unlearned())
}

/// Digest of what decides a training beside its data; when it is saved does not.
fn recipe(sources: &[&dyn Source], config: &MixtureConfig) -> String {
    let multipliers: Vec<f64> = sources.iter().map(|it| it.loss_multiplier()).collect();
    let same = MixtureConfig { checkpoint_every: 0, ..config.clone() };
    files::sha256_bytes(format!("{same:?} {multipliers:?}").as_bytes())
}

struct Mixture<'a> {
    flamingo: &'a Flamingo,
    sources: &'a [&'a dyn Source],
    config: &'a MixtureConfig,
}

/// A batch of one source, and its part in a step.
struct Part {
    shown: MixtureBatch,
    /// What the summed loss of its tokens is multiplied with.
    factor: f64,
    /// Whether it is the last of its micro-batch.
    is_last: bool,
}

impl Mixture<'_> {
    /// The batches of a step, by micro-batch and source.
    fn read(&self, step: usize) -> Result<Vec<Vec<MixtureBatch>>> {
        let (epoch, group) =
            (step / self.config.steps_of_epoch(), step % self.config.steps_of_epoch());
        let first = group * self.config.accumulate;
        let last = (first + self.config.accumulate).min(self.config.n_batches);
        let one = |idx| self.sources.iter().map(|source| source.batch(epoch, idx)).collect();
        (first..last).map(one).collect()
    }

    /// A batch as one pass, and what is learned of it; nothing where that is nothing.
    fn learned(&self, shown: &MixtureBatch) -> Result<Option<(TextView, Predicted)>> {
        let view =
            shown.text.view(self.flamingo.lm().shape().n_positions, self.flamingo.device())?;
        let (n_rows, n_tokens) = view.ids.dims2()?;
        if shown.labels.len() != n_rows || shown.labels.iter().any(|row| row.len() != n_tokens) {
            let reason =
                format!("a batch has ids ({n_rows}, {n_tokens}) and labels of another shape");
            return Err(Error::Data(reason));
        }
        let mut learned = Predicted::default();
        for (row, labels) in shown.labels.iter().enumerate() {
            for (at, label) in labels.iter().enumerate().skip(1) {
                if let Some(label) = *label {
                    learned.push(row * n_tokens + at - 1, label, 1.);
                }
            }
        }
        Ok((!learned.is_empty()).then_some((view, learned)))
    }

    fn parts(&self, step: usize) -> Result<Vec<Part>> {
        let groups = self.read(step)?;
        let n_learned = |source: usize| -> usize {
            groups.iter().map(|batches| n_targets(&batches[source])).sum()
        };
        let totals: Vec<usize> = (0..self.sources.len()).map(n_learned).collect();
        let n_sources = self.sources.len();
        let mut parts = Vec::new();
        for (source, shown) in groups.into_iter().flat_map(|group| group.into_iter().enumerate()) {
            let total = match self.config.compat {
                Compat::None => totals[source],
                Compat::OpenFlamingo => self.config.accumulate * n_targets(&shown),
            };
            let factor = self.sources[source].loss_multiplier() / total.max(1) as f64;
            parts.push(Part { shown, factor, is_last: source + 1 == n_sources });
        }
        Ok(parts)
    }
}

/// Ids that are learned: the first of a row is predicted by nothing.
fn n_targets(batch: &MixtureBatch) -> usize {
    batch.labels.iter().flat_map(|row| row.iter().skip(1)).flatten().count()
}

impl Task for Mixture<'_> {
    type Batch = Result<Part>;

    fn batches(&self, step: usize) -> impl Iterator<Item = Result<Part>> {
        match self.parts(step) {
            Ok(parts) => parts.into_iter().map(Ok).collect::<Vec<_>>().into_iter(),
            Err(error) => vec![Err(error)].into_iter(),
        }
    }

    fn loss(&self, batch: Result<Part>) -> Result<Option<Tensor>> {
        let Part { shown, factor, .. } = batch?;
        let Some((text, learned)) = self.learned(&shown)? else { return Ok(None) };
        let media = self.flamingo.encode_media(&shown.media)?;
        let hidden = self.flamingo.hidden(&text, Some(&media), None)?;
        Ok(Some(learned.loss(self.flamingo, &hidden, factor.recip())?))
    }

    fn backward(&self, batch: Result<Part>) -> Result<Option<(Tensor, GradStore)>> {
        if !self.config.activation_checkpointing {
            let Some(loss) = self.loss(batch)? else { return Ok(None) };
            let grads = loss.backward()?;
            return Ok(Some((loss, grads)));
        }
        let Part { shown, factor, .. } = batch?;
        let Some((text, learned)) = self.learned(&shown)? else { return Ok(None) };
        let parts = learned.parts(self.flamingo.lm().shape().vocab_size);
        let loss = |hidden: &Tensor, _: &Tensor, part: usize| {
            parts[part].clone().loss(self.flamingo, hidden, factor.recip())
        };
        let media = shown.media.clone().into();
        Ok(Some(self.flamingo.checkpointed(&media, &text, parts.len(), loss)?))
    }

    fn n_tokens(&self, batch: &Result<Part>) -> usize {
        let real = batch.as_ref().map_or(&[][..], |part| part.shown.text.real());
        real.iter().flatten().filter(|&&real| real).count()
    }

    fn clips_after(&self, batch: &Result<Part>) -> Option<f64> {
        let is_last = batch.as_ref().is_ok_and(|part| part.is_last);
        (self.config.compat == Compat::OpenFlamingo && is_last).then_some(self.config.clip_norm)
    }

    fn drops_gathered(&self) -> bool {
        self.config.compat == Compat::OpenFlamingo
    }

    /// It is judged by its course alone.
    fn validate(&self, _: usize) -> Result<Validation> {
        Ok(Validation::Nothing)
    }

    fn kept(&self) -> Result<HashMap<String, Tensor>> {
        Ok(HashMap::new())
    }
}
