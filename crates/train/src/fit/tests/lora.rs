//! Trainings of corrections of low rank beside a frozen language model and a frozen encoder.

use candle_core::{DType, Device, Tensor};
use encoder::{ClipConfig, LoraConfig, TargetModules, Trainable, VisionFeature, WeightsSource};
use flamingo::{
    END_OF_CHUNK, LANGUAGE, LoraPart, Model, Precision, Scored, export_lora, merge_lora,
};
use lm::Step;
use nn::weights::{Below, Frozen, Variables, save};

use super::tuned::{card, numbers, published};
use super::*;
use crate::{augment::crop, trainee::Trainee};

pub(super) fn lora(targets: Option<&[&str]>) -> LoraConfig {
    let ends = |it: &[&str]| it.iter().map(|&name| name.to_owned()).collect();
    let target_modules = targets.map(|it| TargetModules::Ends(ends(it)));
    LoraConfig { rank: 2, alpha: 3., use_rslora: true, target_modules }
}

/// Beside the queries and values of the language model, and all layers of a tiny BrainLM from a file.
fn both(steps: usize) -> Run {
    let run = Run::tuned(steps, |dir| WeightsSource::File(published(dir, 5)), Trainable::None);
    let lora = FitLora { lm: Some(lora(Some(&["q_proj", "v_proj"]))), encoder: Some(lora(None)) };
    let fit = FitConfig { lora: Some(lora), ..run.fit.clone() };
    Run { fit, ..run }
}

/// Mean negative log-likelihood of the reports by a package.
fn nll(folder: &Path, examples: Vec<Example>) -> Result<f64> {
    let scored = examples.into_iter().map(|example| Scored {
        prompt: example.prompt,
        continuation: format!("{}{END_OF_CHUNK}", example.report),
        media: vec![Arc::new(crop(&example.media[0], example.margin, 0))],
    });
    let scores = Model::open(folder)?.log_likelihood(&scored.collect::<Vec<_>>(), 8)?;
    let n: usize = scores.iter().map(|score| score.n_tokens).sum();
    Ok(-scores.iter().map(|score| score.sum).sum::<f64>() / n as f64)
}

fn gap(a: &Tensor, b: &Tensor) -> Result<f32> {
    Ok((a - b)?.abs()?.max_all()?.to_scalar()?)
}

#[test]
fn corrections_move_beside_frozen_weights_of_any_precision_and_are_kept() -> Result<()> {
    let run = both(8);
    let lm = std::fs::read(run.root.path().join("model.safetensors")).unwrap();
    for precision in [Precision::F32, Precision::Bf16, Precision::Q8_0] {
        let name = format!("{precision:?}");
        let fitted = run.with(&name, |inputs| {
            let inputs = FitInputs { precision, ..*inputs };
            fit(&inputs, &mut |_| ControlFlow::Continue(()))
        })?;
        let moved = fitted.adapter.iter().filter(|(name, _)| name.ends_with(".lora_B.weight"));
        let moved: Vec<_> = moved.collect();
        assert_eq!(moved.len(), 2 * 2);
        for (name, tensor) in moved.into_iter().chain(&fitted.encoder) {
            let is_up = name.ends_with("lora_B.weight");
            assert!(!is_up || numbers(tensor).iter().any(|x| *x != 0.), "{name} did not move");
        }
        let folder = run.root.path().join(format!("package {name}"));
        fitted.save(&folder, &card())?;
        assert_eq!(std::fs::read(folder.join("lm/model.safetensors")).unwrap(), lm);
        flamingo::verify(&folder)?;
        let info = flamingo::inspect(&folder)?;
        let n: usize = fitted.encoder.values().map(Tensor::elem_count).sum();
        // by hand: two blocks, two layers of 16 by 16, two factors of rank 2
        let found = [info.parameters.lora_of_lm, info.parameters.lora_of_encoder];
        assert_eq!(found, [2 * 2 * 2 * 2 * 16, n]);
        if precision == Precision::F32 {
            let chosen = fitted.curve.iter().find(|it| it.step == fitted.chosen_step).unwrap();
            let written = nll(&folder, examples(4, "choose"))?;
            assert!((written - chosen.nll).abs() < 1e-5, "{written} {}", chosen.nll);
        }
    }
    Ok(())
}

