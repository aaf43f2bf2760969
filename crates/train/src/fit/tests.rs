mod by_hand;
mod devices;
mod judged;
mod lora;
mod several;
mod tuned;

use super::*;
use crate::{CurvePoint, PretrainConfig, Progress, checkpoint, pretrain, reduce::threads};
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
        lora: None,
        media: Vec::new(),
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
        encoder_lr_scale: 1.,
        slot_weight: 5.,
        auxiliary: Some(AuxiliaryConfig { weight: 0.5, batch_size: 8 }),
        augment: AugmentConfig { voxel_dropout: 0.1, class_averaging: 0.5, jitter_frames: 1 },
        averaging: 0.9,
        validate_every: 10,
        checkpoint_every: 10,
        ..FitConfig::default()
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
            name: format!("example {i}"),
            media: vec![window(i)],
            scans: vec![0],
            margin: 1,
            prompt: "<image>Seen:".into(),
            report: format!(" {}.", words[i % 2]),
            weighted: vec![(1..1 + words[i % 2].len(), 5.)],
            stratum: Some(i % 2),
            class: Some(i % 2),
        })
        .collect()
}

/// A language model that can tell both sentences apart: one that cannot would not obey any gate.
fn language_model(folder: &Path) {
    pretrain(&small(), &texts(), 1, folder, &folder.join("state"), &Device::cpu(), &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
}

fn small() -> PretrainConfig {
    PretrainConfig {
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
    }
}

fn texts() -> Vec<String> {
    let texts = ["Odd. Seen: faces.", "Even. Seen: houses."].repeat(8);
    texts.into_iter().map(str::to_owned).collect()
}

struct Run {
    root: tempfile::TempDir,
    config: FlamingoConfig,
    coordinates: Option<Vec<[f64; 3]>>,
    fit: FitConfig,
}

impl Run {
    fn new(steps: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        language_model(root.path());
        Self { root, config: config(), coordinates: None, fit: fit_config(steps) }
    }

    /// What `f` makes of the inputs, with the state in the folder `state`.
    fn with<R>(&self, state: &str, f: impl FnOnce(&FitInputs) -> R) -> R {
        let (mut train, mut validation) = (examples(16, "train"), examples(4, "choose"));
        train
            .iter_mut()
            .chain(&mut validation)
            .for_each(|it| it.weighted[0].1 = self.fit.slot_weight);
        f(&FitInputs {
            lm: self.root.path(),
            precision: Precision::F32,
            device: &Device::cpu(),
            config: &self.config,
            input: INPUT,
            coordinates: self.coordinates.as_deref(),
            fit: &self.fit,
            seed: 3,
            train: &train,
            validation: &validation,
            judge: None,
            stop: &|| false,
            state: &self.root.path().join(state),
        })
    }

    fn go(&self, state: &str, stop_at: Option<usize>) -> Result<Fitted> {
        let mut watch = |news: &Progress| match news {
            Progress::Step { step, .. } if Some(*step) == stop_at => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        self.with(state, |inputs| fit(inputs, &mut watch))
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
fn what_a_file_leaves_out_has_tested_defaults() -> Result<()> {
    // the fifteen numbers of a training whose file says none
    let absent: FitConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(absent, FitConfig::default());
    let said = serde_json::to_value(&absent).unwrap();
    let expected = serde_json::json!({
        "steps": 200, "batch_size": 8, "learning_rate": 0.003, "warmup_steps": 20,
        "final_lr": 0.02, "weight_decay": 0.05, "clip_norm": 1.0, "gates_lr_scale": 10.0,
        "slot_weight": 10.0,
        "augment": { "voxel_dropout": 0.0, "class_averaging": 0.0, "jitter_frames": 0 },
        "averaging": 0.98, "validate_every": 20, "checkpoint_every": 20,
    });
    assert_eq!(said, expected);
    let some: FitConfig =
        serde_json::from_str(r#"{"steps": 9, "augment": {"jitter_frames": 2}}"#).unwrap();
    assert_eq!((some.steps, some.augment.jitter_frames, some.batch_size), (9, 2, 8));
    // and they learn what can be learned
    let fitted = Run { fit: FitConfig::default(), ..Run::new(1) }.go("state", None)?;
    let (first, best) = (fitted.curve[0].nll, fitted.curve.last().unwrap().nll);
    assert!(first > 0.3 && best < 0.1, "{:?}", fitted.curve);
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
fn no_validation_examples_are_refused() {
    let run = Run::new(4);
    let train = examples(4, "train");
    let inputs = FitInputs {
        lm: run.root.path(),
        precision: Precision::F32,
        device: &Device::cpu(),
        config: &config(),
        input: INPUT,
        coordinates: None,
        fit: &run.fit,
        seed: 1,
        train: &train,
        validation: &[],
        judge: None,
        stop: &|| false,
        state: &run.root.path().join("state"),
    };
    let error = fit(&inputs, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(error.contains("(4, 0)"), "{error}");
}

#[test]
fn a_training_whose_last_state_is_damaged_goes_on_from_the_one_before() -> Result<()> {
    let run = Run::new(24);
    let straight = run.go("straight", None)?;
    for both in [false, true] {
        let folder = run.root.path().join("damaged");
        let stopped = run.go("damaged", Some(17));
        assert!(matches!(stopped, Err(Error::Interrupted { step: 17 })));
        let states = if both { &["step-000010", "step-000017"][..] } else { &["step-000017"] };
        for state in states {
            let path = folder.join(state).join("state.safetensors");
            let mut bytes = std::fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
        let (mut lost, mut first) = (0, None);
        let mut watch = |news: &Progress| {
            match news {
                Progress::StateLost { .. } => lost += 1,
                Progress::Step { step, .. } => _ = first.get_or_insert(*step),
                Progress::Validated { .. }
                | Progress::Batch { .. }
                | Progress::NothingLearned { .. }
                | Progress::Resumed { .. } => {}
            }
            ControlFlow::Continue(())
        };
        let resumed = run.with("damaged", |inputs| fit(inputs, &mut watch))?;
        assert_eq!((lost, first), (states.len(), Some(if both { 1 } else { 11 })));
        assert_eq!(resumed.curve, straight.curve);
        std::fs::remove_dir_all(&folder).unwrap();
    }
    Ok(())
}

/// The numbers of the adapter, by name.
fn adapter(fitted: &Fitted) -> Result<Vec<(&String, Vec<f32>)>> {
    let mut all = Vec::new();
    for (name, tensor) in &fitted.adapter {
        all.push((name, tensor.flatten_all()?.to_vec1()?));
    }
    all.sort_by_key(|(name, _)| *name);
    Ok(all)
}

/// Without what is drawn a window, and with reports of unequal weight.
fn in_parts(batch_size: usize, accumulate: usize) -> Run {
    let run = Run::new(12);
    let auxiliary = Some(AuxiliaryConfig { weight: 0.5, batch_size });
    let fit = FitConfig { batch_size, accumulate, auxiliary, ..run.fit };
    Run { fit, ..run }
}

#[test]
fn batches_that_make_a_step_together_learn_as_one() -> Result<()> {
    let whole = in_parts(12, 1).go("state", None)?;
    for (batch_size, accumulate) in [(6, 2), (4, 3), (1, 12)] {
        let parts = in_parts(batch_size, accumulate).go("state", None)?;
        for (whole, part) in whole.curve.iter().zip(&parts.curve) {
            // sums of f32 in another order
            let gap = (whole.loss - part.loss).abs() / whole.loss;
            assert!(gap < 1e-4, "{batch_size} × {accumulate}: {gap}");
        }
        for ((name, whole), (_, part)) in adapter(&whole)?.iter().zip(adapter(&parts)?) {
            let gap = whole.iter().zip(&part).map(|(a, b)| (a - b).abs()).fold(0., f32::max);
            assert!(gap < 2e-3, "{batch_size} × {accumulate}, {name}: {gap}");
        }
    }
    Ok(())
}

#[test]
fn several_processes_learn_bit_for_bit_as_one() -> Result<()> {
    // of the last round of three one process has no batch
    for (n_ranks, accumulate) in [(2, 4), (3, 5)] {
        let run = in_parts(2, accumulate);
        let alone = run.go("alone", None)?;
        let together = std::thread::scope(|scope| {
            let ranks = threads::of(n_ranks).into_iter().map(|rank| {
                let run = &run;
                scope.spawn(move || {
                    let mut watch = |_: &Progress| ControlFlow::Continue(());
                    run.with("together", |inputs| fit_with(inputs, &rank, &mut watch))
                })
            });
            let ranks: Vec<_> = ranks.collect();
            ranks.into_iter().map(|it| it.join().unwrap()).collect::<Result<Vec<_>>>()
        })?;
        for rank in &together {
            assert_eq!(rank.curve, alone.curve);
            assert_eq!(adapter(rank)?, adapter(&alone)?);
        }
    }
    Ok(())
}

#[test]
fn processes_stop_after_the_same_step_and_go_on_together() -> Result<()> {
    let run = in_parts(2, 2);
    let alone = run.go("alone", None)?;
    let go = |stop_at: Option<usize>| {
        std::thread::scope(|scope| {
            let ranks = threads::of(2).into_iter().map(|rank| {
                let run = &run;
                scope.spawn(move || {
                    let mut watch = |news: &Progress| match news {
                        Progress::Step { step, .. } if Some(*step) == stop_at => {
                            ControlFlow::Break(())
                        }
                        _ => ControlFlow::Continue(()),
                    };
                    run.with("together", |inputs| fit_with(inputs, &rank, &mut watch))
                })
            });
            ranks.collect::<Vec<_>>().into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
        })
    };
    for stopped in go(Some(5)) {
        assert!(matches!(stopped, Err(Error::Interrupted { step: 5 })));
    }
    for resumed in go(None) {
        assert_eq!(adapter(&resumed?)?, adapter(&alone)?);
    }
    Ok(())
}

#[test]
fn a_training_that_gets_no_better_ends_early() -> Result<()> {
    let run = Run::new(200);
    // nothing moves, so nothing gets better
    let fit = FitConfig { learning_rate: 1e-30, patience: Some(2), ..run.fit };
    let run = Run { fit, ..run };
    let stopped = run.go("state", Some(15));
    assert!(matches!(stopped, Err(Error::Interrupted { step: 15 })));
    let fitted = run.go("state", None)?;
    let steps: Vec<_> = fitted.curve.iter().map(|point| point.step).collect();
    assert_eq!((steps, fitted.chosen_step), (vec![10, 20, 30], 10));
    Ok(())
}

#[test]
fn a_training_ends_when_its_time_is_up() -> Result<()> {
    let run = Run::new(200);
    let run = Run { fit: FitConfig { max_minutes: Some(1e-9), ..run.fit }, ..run };
    let fitted = run.go("state", None)?;
    assert_eq!((fitted.curve.len(), fitted.chosen_step), (1, 1));
    Ok(())
}

#[test]
fn a_state_of_other_settings_or_data_is_refused() -> Result<()> {
    let mut run = Run::new(24);
    assert!(matches!(run.go("state", Some(3)), Err(Error::Interrupted { step: 3 })));
    run.fit.learning_rate *= 2.;
    let error = run.go("state", None).unwrap_err().to_string();
    assert!(error.contains("it follows the settings"), "{error}");
    run.fit.learning_rate /= 2.;
    // when it ends is no part of what it learns
    run.fit.patience = Some(50);
    let mut watch = |_: &Progress| ControlFlow::Continue(());
    let other = run.with("state", |inputs| {
        let mut train = inputs.train.to_vec();
        train[5].report = " houses!".into();
        fit(&FitInputs { train: &train, ..*inputs }, &mut watch).map(|_| ())
    });
    let error = other.unwrap_err().to_string();
    assert!(error.contains("it learned from the data"), "{error}");
    run.go("state", None)?;
    Ok(())
}

#[test]
fn a_scan_that_is_no_number_ends_a_training_by_its_name_with_the_state_saved() {
    ends_by_name(|fit| FitConfig { auxiliary: None, augment: AugmentConfig::default(), ..fit });
    // a window may be mixed with another of its class, or shown without its text
    ends_by_name(|fit| fit);
}

fn ends_by_name(change: impl Fn(FitConfig) -> FitConfig) {
    let mut run = Run::new(24);
    run.fit = change(run.fit);
    let mut steps = Vec::new();
    let mut watch = |news: &Progress| {
        if let Progress::Step { step, grad_norm, n_tokens, .. } = news {
            steps.push((*step, *grad_norm, *n_tokens));
        }
        ControlFlow::Continue(())
    };
    let ended = run.with("state", |inputs| {
        let mut train = inputs.train.to_vec();
        train[5].media = vec![Arc::new(train[5].media[0].mapv(|_| f32::NAN))];
        fit(&FitInputs { train: &train, ..*inputs }, &mut watch).map(|_| ())
    });
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("is not finite (of example 5):"), "{error}");
    let last = steps.last().map_or(0, |(step, ..)| *step);
    assert!(error.contains(&format!("step {} ", last + 1)), "{error}");
    let saved = run.root.path().join("state").join(format!("step-{last:06}"));
    assert!(saved.is_dir(), "{error}");
    assert!(steps.iter().all(|(_, norm, n_tokens)| *norm > 0. && *n_tokens > 6));
}

#[test]
fn a_training_without_kept_activations_learns_the_same() -> Result<()> {
    let mut run = Run::new(6);
    run.fit.validate_every = 3;
    let kept = run.go("kept", None)?;
    run.fit.activation_checkpointing = true;
    let again = run.go("again", None)?;
    for ((name, kept), (_, again)) in adapter(&kept)?.into_iter().zip(adapter(&again)?) {
        for (a, b) in kept.iter().zip(&again) {
            assert!((a - b).abs() < 1e-4 * a.abs().max(0.1), "{name}: {a} {b}");
        }
    }
    assert_eq!(kept.encoder.len(), again.encoder.len());
    let gap = (kept.curve[1].nll - again.curve[1].nll).abs();
    assert!(gap < 1e-5 && kept.curve[1].nll < kept.curve[0].nll, "{:?}", again.curve);
    Ok(())
}

#[test]
fn one_report_alone_is_learned_by_heart() -> Result<()> {
    let mut run = Run::new(150);
    run.fit = FitConfig {
        overfit: Some(1),
        learning_rate: 2e-2,
        auxiliary: None,
        augment: AugmentConfig::default(),
        slot_weight: 1.,
        ..run.fit
    };
    let fitted = run.go("state", None)?;
    let last = fitted.curve.last().unwrap();
    assert!(fitted.curve[0].nll > 0.5 && last.nll < 0.05, "{:?}", fitted.curve);
    assert_eq!(run.fit.division(&[1, 2, 3], &[4]), (&[1][..], &[1][..]));
    assert_eq!(FitConfig::default().division(&[1, 2, 3], &[4]), (&[1, 2, 3][..], &[4][..]));
    Ok(())
}

#[test]
fn a_balanced_training_resumes_exactly() -> Result<()> {
    let mut run = Run::new(12);
    run.fit.balance = Some("word".to_owned());
    let straight = run.go("straight", None)?;
    assert!(matches!(run.go("resumed", Some(7)), Err(Error::Interrupted { step: 7 })));
    let resumed = run.go("resumed", None)?;
    assert_eq!(adapter(&resumed)?, adapter(&straight)?);
    run.fit.balance = None;
    assert_ne!(adapter(&run.go("even", None)?)?, adapter(&straight)?);
    Ok(())
}
