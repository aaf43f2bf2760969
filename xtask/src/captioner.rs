//! A tiny OpenFlamingo of random weights: the files that `model import` reads, and their package.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use encoder::{ClipActivation, ClipConfig, EncoderConfig, InputShape, VisionFeature};
use flamingo::{
    Compat, Flamingo, FlamingoConfig, GatesConfig, Import, ResamplerConfig, Vocabulary,
};
use lm::{Llama, LlamaConfig};
use nn::weights::{Variables, save};

/// The package's folder in the repository.
pub const FOLDER: &str = "fixtures/tiny-captioner";

const CLIP: ClipConfig = ClipConfig {
    image_size: 32,
    patch_size: 8,
    width: 32,
    layers: 2,
    head_width: 8,
    mlp_ratio: 2.,
    embed_dim: 16,
    activation: ClipActivation::QuickGelu,
    vision_feature: VisionFeature::PreLnPost,
    weights: None,
    trainable: encoder::Trainable::None,
};

fn config() -> FlamingoConfig {
    FlamingoConfig {
        encoder: EncoderConfig::Clip(CLIP),
        resampler: ResamplerConfig {
            n_latents: 4,
            depth: 2,
            n_heads: 2,
            head_dim: 8,
            ff_mult: 2,
            max_num_media: None,
            max_num_frames: None,
        },
        gates: GatesConfig {
            every: 1,
            n_heads: 2,
            head_dim: 8,
            ff_mult: 2,
            only_attend_immediate_media: true,
        },
        lora: None,
        media: Vec::new(),
        compat: Compat::None,
    }
}

/// Weights so large that the likeliest token depends on all before it.
fn enlarged(tensors: HashMap<String, Tensor>, factor: f64) -> Result<HashMap<String, Tensor>> {
    let enlarge = |(name, tensor): (String, Tensor)| {
        let is_norm = name.contains("norm") || name.contains("ln_");
        Ok((name, if is_norm { tensor } else { (tensor * factor)? }))
    };
    tensors.into_iter().map(enlarge).collect()
}

/// Writes `checkpoint.safetensors`, `clip.safetensors` and `lm/` into `folder`; `tokenizer` is a
/// `tokenizer.json`.
pub fn foreign(tokenizer: &Path, folder: &Path) -> Result<()> {
    let lm_dir = folder.join("lm");
    fs::create_dir_all(&lm_dir)?;
    fs::copy(tokenizer, lm_dir.join("tokenizer.json"))
        .with_context(|| format!("cannot copy {}", tokenizer.display()))?;
    let tokenizer = lm::Tokenizer::open(&lm_dir.join("tokenizer.json"))?;
    let known = tokenizer.vocab_size();
    let llama = LlamaConfig {
        hidden_size: 32,
        intermediate_size: 48,
        max_position_embeddings: 256,
        ..LlamaConfig::tiny(known)
    };
    let (base, large) = (Variables::default(), Variables::default());
    Llama::new(&llama, base.builder(1, DType::F32))?;
    for (name, tensor) in enlarged(base.tensors(), 8.)? {
        large.builder(0, DType::F32).get(tensor.shape(), &name, candle_nn::Init::Const(0.))?;
        large
            .all()
            .iter()
            .filter(|(it, _)| *it == name)
            .try_for_each(|(_, var)| var.set(&tensor))?;
    }
    lm::write(&lm_dir, &llama, &large, DType::F32)?;

    let opened = lm::open(&lm_dir, nn::Precision::F32)?;
    let special = Vocabulary::new(opened.tokenizer, known)?.special;
    let (vision, adapter) = (Variables::default(), Variables::default());
    let (enc, ada) = (vision.builder(2, DType::F32), adapter.builder(3, DType::F32));
    let input = InputShape::Image { size: CLIP.image_size };
    Flamingo::new(&config(), input, opened.lm, special, enc, ada)?;
    for (name, var) in adapter.all().iter().filter(|(name, _)| name.ends_with("_gate")) {
        let open = if name.ends_with("attn_gate") { 1.5f32 } else { 0.5 };
        var.set(&Tensor::full(open, 1, var.device())?)?;
    }
    let mut checkpoint = adapter.tensors();
    let place = "lang_encoder.model.embed_tokens";
    let rows = checkpoint.remove(&format!("{place}.special_rows")).context("special rows")?;
    let whole = Tensor::cat(&[&large.tensors()["model.embed_tokens.weight"], &rows], 0)?;
    checkpoint.insert(format!("{place}.weight"), whole);
    save(&folder.join("checkpoint.safetensors"), &checkpoint)?;
    let visual = enlarged(vision.tensors(), 2.)?.into_iter();
    let visual = visual.map(|(name, tensor)| (format!("visual.{name}"), tensor)).collect();
    save(&folder.join("clip.safetensors"), &visual)?;
    Ok(())
}

/// Imports the same into a package at `to`.
pub fn package(tokenizer: &Path, to: &Path) -> Result<()> {
    let files = tempfile::tempdir()?;
    foreign(tokenizer, files.path())?;
    let [checkpoint, lm, vision] =
        ["checkpoint.safetensors", "lm", "clip.safetensors"].map(|name| files.path().join(name));
    let import = Import {
        name: "tiny-captioner",
        checkpoint: &checkpoint,
        lm: &lm,
        vision: &vision,
        reference_vision: false,
        trained_lm: false,
        head_dim: 8,
        clip_head_dim: Some(8),
        activation: None,
        vision_feature: VisionFeature::PreLnPost,
        licence: "Apache-2.0",
        seed: 0,
    };
    flamingo::import(to, &import)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_package_is_the_one_that_is_made() -> Result<()> {
        let root = crate::repository();
        let made = tempfile::tempdir()?;
        let folder = made.path().join("package");
        package(&root.join("fixtures/tiny-lm/tokenizer.json"), &folder)?;
        let manifest = |folder: &Path| flamingo::Manifest::read(folder);
        let (made, committed) = (manifest(&folder)?, manifest(&root.join(FOLDER))?);
        assert_eq!(made.parts, committed.parts, "`cargo xtask captioner` writes it anew");
        flamingo::verify(&root.join(FOLDER))?;
        Ok(())
    }
}
