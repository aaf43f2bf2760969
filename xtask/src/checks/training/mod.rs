//! Trainings that OpenFlamingo's own script ran, beside the same trainings here.

mod batches;
mod course;
mod labels;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Tensor, Var};
use flamingo::{Compat, Flamingo};
use nn::Device;
use serde_json::Value;
use train::{LrSchedule, MixtureConfig};

pub(super) use self::labels::labels;
use self::{batches::Batches, course::Course};
use super::flamingo::{
    case::{Spec, build, tensors},
    compare::{gap, size},
    training::full_name,
};
use super::recorded::{number, numbers};
use super::{Outcome, Worst};

/// A whole training: losses, norms, rates, gradients, weights and moments.
pub(super) fn outcome(folder: &Path, name: &str, case: &Value, device: &Device) -> Outcome {
    match compared(folder, case, device) {
        Ok(worst) => Outcome::compared(name, worst),
        Err(error) => Outcome::broken(name, format!("{error:#}")),
    }
}

/// One recorded training.
struct Training<'a> {
    folder: &'a Path,
    case: &'a Value,
    flamingo: Flamingo,
    named: Vec<(String, Var)>,
    /// The weights before it, as they were recorded.
    start: Vec<(String, Tensor)>,
    batches: Batches,
    config: MixtureConfig,
}

fn compared(folder: &Path, case: &Value, device: &Device) -> Result<Worst> {
    let mut worst = Worst::new();
    for activation_checkpointing in [false, true] {
        // anew, because a training leaves its last weights in the model
        let mut training = Training::open(folder, case, device)?;
        training.config.activation_checkpointing = activation_checkpointing;
        training.compare(&mut worst)?;
    }
    Ok(worst)
}