#[test]
fn a_stopped_training_of_corrections_goes_on_to_the_same_weights() -> Result<()> {
    let run = both(12);
    let straight = run.go("straight", None)?;
    assert!(matches!(run.go("resumed", Some(7)), Err(Error::Interrupted { step: 7 })));
    let resumed = run.go("resumed", None)?;
    assert_eq!(resumed.curve, straight.curve);
    for (name, tensor) in straight.adapter.iter().chain(&straight.encoder) {
        let other = resumed.encoder.get(name).unwrap_or_else(|| &resumed.adapter[name]);
        assert_eq!(numbers(tensor), numbers(other), "{name}");
    }
    // a state of other corrections is another training's
    let mut other = Run { fit: run.fit.clone(), ..run };
    other.fit.lora.as_mut().unwrap().lm.as_mut().unwrap().alpha = 4.;
    assert!(matches!(other.go("resumed", None), Err(Error::Checkpoint { .. })));
    Ok(())
}

#[test]
fn a_training_of_corrections_begins_where_the_frozen_model_stands() {
    let run = both(1);
    let first = |fit: &FitConfig| {
        run.with("none", |inputs| {
            let config = fit.around(inputs.config).unwrap();
            let inputs = FitInputs { config: &config, ..*inputs };
            let trainee = Trainee::new(&inputs).unwrap();
            let rows = trainee.rows(inputs.validation).unwrap();
            trainee
                .nll(&inputs.validation.iter().collect::<Vec<_>>(), &rows, 4, &|| false)
                .unwrap()
                .unwrap()
        })
    };
    // what is computed in one pass without corrections is rounded otherwise
    let gap = first(&run.fit) - first(&FitConfig { lora: None, ..run.fit.clone() });
    assert!(gap.abs() < 1e-6, "{gap}");
}

#[test]
fn gradients_of_checkpointed_blocks_are_those_of_kept_ones() -> Result<()> {
    let run = both(6);
    let kept = run.go("kept", None)?;
    let fit = FitConfig { activation_checkpointing: true, ..run.fit.clone() };
    let again = Run { fit, ..run }.go("again", None)?;
    for (name, tensor) in kept.adapter.iter().filter(|(name, _)| name.contains(".lora_")) {
        let gap = gap(tensor, &again.adapter[name])?;
        assert!(gap < 1e-4, "{name}: {gap}");
    }
    Ok(())
}

