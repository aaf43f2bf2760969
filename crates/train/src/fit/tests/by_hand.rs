//! By hand: adapters that were trained and exported here, as PEFT reads them.
//!
//! `PEFT_CASES=DIR cargo test -p train --lib -- --ignored peft` writes a base model, an exported adapter and our
//! outputs for each family; `python peft_cases.py DIR` compares PEFT's.

use std::collections::HashMap;
use std::fs;

use candle_core::{Device, Tensor};
use encoder::Trainable;
use flamingo::{LANGUAGE, LoraPart, Precision, export_lora};
use lm::{LlamaConfig, LmConfig, MptConfig, NeoXConfig, OptConfig, Step};
use nn::weights::{Below, Frozen, Variables, save};

use super::lora::{clip, lora, pictures};
use super::tuned::card;
use super::*;

/// A Hugging Face folder of a tiny model whose every weight is random.
fn folder(dir: &Path, config: &LmConfig) {
    fs::create_dir_all(dir).unwrap();
    let texts = ["Odd. Seen: faces.", "Even. Seen: houses."].map(str::to_owned);
    lm::train_bpe(&texts, 270, &dir.join("tokenizer.json")).unwrap();
    let variables = Variables::default();
    config.build(variables.builder(2, candle_core::DType::F32)).unwrap();
    let json = serde_json::to_string(config).unwrap();
    fs::write(dir.join("config.json"), json).unwrap();
    save(&dir.join("model.safetensors"), &variables.tensors()).unwrap();
}

#[test]
#[ignore = "for PEFT, by hand"]
fn peft_cases_of_language_models() -> Result<()> {
    let dir = std::path::PathBuf::from(std::env::var("PEFT_CASES").unwrap());
    let untied = LlamaConfig { tie_word_embeddings: false, ..LlamaConfig::tiny(300) };
    // what the class of transformers takes for granted
    let mpt = MptConfig { expansion_ratio: 4., ..MptConfig::tiny(300) };
    let with_head = Some(&["v_proj", "lm_head"][..]);
    for (name, config, targets) in [
        ("llama", LmConfig::Llama(LlamaConfig::tiny(300)), None),
        ("llama_head", LmConfig::Llama(untied), with_head),
        ("opt", LmConfig::Opt(OptConfig::tiny(300)), None),
        ("neox", LmConfig::NeoX(NeoXConfig::tiny(300)), None),
        ("mpt", LmConfig::Mpt(mpt), None),
    ] {
        let (base, package) = (dir.join(name).join("base"), dir.join(name).join("package"));
        folder(&base, &config);
        let run = Run::new(1);
        let lora = FitLora { lm: Some(lora(targets)), encoder: None };
        // far from zero, so that the adapter is seen
        let fit_config =
            FitConfig { lora: Some(lora), steps: 12, learning_rate: 0.03, ..run.fit.clone() };
        let fitted = run.with("state", |inputs| {
            let inputs = FitInputs { lm: &base, fit: &fit_config, ..*inputs };
            fit(&inputs, &mut |_| ControlFlow::Continue(()))
        })?;
        fitted.save(&package, &card())?;
        export_lora(&package, Some(LoraPart::Lm), &dir.join(name).join("adapter"))?;
        let beside = lm::Described::open(&base)?.load_corrected(
            Precision::F32,
            &nn::Device::cpu(),
            fit_config.around(&run.config)?.lora.as_ref(),
            Below::new(Frozen::open(&package.join("adapter.safetensors"))?, LANGUAGE),
        )?;
        let ids: Vec<u32> = (0..12).map(|at| (at * 37 + 5) % 256).collect();
        let ids = Tensor::from_vec(ids, (1, 12), &Device::Cpu)?;
        let logits = beside.lm.logits(&ids, &Step::plain(1, 12)?)?;
        let io = [("input_ids", ids.to_dtype(candle_core::DType::I64)?), ("output", logits)];
        let io: HashMap<_, _> = io.map(|(name, tensor)| (name.to_owned(), tensor)).into();
        save(&dir.join(name).join("io.safetensors"), &io)?;
    }
    Ok(())
}

#[test]
#[ignore = "for PEFT, by hand"]
fn peft_cases_of_a_clip() -> Result<()> {
    let dir = std::path::PathBuf::from(std::env::var("PEFT_CASES").unwrap()).join("clip");
    // `peft_cases.py DIR --clip` wrote it with transformers
    let weights = encoder::WeightsSource::File(dir.join("base/model.safetensors"));
    let encoder = EncoderConfig::Clip(clip(Some(weights), Trainable::None));
    let run = Run::new(1);
    let lora = FitLora { lm: None, encoder: Some(lora(None)) };
    let fit_config = FitConfig {
        lora: Some(lora),
        steps: 12,
        learning_rate: 0.03,
        auxiliary: None,
        augment: AugmentConfig::default(),
        ..run.fit.clone()
    };
    let config = FlamingoConfig { encoder, ..run.config.clone() };
    let (shown, input) = (pictures(12), InputShape::Image { size: 8 });
    let fitted = run.with("state", |inputs| {
        let (train, validation) = (&shown[..8], &shown[8..]);
        let (config, fit_config) = (&config, &fit_config);
        let inputs = FitInputs { config, input, fit: fit_config, train, validation, ..*inputs };
        fit(&inputs, &mut |_| ControlFlow::Continue(()))
    })?;
    fitted.save(&dir.join("package"), &card())?;
    export_lora(&dir.join("package"), None, &dir.join("adapter"))?;
    let manifest = flamingo::Manifest::read(&dir.join("package"))?;
    let encoder = &manifest.config.encoder;
    let moved = Frozen::open(&dir.join("package/encoder.safetensors"))?;
    let tuned = encoder.tuned(encoder.base(Precision::F32)?, moved)?;
    let built = encoder.build(input, nn::Builder::new(tuned, candle_core::DType::F32))?;
    let encoder::MediaEncoder::Clip(tower) = built else { panic!("no CLIP") };
    let values: Vec<f32> = shown[8].media[0].iter().copied().collect();
    let pixels = Tensor::from_vec(values, (1, 3, 8, 8), &Device::Cpu)?;
    let io = [("pixel_values", pixels.clone()), ("output", tower.tokens(&pixels)?)];
    let io: HashMap<_, _> = io.map(|(name, tensor)| (name.to_owned(), tensor)).into();
    Ok(save(&dir.join("io.safetensors"), &io)?)
}