impl<'a> Training<'a> {
    fn open(folder: &'a Path, case: &'a Value, device: &Device) -> Result<Self> {
        let said = &case["spec"];
        let spec: Spec = serde_json::from_value(said.clone()).context("spec of case.json")?;
        let freezes = said["freeze_lm_embeddings"].as_bool().context("no freeze_lm_embeddings")?;
        let (flamingo, variables) = build(folder, &spec, None, !freezes, device)?;
        let named: Vec<(String, Var)> =
            variables.all().into_iter().map(|(name, var)| (full_name(&name), var)).collect();
        let start = named.iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().copy()?)));
        Ok(Self {
            start: start.collect::<Result<_>>()?,
            batches: Batches::open(folder, case, &spec, device)?,
            config: config(said, &named)?,
            folder,
            case,
            flamingo,
            named,
        })
    }

    fn compare(&self, worst: &mut Worst) -> Result<()> {
        self.batches.labels(worst);
        // stopped after its first step and gone on with, it must end as the original that was not
        let course = self.run()?;
        self.losses(&course, worst)?;
        self.rates(&course, worst)?;
        self.weights(&course, worst)?;
        self.moments(&course, worst)
    }

    fn tolerance(&self, name: &str) -> Result<f64> {
        let found = self.case["tolerance"][name].as_f64();
        found.with_context(|| format!("case.json lacks tolerance.{name}"))
    }

    /// A tolerance that is said by steps: the one of this step or of the next that has one.
    fn tolerance_at(&self, name: &str, step: usize) -> Result<f64> {
        let all = self.case["tolerance"][name].as_object();
        let all = all.with_context(|| format!("case.json lacks tolerance.{name}"))?;
        let steps = all.iter().map(|(at, value)| Ok((at.parse::<usize>()?, number(value))));
        let steps = steps.collect::<Result<BTreeMap<_, _>>>()?;
        let found = steps.range(step..).next().or_else(|| steps.iter().next_back());
        found.map(|(_, &tolerance)| tolerance).with_context(|| format!("{name} is empty"))
    }

    /// The steps after which the weights were recorded.
    fn recorded_steps(&self) -> Result<BTreeSet<usize>> {
        let mut steps = BTreeSet::new();
        for entry in std::fs::read_dir(self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let step = name.strip_prefix("after_").and_then(|it| it.strip_suffix(".safetensors"));
            if let Some(step) = step {
                steps.insert(step.parse().with_context(|| name.clone())?);
            }
        }
        Ok(steps)
    }

    /// Numbers that were recorded of each micro-batch or step.
    fn expected(&self, name: &str, n: usize) -> Result<Vec<f64>> {
        let found = numbers(&self.case["expect"][name]);
        ensure!(found.len() == n, "expect.{name} has {} numbers, expected {n}", found.len());
        Ok(found)
    }

    /// Both losses and the norm of every micro-batch, and after which of them a step was made.
    fn losses(&self, course: &Course, worst: &mut Worst) -> Result<()> {
        let n = self.config.n_epochs * self.config.n_batches;
        for (source, name) in ["loss_laion", "loss_mmc4"].into_iter().enumerate() {
            let tolerance = self.tolerance("loss_rel")?;
            let share = self.batches.multipliers()[source] / self.config.accumulate as f64;
            let found = course.losses(source).map(|loss| loss / share);
            add_numbers(worst, name, found, &self.expected(name, n)?, tolerance)?;
        }
        let (name, tolerance) = ("grad_norm_before_clip", self.tolerance("grad_norm_rel")?);
        add_numbers(worst, name, course.norms(), &self.expected(name, n)?, tolerance)?;
        let after = numbers(&self.case["expect"]["optimizer_step_after_micro_batch"]);
        let after: Vec<usize> = after.into_iter().map(|at| at as usize).collect();
        worst.equal("micro-batches before a step", &course.steps_after(&self.config), &after);
        Ok(())
    }

    fn rates(&self, course: &Course, worst: &mut Worst) -> Result<()> {
        let rates = course.rates();
        let expected = self.expected("learning_rate", rates.len())?;
        let tolerance = self.tolerance("learning_rate_rel")?;
        add_numbers(worst, "learning rate", rates.into_iter(), &expected, tolerance)
    }

    /// The weights after some steps, how far they moved, and what must not move.
    fn weights(&self, course: &Course, worst: &mut Worst) -> Result<()> {
        let recorded_steps = self.recorded_steps()?;
        ensure!(!recorded_steps.is_empty(), "no weights were recorded");
        for step in recorded_steps {
            let path = self.folder.join(format!("after_{step}.safetensors"));
            let found = course.weights(step);
            let found = found.with_context(|| format!("the training made no step {step}"))?;
            let tolerance = self.tolerance_at("weights_rel", step)?;
            let moved = self.tolerance_at("update_rel", step)?;
            let recorded = tensors(&path, self.flamingo.device())?;
            let names =
                |all: &mut dyn Iterator<Item = &String>| all.cloned().collect::<BTreeSet<_>>();
            let trained = names(&mut self.named.iter().map(|(name, _)| name));
            worst.equal("what trains", &trained, &names(&mut recorded.keys()));
            for (name, start) in &self.start {
                let expected = recorded.get(name).with_context(|| format!("no {name}"))?;
                let found = &found[name];
                let what = format!("{name} after step {step}");
                let error = gap(found, expected, None)?;
                let scale = size(expected)?.max(f64::MIN_POSITIVE);
                worst.add(&what, error / scale, tolerance);
                // a tensor that hardly moves is judged beside all that it is
                let change = size(&(expected - start)?)?;
                if change > 1e-4 * scale {
                    worst.add(&format!("change of {what}"), error / change, moved);
                }
                if let Some((embedding, rows)) = &self.config.trained_rows
                    && embedding == name
                {
                    worst.add(
                        &format!("frozen rows of {what}"),
                        moved_rows(found, start, rows)?,
                        0.,
                    );
                }
            }
        }
        Ok(())
    }

    /// The gradients of the first step, and both moments at the end, from the saved states.
    fn moments(&self, course: &Course, worst: &mut Worst) -> Result<()> {
        let tolerance = self.tolerance("grads_step1_rel")?;
        for (name, expected) in
            tensors(&self.folder.join("grads_step1.safetensors"), self.flamingo.device())?
        {
            // the first mean is a tenth of the gradient
            let found = (course.first_state(&name, "first", expected.shape())? * 10.)?;
            let scale = size(&expected)?.max(f64::MIN_POSITIVE);
            worst.add(
                &format!("gradient of {name}"),
                gap(&found, &expected, None)? / scale,
                tolerance,
            );
        }
        let tolerance = self.tolerance("optimizer_rel")?;
        for (name, expected) in
            tensors(&self.folder.join("optimizer.safetensors"), self.flamingo.device())?
        {
            let (part, variable) = match name.split_once('.') {
                Some(("exp_avg", variable)) => ("first", variable),
                Some(("exp_avg_sq", variable)) => ("second", variable),
                _ => bail!("optimizer.safetensors holds `{name}`"),
            };
            let found = course.last_state(variable, part, expected.shape())?;
            let scale = size(&expected)?.max(f64::MIN_POSITIVE);
            worst.add(&name, gap(&found, &expected, None)? / scale, tolerance);
        }
        Ok(())
    }
}

