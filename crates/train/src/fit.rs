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
use crate::trainee::Trainee;
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
    /// In which numbers it is kept.
    pub precision: Precision,
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
    kernels::keep_freed_memory();
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
mod tests {
    use super::*;
    use crate::{PretrainConfig, pretrain};
    use encoder::{EncoderConfig, VoxelFramesConfig};
    use flamingo::{Compat, GatesConfig, ResamplerConfig};
    use std::ops::ControlFlow;
    use std::sync::Arc;

    const INPUT: InputShape = InputShape::Window { n_frames: 4, n_voxels: 6 };

    fn config() -> FlamingoConfig {
        FlamingoConfig {
            encoder: EncoderConfig::VoxelFrames(VoxelFramesConfig { dim: 8, n_groups: 2 }),
            resampler: ResamplerConfig {
                n_latents: 2,
                depth: 1,
                n_heads: 2,
                head_dim: 4,
                ff_mult: 2,
                max_num_media: None,
                max_num_frames: None,
            },
            gates: GatesConfig {
                every: 1,
                n_heads: 2,
                head_dim: 4,
                ff_mult: 2,
                only_attend_immediate_media: true,
            },
            compat: Compat::None,
        }
    }

    fn fit_config(steps: usize) -> FitConfig {
        FitConfig {
            steps,
            batch_size: 6,
            learning_rate: 3e-3,
            warmup_steps: 2,
            final_lr: 0.1,
            weight_decay: 0.01,
            clip_norm: 1.,
            gates_lr_scale: 10.,
            slot_weight: 5.,
            auxiliary: Some(AuxiliaryConfig { weight: 0.5, batch_size: 8 }),
            augment: AugmentConfig { voxel_dropout: 0.1, class_averaging: 0.5, jitter_frames: 1 },
            averaging: 0.9,
            validate_every: 10,
            checkpoint_every: 10,
        }
    }

    /// Two kinds of windows, told apart by the sign of their voxels, with a word each.
    fn examples(n: usize, name: &str) -> Vec<Example> {
        let window = |i: usize| {
            let sign = if i.is_multiple_of(2) { 1. } else { -1. };
            let noise = nn::seeded::normal(1, &format!("{name} {i}"), 36, sign, 0.3);
            let noise = noise.into_iter().map(|x| x as f32).collect();
            Arc::new(ndarray::Array2::from_shape_vec((6, 6), noise).unwrap().into_dyn())
        };
        let words = ["faces", "houses"];
        (0..n)
            .map(|i| Example {
                media: vec![window(i)],
                margin: 1,
                prompt: "<image>Seen:".into(),
                report: format!(" {}.", words[i % 2]),
                weighted: std::iter::once(1..1 + words[i % 2].len()).collect(),
                class: Some(i % 2),
            })
            .collect()
    }

    /// A language model that can tell both sentences apart: one that cannot would not obey any gate.
    fn language_model(folder: &Path) {
        let config = PretrainConfig {
            vocab_size: 270,
            dim: 16,
            n_layers: 2,
            n_heads: 2,
            hidden_dim: 24,
            n_positions: 32,
            steps: 200,
            batch_size: 8,
            learning_rate: 1e-2,
            warmup_steps: 5,
            final_lr: 0.1,
            weight_decay: 0.,
            clip_norm: 1.,
            held_out: 2,
            validate_every: 200,
        };
        let texts: Vec<_> = ["Odd. Seen: faces.", "Even. Seen: houses."].repeat(8);
        let texts: Vec<_> = texts.into_iter().map(str::to_owned).collect();
        pretrain(&config, &texts, 1, folder, &folder.join("state"), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
    }

    struct Run {
        root: tempfile::TempDir,
        fit: FitConfig,
    }

    impl Run {
        fn new(steps: usize) -> Self {
            let root = tempfile::tempdir().unwrap();
            language_model(root.path());
            Self { root, fit: fit_config(steps) }
        }

        fn go(&self, state: &str, stop_at: Option<usize>) -> Result<Fitted> {
            let (train, choose) = (examples(16, "train"), examples(4, "choose"));
            let inputs = FitInputs {
                lm: self.root.path(),
                precision: Precision::F32,
                config: &config(),
                input: INPUT,
                fit: &self.fit,
                seed: 3,
                train: &train,
                choose: &choose,
                state: &self.root.path().join(state),
            };
            let mut watch = |news: &Progress| match news {
                Progress::Step { step, .. } if Some(*step) == stop_at => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            fit(&inputs, &mut watch)
        }
    }

    #[test]
    fn the_report_comes_to_depend_on_the_scan() -> Result<()> {
        let fitted = Run::new(100).go("state", None)?;
        let (first, last) = (fitted.curve[0].nll, fitted.curve.last().unwrap().nll);
        assert!(first > 0.5 && last < 0.2, "{:?}", fitted.curve);
        Ok(())
    }

    #[test]
    fn a_stopped_training_goes_on_to_the_same_weights() -> Result<()> {
        let run = Run::new(24);
        let straight = run.go("straight", None)?;
        let stopped = run.go("resumed", Some(13));
        assert!(matches!(stopped, Err(Error::Interrupted { step: 13 })));
        let resumed = run.go("resumed", None)?;
        assert_eq!(resumed.curve, straight.curve);
        assert_eq!(resumed.chosen_step, straight.chosen_step);
        for (name, tensor) in &straight.adapter {
            let other = resumed.adapter[name].flatten_all()?.to_vec1::<f32>()?;
            assert_eq!(tensor.flatten_all()?.to_vec1::<f32>()?, other, "{name}");
        }
        Ok(())
    }

    #[test]
    fn nothing_to_choose_by_is_refused() {
        let run = Run::new(4);
        let train = examples(4, "train");
        let inputs = FitInputs {
            lm: run.root.path(),
            precision: Precision::F32,
            config: &config(),
            input: INPUT,
            fit: &run.fit,
            seed: 1,
            train: &train,
            choose: &[],
            state: &run.root.path().join("state"),
        };
        let error = fit(&inputs, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
        assert!(error.contains("(4, 0)"), "{error}");
    }
}
