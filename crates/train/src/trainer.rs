//! The loop of every training: steps of one or more micro-batches, judgements, and saved states from
//! which a stopped training goes on.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use candle_core::{Tensor, backprop::GradStore};

use crate::{
    Error, Observer, Progress, Result, checkpoint, gathered::Gathered, judge::Validation,
    optimizer::Optimizer, progression::Progression, reduce::Reduce, schedule::Schedule,
};

/// What is trained, and how it is judged.
pub(crate) trait Task {
    /// A micro-batch, ready to be shown.
    type Batch;

    /// The micro-batches of a step, counted from 0, each made when its turn comes. All that is drawn follows
    /// from the seed and the step.
    fn batches(&self, step: usize) -> impl Iterator<Item = Self::Batch>;

    /// What one of them adds to the loss of its step, a scalar: the losses of a step are added up. Nothing where it
    /// has nothing to learn.
    fn loss(&self, batch: Self::Batch) -> Result<Option<Tensor>>;

    /// That loss and its gradients.
    fn backward(&self, batch: Self::Batch) -> Result<Option<(Tensor, GradStore)>> {
        let Some(loss) = self.loss(batch)? else { return Ok(None) };
        let grads = loss.backward()?;
        Ok(Some((loss, grads)))
    }

    /// Ids that a batch shows to the language model, padding left out.
    fn n_tokens(&self, batch: &Self::Batch) -> usize;

    /// The examples of a batch whose scan or own loss is not finite, as people are told of them.
    fn not_finite(&self, _batch: &Self::Batch) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// The examples of a batch, as people are told of them, with the loss of each by itself.
    fn own_losses(&self, _batch: &Self::Batch) -> Result<Vec<(String, f64)>> {
        Ok(Vec::new())
    }

    /// The norm to which all that a step has gathered is clipped after this batch; the optimizer clips when it
    /// takes the step.
    fn clips_after(&self, _batch: &Self::Batch) -> Option<f64> {
        None
    }

    /// Whether a batch with nothing to learn takes with it what its step gathered before.
    fn drops_gathered(&self) -> bool {
        false
    }

    /// What the validation examples say after `step` steps, where there are any.
    fn validate(&self, step: usize) -> Result<Validation>;

    /// Copies of what is kept of a state that is the best so far.
    fn kept(&self) -> Result<HashMap<String, Tensor>>;
}

/// When a training judges, saves and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm<'a> {
    /// Steps in all.
    pub(crate) n_steps: usize,
    /// Steps between two judgements; the last step is judged as well.
    pub(crate) validate_every: usize,
    /// Steps between two saved states; the last step is saved as well.
    pub(crate) checkpoint_every: usize,
    /// The metric by which one judgement is better than another.
    pub(crate) best_by: &'a str,
    /// Judgements in a row without a better one, after which it ends.
    pub(crate) patience: Option<usize>,
    /// Time of all its processes together, after which it ends.
    pub(crate) max_time: Option<Duration>,
}

impl Rhythm<'_> {
    /// Whether the present state is judged.
    fn judges(&self, progression: &Progression) -> bool {
        let step = progression.step();
        step > 0
            && (step.is_multiple_of(self.validate_every.max(1))
                || progression.is_over(self.n_steps, None, self.max_time))
    }

    fn is_over(&self, progression: &Progression) -> bool {
        progression.is_over(self.n_steps, self.patience, self.max_time)
    }
}

/// What a training is run with.
pub(crate) struct Trainer<'a> {
    pub(crate) optimizer: Optimizer,
    pub(crate) schedule: Schedule,
    pub(crate) rhythm: Rhythm<'a>,
    /// Folder of its saved states.
    pub(crate) state: &'a Path,
    pub(crate) reduce: &'a dyn Reduce,
    pub(crate) observer: Observer<'a>,
}

