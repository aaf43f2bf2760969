//! Trainings through an encoder that has weights already.

use std::path::PathBuf;

use candle_core::{DType, Tensor};
use encoder::brainlm::{Features, RegionTimeConfig};
use encoder::{BrainLmConfig, BrainLmNetwork, LoraConfig, TokenPolicy, Trainable, WeightsSource};
use flamingo::{END_OF_CHUNK, Model, Scored};
use nn::weights::{Frozen, Variables, save};

use super::*;
use crate::{PackageCard, augment::crop};

pub(super) fn brainlm(weights: WeightsSource, trainable: Trainable) -> EncoderConfig {
    let network = BrainLmNetwork::RegionTime(RegionTimeConfig {
        hidden_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 12,
        num_brain_voxels: 6,
        timepoint_patching_size: 2,
        conv_kernel_size: 3,
        ..RegionTimeConfig::published_2023()
    });
    let (tokens, features) = (TokenPolicy::DataOnly, Features::AfterNorm);
    EncoderConfig::BrainLm(BrainLmConfig { network, weights, trainable, tokens, features })
}

fn lora() -> Trainable {
    Trainable::Lora(LoraConfig { rank: 2, alpha: 4., use_rslora: false, target_modules: None })
}

/// Writes a file as if it had been published, without a decoder.
pub(super) fn published(dir: &Path, seed: u64) -> PathBuf {
    let drawn = Variables::default();
    let encoder = brainlm(WeightsSource::Seed(seed), Trainable::None);
    encoder.build(INPUT, drawn.builder(seed, DType::F32)).unwrap();
    let path = dir.join("published.safetensors");
    save(&path, &drawn.tensors()).unwrap();
    path
}

impl Run {
    /// The same with a tiny BrainLM.
    pub(super) fn tuned(
        steps: usize,
        weights: impl FnOnce(&Path) -> WeightsSource,
        which: Trainable,
    ) -> Self {
        let run = Self::new(steps);
        let encoder = brainlm(weights(run.root.path()), which);
        let config = FlamingoConfig { encoder, ..config() };
        let places = (0..6).map(|at| [f64::from(at), f64::from(7 - at), 1.25]).collect();
        let fit = FitConfig { slot_weight: 1., ..fit_config(steps) };
        Self { config, coordinates: Some(places), fit, ..run }
    }

    /// The loss before any step. Closed gates show no scan: the auxiliary loss looks at the latents.
    fn at_first(&self) -> f64 {
        self.with("none", |inputs| {
            let trainee = Trainee::new(inputs).unwrap();
            let rows = trainee.rows(inputs.train).unwrap();
            let train = inputs.train;
            let shown = Shown {
                windows: train.iter().map(|it| trainee.window(it, it.shown()).unwrap()).collect(),
                classes: train.iter().map(|it| it.class).collect(),
                rows: (0..train.len()).collect(),
                weight: rows.iter().map(Row::weight).sum(),
                n_classes: train.len(),
            };
            let loss = trainee.loss(&shown, &rows, inputs.fit).unwrap();
            f64::from(loss.to_scalar::<f32>().unwrap())
        })
    }
}

fn from_file(dir: &Path) -> WeightsSource {
    WeightsSource::File(published(dir, 5))
}

pub(super) fn card() -> PackageCard {
    PackageCard {
        name: "tuned".to_owned(),
        seed: 3,
        preprocessing: serde_json::Value::Null,
        files: Vec::new(),
        frozen_encoder: None,
        trained_on: serde_json::Value::Null,
        licence: "Apache-2.0".to_owned(),
    }
}

pub(super) fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_training_begins_where_the_frozen_encoder_stands() {
    let first = |which| Run::tuned(1, from_file, which).at_first();
    let frozen = first(Trainable::None);
    assert_eq!(first(lora()), frozen);
    for which in [Trainable::LastNBlocks(1), Trainable::All] {
        let gap = (first(which.clone()) - frozen).abs();
        assert!(gap < 1e-6, "{which:?}: {gap}");
    }
    // the same weights from a seed, and others
    let seeded = |seed| Run::tuned(1, |_| WeightsSource::Seed(seed), lora()).at_first();
    assert!((seeded(5) - frozen).abs() < 1e-6 && (seeded(6) - frozen).abs() > 1e-6);
}

#[test]
fn only_what_is_named_moves_and_all_of_it_does() -> Result<()> {
    let base = |run: &Run| Frozen::open(&run.root.path().join("published.safetensors")).unwrap();
    for which in [Trainable::LastNBlocks(1), Trainable::All, lora()] {
        let run = Run::tuned(10, from_file, which.clone());
        let fitted = run.go("state", None)?;
        let counted = run.config.encoder.parameters(INPUT)?;
        let n: usize = fitted.encoder.values().map(Tensor::elem_count).sum();
        assert_eq!(n, counted.trainable, "{which:?}");
        let n_lm = run.with("none", |inputs| lm::open(inputs.lm, inputs.precision))?.n_parameters;
        assert_eq!(fitted.n_frozen, n_lm + counted.frozen);
        let base = base(&run);
        for (name, tensor) in &fitted.encoder {
            let start = match base.contains(name) {
                true => numbers(&base.stored(name)?.to_tensor(DType::F32)?),
                false if name.ends_with("lora_B.weight") => vec![0.; tensor.elem_count()],
                false => continue,
            };
            // softmax does not see what is added to all keys, so a step moves it by decay alone
            assert!(numbers(tensor) != start, "{which:?} did not move {name}");
        }
    }
    Ok(())
}

