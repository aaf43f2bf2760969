//! A package of a real model's size with random weights: its files, memory and speed are those of the
//! model, its words are not.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use encoder::{ClipActivation, ClipConfig, EncoderConfig, InputShape, VisionFeature};
use flamingo::{
    Compat, Flamingo, FlamingoConfig, GatesConfig, NewPackage, Precision, ResamplerConfig,
    Vocabulary,
};
use lm::{LmConfig, MosaicGptConfig, Tokenizer};
use nn::weights::{Outline, save, seeded};

/// Which model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Size {
    /// MPT-1B with a gate before every block, and CLIP ViT-L/14.
    #[value(name = "openflamingo-3b")]
    OpenFlamingo3b,
    /// The same in miniature.
    Tiny,
}

/// What a model asks for, drawn; norms do nothing yet, gates are half open.
fn drawn(outline: &Outline, dtype: DType) -> Result<HashMap<String, Tensor>> {
    let block = Init::Uniform { lo: -0.035, up: 0.035 };
    let block = seeded::initial(0, "block", (1 << 20) - 3, block)?;
    let block: Vec<f32> = block.into_iter().map(|number| number as f32).collect();
    let draw = |(name, shape): (String, Vec<usize>)| {
        let n = shape.iter().product();
        let numbers = match shape.len() {
            1 if name.ends_with("_gate") => vec![0.5; n],
            1 if name.ends_with("bias") => vec![0.; n],
            1 if name.ends_with("weight") => vec![1.; n],
            _ => block.iter().copied().cycle().take(n).collect(),
        };
        Ok((name, Tensor::from_vec(numbers, shape, &Device::Cpu)?.to_dtype(dtype)?))
    };
    outline.shapes().into_iter().map(draw).collect()
}

/// Writes the package.
pub(crate) fn write(root: &Path, size: Size, precision: Precision, folder: &Path) -> Result<()> {
    let dtype = match precision {
        Precision::F32 => DType::F32,
        Precision::Bf16 => DType::BF16,
        Precision::F16 => DType::F16,
        Precision::Stored | Precision::Q8_0 => {
            bail!("found {precision}, expected f32, bf16 or f16")
        }
    };
    let (mosaic, clip, gates, resampler) = parts(size);
    let source = root.join("fixtures/tiny-lm/tokenizer.json");
    let parent = folder.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    // beside the package: it is as large as the package
    let lm_folder = parent.join(".random-lm");
    std::fs::create_dir(&lm_folder).with_context(|| lm_folder.display().to_string())?;
    let written = || -> Result<()> {
        let n_rows = mosaic.vocab_size;
        let config = LmConfig::MosaicGpt(mosaic);
        let asked = Outline::default();
        let lm = config.build(asked.builder())?;
        save(&lm_folder.join("model.safetensors"), &drawn(&asked, dtype)?)?;
        std::fs::write(lm_folder.join("config.json"), serde_json::to_string_pretty(&config)?)?;
        std::fs::copy(&source, lm_folder.join("tokenizer.json"))?;

        let special = Vocabulary::new(Tokenizer::open(&source)?, n_rows)?.special;
        let input = InputShape::Image { size: clip.image_size };
        let config = FlamingoConfig {
            encoder: EncoderConfig::Clip(clip),
            resampler,
            gates,
            lora: None,
            media: Vec::new(),
            compat: Compat::None,
        };
        let (encoder, adapter) = (Outline::default(), Outline::default());
        Flamingo::new(&config, input, lm, special, encoder.builder(), adapter.builder())?;
        let package = NewPackage {
            name: "random",
            seed: 0,
            input,
            config: &config,
            encoder: &drawn(&encoder, dtype)?,
            frozen_encoder: None,
            coordinates: None,
            adapter: &drawn(&adapter, dtype)?,
            lm: &lm_folder,
            preprocessing: serde_json::json!({ "image": "clip_openai_v1" }),
            trained_on: serde_json::json!("nothing: the weights are random"),
            files: &[],
            licence: "none: the weights are random",
        };
        Ok(flamingo::write(folder, &package)?)
    };
    let written = written();
    std::fs::remove_dir_all(&lm_folder)?;
    written
}

fn parts(size: Size) -> (MosaicGptConfig, ClipConfig, GatesConfig, ResamplerConfig) {
    let large = size == Size::OpenFlamingo3b;
    let pick = |real: usize, tiny: usize| if large { real } else { tiny };
    let mosaic = MosaicGptConfig {
        d_model: pick(2048, 64),
        n_heads: pick(16, 2),
        n_layers: pick(24, 2),
        mlp_ratio: 4.,
        max_seq_len: 2048,
        vocab_size: pick(50_368, 1024),
        ..MosaicGptConfig::tiny(0)
    };
    let clip = ClipConfig {
        image_size: pick(224, 28),
        patch_size: 14,
        width: pick(1024, 64),
        layers: pick(24, 2),
        head_width: pick(64, 32),
        mlp_ratio: 4.,
        embed_dim: pick(768, 32),
        activation: ClipActivation::QuickGelu,
        vision_feature: VisionFeature::PreLnPost,
        weights: None,
        trainable: encoder::Trainable::None,
    };
    let gates = GatesConfig {
        every: 1,
        n_heads: 8,
        head_dim: pick(64, 16),
        ff_mult: 4,
        only_attend_immediate_media: true,
    };
    let resampler = ResamplerConfig {
        n_latents: pick(64, 4),
        depth: pick(6, 2),
        n_heads: 8,
        head_dim: pick(64, 16),
        ff_mult: 4,
        max_num_media: None,
        max_num_frames: None,
    };
    (mosaic, clip, gates, resampler)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_package_is_whole_and_writes() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let root = crate::repository();
        for precision in [Precision::F32, Precision::Bf16] {
            let package = folder.path().join(precision.to_string());
            write(&root, Size::Tiny, precision, &package)?;
            flamingo::verify(&package)?;
            let model = flamingo::Model::open(&package)?;
            let request =
                flamingo::Request { prompt: "Report:".to_owned(), media: vec![], stream: None };
            let config = flamingo::GenerateConfig::greedy(4, 1);
            assert!(model.generate(&[request], &config)?[0].n_tokens > 0);
            assert!(write(&root, Size::Tiny, Precision::Q8_0, &package).is_err());
        }
        Ok(())
    }
}