impl Trainer<'_> {
    /// Trains from the beginning, or goes on from the newest whole state; gives how it went.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the observer breaks off before the end, with the state saved;
    /// [`Error::Checkpoint`] where the saved state is of another training.
    pub(crate) fn run(
        mut self,
        task: &impl Task,
        mut progression: Progression,
    ) -> Result<Progression> {
        self.resume(&mut progression)?;
        let rhythm = self.rhythm;
        let (began, before) = (Instant::now(), progression.seconds);
        // a judgement that was stopped is still owed
        let mut owed = rhythm.judges(&progression) && !progression.is_judged();
        while owed || !rhythm.is_over(&progression) {
            let mut flow = ControlFlow::Continue(());
            if !owed {
                flow = self.step(task, &mut progression, || began.elapsed(), before)?;
            }
            let judged = rhythm.judges(&progression);
            if judged && self.judge(task, &mut progression)?.is_break() {
                flow = ControlFlow::Break(());
            }
            owed = false;
            let done = progression.step();
            let stopped = self.agree(flow.is_break())?;
            let ends = rhythm.is_over(&progression);
            if stopped || done.is_multiple_of(rhythm.checkpoint_every.max(1)) || ends {
                self.save(&progression)?;
            }
            if stopped && !(ends && (!judged || progression.is_judged())) {
                return Err(Error::Interrupted { step: done });
            }
        }
        Ok(progression)
    }

    /// Learns from the batches of the next step.
    fn step(
        &mut self,
        task: &impl Task,
        progression: &mut Progression,
        elapsed: impl Fn() -> Duration,
        before: f64,
    ) -> Result<ControlFlow<()>> {
        let step = progression.step();
        let gathered = self.gather(task, step)?;
        let loss = gathered.as_ref().map(|gathered| gathered.loss);
        let lr = self.schedule.rate(step, self.optimizer.step());
        if let Some(gathered) = &gathered
            && let Some(what) = gathered.not_finite()?
        {
            // the weights are those of the step before; under other settings or data `fit` refuses the state
            self.save(progression)?;
            let examples =
                if self.reduce.n_ranks() == 1 { culprits(task, step)? } else { Vec::new() };
            return Err(Error::Diverged { step: step + 1, what, examples });
        }
        if let Some(loss) = loss
            && let Some(most) = progression.exploded_from(loss)
        {
            self.save(progression)?;
            let examples =
                if self.reduce.n_ranks() == 1 { largest(task, step)? } else { Vec::new() };
            return Err(Error::Exploded { step: step + 1, loss, most, examples });
        }
        let mut news = Progress::NothingLearned { step: step + 1 };
        if let Some(Gathered { gradients, loss, n_tokens }) = gathered {
            let grad_norm = self.optimizer.take(&gradients, lr)?;
            let n_steps = self.rhythm.n_steps;
            news = Progress::Step { step: step + 1, n_steps, loss, lr, grad_norm, n_tokens };
        }
        progression.took(loss, before + self.by_the_first(elapsed().as_secs_f32())?);
        Ok(self.tell(&news))
    }

    /// Asks the validation examples; breaks off where they were not asked to the end.
    fn judge(
        &mut self,
        task: &impl Task,
        progression: &mut Progression,
    ) -> Result<ControlFlow<()>> {
        let step = progression.step();
        let judgement = match self.optimizer.averaged(|| task.validate(step))? {
            Validation::Nothing => return Ok(ControlFlow::Continue(())),
            Validation::Stopped => return Ok(ControlFlow::Break(())),
            Validation::Found(judgement) => judgement,
        };
        let (nll, metrics) = (judgement.nll, judgement.metrics.clone());
        let best = progression.judged(judgement, self.rhythm.best_by);
        if best {
            progression.best = self.optimizer.averaged(|| task.kept())?;
        }
        Ok(self.tell(&Progress::Validated { step, nll, metrics, best }))
    }

    /// Adds up the gradients and losses of the micro-batches of a step, those of other processes too; nothing
    /// where none of them had something to learn.
    fn gather<T: Task>(&mut self, task: &T, step: usize) -> Result<Option<Gathered>> {
        let (rank, n_ranks) = (self.reduce.rank(), self.reduce.n_ranks());
        let mut batches = task.batches(step).peekable();
        let mut sum: Option<Vec<f32>> = None;
        // of a process alone, gradients are added where they lie
        let mut here = None::<Gathered>;
        while batches.peek().is_some() {
            // in the last round some processes may have nothing to add
            let (mut own, mut clip) = (None, None);
            for (at, batch) in batches.by_ref().take(n_ranks).enumerate() {
                if at == rank {
                    clip = task.clips_after(&batch);
                    own = self.one(task, batch)?;
                }
            }
            let is_only = n_ranks == 1 && here.is_none() && batches.peek().is_none();
            if is_only && clip.is_none() {
                return Ok(own);
            }
            let loss = own.as_ref().map(|own| own.loss);
            if own.is_none() && task.drops_gathered() {
                (sum, here) = (None, None);
                _ = self.tell(&Progress::Batch { step: step + 1, loss, grad_norm: None });
                continue;
            }
            if n_ranks == 1 {
                here = match (here, own) {
                    (Some(sum), Some(own)) => Some(sum.plus(own)?),
                    (sum, own) => sum.or(own),
                };
                let clipped = clip.zip(here.as_mut()).map(|(most, sum)| sum.clip(most));
                let grad_norm = clipped.transpose()?.or(clip.map(|_| 0.));
                _ = self.tell(&Progress::Batch { step: step + 1, loss, grad_norm });
                continue;
            }
            let own = match own {
                Some(own) => self.optimizer.flat(&own)?,
                None => self.optimizer.flat_nothing(),
            };
            let sum = sum.get_or_insert_with(|| vec![0.; own.len()]);
            self.reduce.add(sum, &own)?;
            let grad_norm = clip.map(|most| self.optimizer.clip_flat(sum, most));
            _ = self.tell(&Progress::Batch { step: step + 1, loss, grad_norm });
        }
        Ok(here.or_else(|| sum.and_then(|sum| self.optimizer.unflat(sum))))
    }

    /// The gradients and the loss of a micro-batch.
    fn one<T: Task>(&self, task: &T, batch: T::Batch) -> Result<Option<Gathered>> {
        let n_tokens = task.n_tokens(&batch);
        let Some((loss, grads)) = task.backward(batch)? else { return Ok(None) };
        let value = f64::from(loss.to_scalar::<f32>()?);
        let gradients = self.optimizer.read(&grads)?;
        Ok(Some(Gathered { gradients, loss: value, n_tokens }))
    }

    /// What the first process says of the time, so that all of them end after the same step.
    fn by_the_first(&self, seconds: f32) -> Result<f64> {
        let mut first = [0.];
        self.reduce.add(&mut first, &[if self.reduce.rank() == 0 { seconds } else { 0. }])?;
        Ok(f64::from(first[0]))
    }

    /// Whether any process was asked to stop: all of them stop after the same step.
    fn agree(&self, stops: bool) -> Result<bool> {
        let mut n = [0.];
        self.reduce.add(&mut n, &[f32::from(stops)])?;
        Ok(n[0] > 0.)
    }

    /// One process speaks for all.
    fn tell(&mut self, news: &Progress) -> ControlFlow<()> {
        if self.reduce.rank() == 0 { (self.observer)(news) } else { ControlFlow::Continue(()) }
    }

    fn save(&self, progression: &Progression) -> Result<()> {
        if self.reduce.rank() > 0 {
            return Ok(());
        }
        let mut tensors = self.optimizer.state()?;
        tensors.extend(progression.best.clone());
        checkpoint::save(self.state, progression.step(), &tensors, progression)
    }

    fn resume(&mut self, progression: &mut Progression) -> Result<()> {
        let Self { optimizer, state, observer, .. } = self;
        let mut note = |news: &Progress| _ = observer(news);
        checkpoint::resume(state, &mut note, |tensors, saved: Progression| {
            if let Some(reason) = progression.differs(&saved) {
                return Err(Error::Checkpoint { path: state.to_owned(), reason });
            }
            let (best, tensors): (HashMap<_, _>, HashMap<_, _>) =
                tensors.into_iter().partition(|(name, _)| name.starts_with("best/"));
            let restored =
                saved.is_whole().and_then(|()| optimizer.restore(&tensors, saved.n_updates()));
            if restored.is_ok() {
                *progression = saved;
                progression.best = best;
            }
            Ok(restored)
        })?;
        if progression.step() > 0 {
            _ = self.tell(&Progress::Resumed { step: progression.step() });
        }
        Ok(())
    }
}

/// The examples of a step whose scan or own loss is not finite.
fn culprits<T: Task>(task: &T, step: usize) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for batch in task.batches(step) {
        for name in task.not_finite(&batch)? {
            if !found.contains(&name) {
                found.push(name);
            }
        }
    }
    Ok(found)
}

/// The examples of a step whose own losses are the largest: those of at least half the largest one.
fn largest<T: Task>(task: &T, step: usize) -> Result<Vec<String>> {
    let mut found: Vec<(String, f64)> = Vec::new();
    for batch in task.batches(step) {
        for (name, loss) in task.own_losses(&batch)? {
            if found.iter().all(|(known, _)| *known != name) {
                found.push((name, loss));
            }
        }
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    let most = found.first().map_or(0., |(_, loss)| *loss);
    Ok(found.into_iter().filter(|(_, loss)| *loss >= most / 2.).map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests;
