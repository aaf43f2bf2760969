//! The course of a training here.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Shape, Tensor};
use nn::Device;
use train::{MixtureConfig, Progress};

use super::Training;
use crate::checks::flamingo::case::tensors;

type Tensors = HashMap<String, Tensor>;

/// What was seen of it.
pub(super) struct Course {
    /// Of every batch: what it added to its step's loss, and the norm where the gradients were clipped after it.
    batches: Vec<(f64, Option<f64>)>,
    /// Step of the data, from 1, and rate of every step that was made.
    steps: Vec<(usize, f64)>,
    /// The weights after every step that was made.
    weights: BTreeMap<usize, Tensors>,
    first: Tensors,
    last: Tensors,
}

impl Training<'_> {
    /// Trains, stops after the first step that is made, and goes on from the saved state.
    pub(super) fn run(&self) -> Result<Course> {
        let state = tempfile::tempdir()?;
        let mut course = Course {
            batches: Vec::new(),
            steps: Vec::new(),
            weights: BTreeMap::new(),
            first: Tensors::new(),
            last: Tensors::new(),
        };
        let stopped = self.go(state.path(), &mut course, true);
        match stopped {
            Err(train::Error::Interrupted { .. }) => {
                course.first = saved(state.path(), self.flamingo.device())?;
                self.go(state.path(), &mut course, false)?;
            }
            // the only step is the last one
            Ok(()) => course.first = saved(state.path(), self.flamingo.device())?,
            Err(error) => return Err(error.into()),
        }
        course.last = saved(state.path(), self.flamingo.device())?;
        Ok(course)
    }

    fn go(&self, state: &Path, course: &mut Course, stops: bool) -> train::Result<()> {
        let mut failed = None;
        let mut watch = |news: &Progress| {
            match news {
                Progress::Batch { loss, grad_norm, .. } => {
                    course.batches.push((loss.unwrap_or(f64::NAN), *grad_norm));
                }
                Progress::Step { step, lr, .. } => {
                    course.steps.push((*step, *lr));
                    let copied = self
                        .named
                        .iter()
                        .map(|(name, var)| Ok((name.clone(), var.as_tensor().copy()?)));
                    match copied.collect::<candle_core::Result<_>>() {
                        Ok(weights) => _ = course.weights.insert(course.steps.len(), weights),
                        Err(error) => failed = Some(error),
                    }
                    if stops {
                        return ControlFlow::Break(());
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        };
        let (sources, named) = (self.batches.sources(), self.named.clone());
        train::train_mixture(&self.flamingo, named, &sources, &self.config, state, &mut watch)?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// The tensors of the newest saved state.
fn saved(folder: &Path, device: &Device) -> Result<Tensors> {
    let states = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let newest = states.collect::<Result<Vec<_>>>()?.into_iter().max().context("no state")?;
    tensors(&newest.join("state.safetensors"), device)
}

impl Course {
    /// What one of the two sources added, by micro-batch.
    pub(super) fn losses(&self, source: usize) -> impl Iterator<Item = f64> {
        self.batches.iter().skip(source).step_by(2).map(|&(loss, _)| loss)
    }

    /// The norms of the gradients, by micro-batch.
    pub(super) fn norms(&self) -> impl Iterator<Item = f64> {
        self.batches.iter().skip(1).step_by(2).map(|&(_, norm)| norm.unwrap_or(f64::NAN))
    }

    /// The micro-batches, from 0, after which a step was made.
    pub(super) fn steps_after(&self, config: &MixtureConfig) -> Vec<usize> {
        let of_epoch = config.n_batches.div_ceil(config.accumulate);
        let after = |&(step, _): &(usize, f64)| {
            let (epoch, group) = ((step - 1) / of_epoch, (step - 1) % of_epoch);
            let last = ((group + 1) * config.accumulate).min(config.n_batches);
            epoch * config.n_batches + last - 1
        };
        self.steps.iter().map(after).collect()
    }

    /// The rate of every step that was made.
    pub(super) fn rates(&self) -> Vec<f64> {
        self.steps.iter().map(|&(_, rate)| rate).collect()
    }

    /// The weights after so many steps.
    pub(super) fn weights(&self, step: usize) -> Option<&Tensors> {
        self.weights.get(&step)
    }

    /// A part of the state after the first step: `first` or `second` moment of a variable.
    pub(super) fn first_state(&self, name: &str, part: &str, shape: &Shape) -> Result<Tensor> {
        state(&self.first, name, part, shape)
    }

    /// The same of the state at the end.
    pub(super) fn last_state(&self, name: &str, part: &str, shape: &Shape) -> Result<Tensor> {
        state(&self.last, name, part, shape)
    }
}

fn state(state: &Tensors, name: &str, part: &str, shape: &Shape) -> Result<Tensor> {
    let Some(found) = state.get(&format!("{part}/{name}")) else {
        bail!("the saved state lacks {part}/{name}")
    };
    ensure!(found.elem_count() == shape.elem_count(), "{part}/{name} is of another size");
    Ok(found.reshape(shape)?.to_dtype(DType::F32)?)
}