/// The largest change of a row that must stay.
fn moved_rows(found: &Tensor, start: &Tensor, trained: &[u32]) -> Result<f64> {
    let change = (found - start)?.abs()?.max(1)?.to_vec1::<f32>()?;
    let frozen = (0..).zip(change).filter(|(row, _)| !trained.contains(row));
    Ok(frozen.fold(0., |most, (_, change)| f64::from(change).max(most)))
}

/// Compares numbers in order, each beside its own size; a number that is none stands for none.
fn add_numbers(
    worst: &mut Worst,
    what: &str,
    found: impl Iterator<Item = f64>,
    expected: &[f64],
    tolerance: f64,
) -> Result<()> {
    let found: Vec<f64> = found.collect();
    ensure!(
        found.len() == expected.len(),
        "{} of {what}, expected {}",
        found.len(),
        expected.len()
    );
    for (at, (found, &expected)) in found.into_iter().zip(expected).enumerate() {
        let error = match (found.is_nan(), expected.is_nan()) {
            (true, true) => 0.,
            (false, false) if found == expected => 0.,
            _ => (found - expected).abs() / expected.abs().max(f64::MIN_POSITIVE),
        };
        worst.add(&format!("{what} {at}"), error, tolerance);
    }
    Ok(())
}

/// How the original was called; the groups of its optimizer must be those that the training makes.
fn config(said: &Value, named: &[(String, Var)]) -> Result<MixtureConfig> {
    let count = |name: &str| {
        let found = said[name].as_u64().map(|n| n as usize);
        found.with_context(|| format!("case.json lacks spec.{name}"))
    };
    let real =
        |name: &str| said[name].as_f64().with_context(|| format!("case.json lacks spec.{name}"));
    let rows = numbers(&said["trainable_embedding_rows"]).into_iter().map(|row| row as u32);
    let rows: Vec<u32> = rows.collect();
    let embedding = said["input_embedding_name"].as_str().map(str::to_owned);
    let trains = |name: &String| named.iter().any(|(known, _)| known == name);
    let config = MixtureConfig {
        n_epochs: count("num_epochs")?,
        n_batches: count("num_batches")?,
        accumulate: count("gradient_accumulation_steps")?,
        learning_rate: real("learning_rate")?,
        warmup_steps: count("warmup_steps")?,
        lr_schedule: match said["lr_scheduler"].as_str() {
            Some("constant") => LrSchedule::Constant,
            Some("linear") => LrSchedule::Linear,
            Some("cosine") => LrSchedule::Cosine,
            other => bail!("lr_scheduler is {other:?}"),
        },
        weight_decay: real("weight_decay")?,
        clip_norm: real("max_grad_norm")?,
        trained_rows: embedding.filter(trains).map(|name| (name, rows)),
        activation_checkpointing: false,
        checkpoint_every: usize::MAX,
        compat: Compat::OpenFlamingo,
    };
    for group in said["optimizer"]["groups"].as_array().context("no groups")? {
        let decay = group["weight_decay"].as_f64().context("a group has no weight_decay")?;
        for name in group["params"].as_array().context("a group has no params")? {
            let name = name.as_str().context("a name is no text")?;
            let ours = if name.contains("gated_cross_attn") { config.weight_decay } else { 0. };
            ensure!(decay == ours, "{name} decays by {decay} in the original, by {ours} here");
            ensure!(named.iter().any(|(known, _)| known == name), "{name} is not trained here");
        }
    }
    Ok(config)
}