#[test]
fn a_stopped_training_through_an_encoder_goes_on_to_the_same_weights() -> Result<()> {
    for which in [Trainable::LastNBlocks(2), lora()] {
        let run = Run::tuned(14, from_file, which);
        let straight = run.go("straight", None)?;
        let stopped = run.go("resumed", Some(7));
        assert!(matches!(stopped, Err(Error::Interrupted { step: 7 })));
        let mut saved = HashMap::new();
        let folder = run.root.path().join("resumed");
        checkpoint::resume(&folder, &mut |_| (), |tensors, _: Progression| {
            saved = tensors;
            Ok(Ok(()))
        })?;
        assert!(!saved.is_empty());
        let frozen = |name: &String| name.contains("embeddings.cls_token");
        assert!(!saved.keys().any(frozen), "the state holds frozen weights");
        let resumed = run.go("resumed", None)?;
        assert_eq!(resumed.curve, straight.curve);
        for (name, tensor) in straight.encoder.iter().chain(&straight.adapter) {
            let other = resumed.encoder.get(name).unwrap_or_else(|| &resumed.adapter[name]);
            assert_eq!(numbers(tensor), numbers(other), "{name}");
        }
    }
    Ok(())
}

#[test]
fn a_state_of_other_weights_is_refused() {
    let run = Run::tuned(14, from_file, lora());
    run.go("state", Some(7)).unwrap_err();
    published(run.root.path(), 6);
    let error = run.go("state", None).unwrap_err().to_string();
    assert!(error.contains("it began with the encoder"), "{error}");
}

#[test]
fn the_package_holds_what_moved_and_writes_as_the_training_did() -> Result<()> {
    for which in [Trainable::LastNBlocks(1), Trainable::All, lora()] {
        let run = Run::tuned(12, from_file, which.clone());
        let fitted = run.go("state", None)?;
        let folder = run.root.path().join("packages/model");
        fitted.save(&folder, &card())?;
        let chosen = fitted.curve.iter().find(|point| point.step == fitted.chosen_step).unwrap();
        let nll = |folder: &Path| -> flamingo::Result<f64> {
            let scored = examples(4, "choose").into_iter().map(|example| Scored {
                prompt: example.prompt,
                continuation: format!("{}{END_OF_CHUNK}", example.report),
                media: vec![Arc::new(crop(&example.media[0], example.margin, 0))],
            });
            let scores = Model::open(folder)?.log_likelihood(&scored.collect::<Vec<_>>(), 8)?;
            let n: usize = scores.iter().map(|score| score.n_tokens).sum();
            Ok(-scores.iter().map(|score| score.sum).sum::<f64>() / n as f64)
        };
        let written = nll(&folder)?;
        assert!((written - chosen.nll).abs() < 1e-4, "{which:?}: {written} {}", chosen.nll);

        let held = nn::weights::list_tensors(&folder.join("encoder.safetensors"))?;
        let held: usize = held.iter().map(|it| it.shape.iter().product::<usize>()).sum();
        let counted = run.config.encoder.parameters(INPUT)?;
        assert_eq!(held, counted.trainable);
        let info = flamingo::inspect(&folder)?;
        assert_eq!(info.parameters.encoder, counted.trainable + counted.frozen);
        flamingo::verify(&folder)?;
        let card = std::fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(card.contains("published weights are not in this package"), "{card}");
        let manifest = std::fs::read_to_string(folder.join("model.yaml")).unwrap();
        assert!(manifest.contains("../../published.safetensors"), "{manifest}");
        assert!(!manifest.contains(&run.root.path().display().to_string()), "{manifest}");
        let bound = manifest.contains("CC BY-NC-ND 4.0: changed weights, not to be handed on");
        assert_eq!(bound, which != lora(), "{manifest}");

        // the file may lie beside the manifest; another one, or none, is refused
        let file = run.root.path().join("published.safetensors");
        let beside = folder.join("published.safetensors");
        std::fs::rename(&file, &beside).unwrap();
        assert_eq!(nll(&folder)?, written);
        std::fs::remove_file(&beside).unwrap();
        let error = nll(&folder).unwrap_err().to_string();
        assert!(error.contains("is not there, but") && error.contains("refers to it"), "{error}");
        published(run.root.path(), 6);
        let error = nll(&folder).unwrap_err().to_string();
        assert!(error.contains("sha256"), "{error}");
    }
    Ok(())
}