#[test]
fn an_exported_adapter_merges_to_the_language_model_that_was_trained() -> Result<()> {
    let run = both(8);
    let fitted = run.go("state", None)?;
    let path = |name: &str| run.root.path().join(name);
    let (package, adapter, merged) = (path("package"), path("adapter"), path("merged"));
    fitted.save(&package, &card())?;
    let undecided = export_lora(&package, None, &adapter).unwrap_err().to_string();
    assert!(undecided.contains("`--part lm` or `--part encoder`"), "{undecided}");
    let written = export_lora(&package, Some(LoraPart::Lm), &adapter)?;
    let first = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    assert_eq!((written.tensors, &*written.changed[0]), (8, first));
    let config = std::fs::read_to_string(adapter.join("adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(
        (&config["use_rslora"], &config["r"], &config["lora_alpha"]),
        (&true.into(), &2.into(), &3.into())
    );
    let base = path("base");
    std::fs::create_dir(&base).unwrap();
    for name in flamingo::LM_FILES {
        std::fs::copy(path(name), base.join(name)).unwrap();
    }
    merge_lora(&base, &adapter, &merged)?;
    let ids = Tensor::new(&[[5u32, 80, 200, 7, 33]], &Device::Cpu)?;
    let logits = |lm: &lm::Pretrained| Ok::<_, Error>(lm.lm.logits(&ids, &Step::plain(1, 5)?)?);
    let beside = lm::Described::open(&base)?.load_corrected(
        Precision::F32,
        &nn::Device::cpu(),
        run.fit.around(&run.config)?.lora.as_ref(),
        Below::new(Frozen::open(&package.join("adapter.safetensors"))?, LANGUAGE),
    )?;
    let plain = logits(&lm::open(&base, Precision::F32)?)?;
    let merged = logits(&lm::open(&merged, Precision::F32)?)?;
    let beside = logits(&beside)?;
    assert!(gap(&beside, &plain)? > 1e-3);
    assert!(gap(&beside, &merged)? < 1e-5, "{}", gap(&beside, &merged)?);

    let encoder = path("encoder adapter");
    let written = export_lora(&package, Some(LoraPart::Encoder), &encoder)?;
    assert_eq!(written.tensors, fitted.encoder.len());
    Ok(())
}

#[test]
fn what_cannot_have_corrections_is_refused() {
    let lora = FitLora { lm: None, encoder: Some(lora(None)) };
    let fit = FitConfig { lora: Some(lora), ..fit_config(1) };
    let encoder = fit.around(&config()).unwrap_err().to_string();
    assert!(encoder.contains("encoder `voxel_frames`: it has no frozen weights"), "{encoder}");
}

/// Pictures of two kinds, told apart by their brightness, with a word each.
pub(super) fn pictures(n: usize) -> Vec<Example> {
    let picture = |at: usize| {
        let mean = if at.is_multiple_of(2) { 1. } else { -1. };
        let values = nn::seeded::normal(2, &format!("picture {at}"), 3 * 8 * 8, mean, 0.3);
        let values = values.into_iter().map(|x| x as f32).collect();
        Arc::new(ndarray::Array3::from_shape_vec((3, 8, 8), values).unwrap().into_dyn())
    };
    let one = |(at, example): (usize, Example)| Example {
        media: vec![picture(at)],
        margin: 0,
        ..example
    };
    examples(n, "pictures").into_iter().enumerate().map(one).collect()
}

/// A tiny CLIP of four patches.
pub(super) fn clip(weights: Option<WeightsSource>, trainable: Trainable) -> ClipConfig {
    ClipConfig {
        image_size: 8,
        patch_size: 4,
        width: 8,
        layers: 2,
        head_width: 4,
        mlp_ratio: 2.,
        embed_dim: 6,
        activation: encoder::ClipActivation::QuickGelu,
        vision_feature: VisionFeature::PreLnPost,
        weights,
        trainable,
    }
}

#[test]
fn corrections_of_a_clip_move_and_the_tower_stays_where_it_is() -> Result<()> {
    let run = Run::new(8);
    let file = run.root.path().join("clip.safetensors");
    let input = InputShape::Image { size: 8 };
    let drawn = Variables::default();
    let tower = EncoderConfig::Clip(clip(None, Trainable::None));
    tower.build(input, drawn.builder(4, DType::F32))?;
    let named =
        drawn.tensors().into_iter().map(|(name, tensor)| (format!("visual.{name}"), tensor));
    save(&file, &named.collect())?;

    let lora = FitLora { lm: None, encoder: Some(lora(Some(&["q_proj", "v_proj", "fc1"]))) };
    let augment = AugmentConfig { voxel_dropout: 0., jitter_frames: 0, ..run.fit.augment.clone() };
    let fit_config = FitConfig {
        lora: Some(lora),
        augment,
        auxiliary: None,
        slot_weight: 1.,
        ..run.fit.clone()
    };
    let weights = Some(WeightsSource::File(file.clone()));
    let flamingo = FlamingoConfig {
        encoder: EncoderConfig::Clip(clip(weights, Trainable::None)),
        ..run.config.clone()
    };
    let mut shown = pictures(12);
    // the package's likelihood weighs all tokens alike
    shown.iter_mut().for_each(|it| it.weighted.clear());
    let fitted = run.with("state", |inputs| {
        let (fit_config, config) = (&fit_config, &flamingo);
        let (train, validation) = (&shown[..8], &shown[8..]);
        let inputs = FitInputs { config, input, fit: fit_config, train, validation, ..*inputs };
        fit(&inputs, &mut |_| ControlFlow::Continue(()))
    })?;
    assert_eq!(fitted.encoder.len(), 2 * 2 * 3);
    for (name, tensor) in &fitted.encoder {
        assert!(name.contains(".lora_"), "{name}");
        assert!(numbers(tensor).iter().any(|x| *x != 0.), "{name}");
    }
    let package = run.root.path().join("packages/model");
    fitted.save(&package, &card())?;
    flamingo::verify(&package)?;
    let chosen = fitted.curve.iter().find(|it| it.step == fitted.chosen_step).unwrap();
    let written = nll(&package, shown[8..].to_vec())?;
    assert!((written - chosen.nll).abs() < 1e-5, "{written} {}", chosen.nll);
    let manifest = std::fs::read_to_string(package.join("model.yaml")).unwrap();
    assert!(manifest.contains("../../clip.safetensors"), "{manifest}");

    let adapter = run.root.path().join("adapter");
    let written = export_lora(&package, None, &adapter)?;
    let first = "base_model.model.vision_model.encoder.layers.0.mlp.fc1.lora_A.weight";
    assert_eq!((written.tensors, &*written.changed[0]), (12, first));
    Ok(())
}
