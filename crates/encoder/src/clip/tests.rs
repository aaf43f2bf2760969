//! Recorded features, both naming schemes, and gradients.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Result, Tensor};
use nn::gradcheck::{check, sample};
use nn::weights::{Frozen, Variables};

use super::weights::visual;
use super::*;
use crate::Trainable;

/// The tower of the recorded cases.
fn config() -> ClipConfig {
    ClipConfig {
        image_size: 28,
        patch_size: 7,
        width: 32,
        layers: 3,
        head_width: 16,
        mlp_ratio: 4.,
        embed_dim: 24,
        activation: ClipActivation::QuickGelu,
        vision_feature: VisionFeature::PreLnPost,
        weights: None,
        trainable: Trainable::None,
    }
}

fn case() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/parity/flamingo/llama_x1")
}

fn recorded(file: &str) -> HashMap<String, Tensor> {
    Frozen::open(&case().join(file)).unwrap().tensors().unwrap()
}

fn tower(checkpoint: &HashMap<String, Tensor>) -> Result<ClipVision> {
    let frozen = Frozen::from_tensors(Path::new("vision"), visual(checkpoint)?);
    let tower = ClipVision::new(&config(), frozen.builder(DType::F32))?;
    frozen.all_used().unwrap();
    Ok(tower)
}

fn gap(a: &Tensor, b: &Tensor) -> Result<f32> {
    (a - b)?.abs()?.max_all()?.to_scalar()
}

#[test]
fn features_and_embedding_are_open_clips() -> Result<()> {
    let io = recorded("io.safetensors");
    let images = io["fwd.vision_x"].flatten_to(2)?;
    let tower = tower(&recorded("vision.safetensors"))?;
    let features = tower.features(&images)?;
    assert!(gap(&features, &io["fwd.vision_features"])? < 1e-4);
    assert!(gap(&tower.pooled(&images)?, &io["fwd.vision_pooled"])? < 1e-4);
    let mut normed = config();
    normed.vision_feature = VisionFeature::PostLnPost;
    let after = ClipVision { config: normed, ..tower }.features(&images)?;
    assert!(gap(&after, &features)? > 0.1);
    Ok(())
}

#[test]
fn hugging_faces_names_give_the_same_tower() -> Result<()> {
    let ours = recorded("vision.safetensors");
    let mut theirs = HashMap::new();
    for (name, tensor) in &ours {
        let name = name.strip_prefix("visual.").unwrap();
        let Some(rest) = name.strip_prefix("transformer.resblocks.") else {
            let (name, tensor) = match name {
                "proj" => ("visual_projection.weight".to_owned(), tensor.t()?),
                "conv1.weight" => {
                    ("vision_model.embeddings.patch_embedding.weight".to_owned(), tensor.clone())
                }
                "positional_embedding" => {
                    ("vision_model.embeddings.position_embedding.weight".to_owned(), tensor.clone())
                }
                "class_embedding" => {
                    ("vision_model.embeddings.class_embedding".to_owned(), tensor.clone())
                }
                norm => {
                    let norm = norm.replace("ln_pre", "pre_layrnorm");
                    let norm = norm.replace("ln_post", "post_layernorm");
                    (format!("vision_model.{norm}"), tensor.clone())
                }
            };
            theirs.insert(name, tensor);
            continue;
        };
        let (idx, tensor_name) = rest.split_once('.').unwrap();
        let layer = format!("vision_model.encoder.layers.{idx}");
        if let Some(end) = tensor_name.strip_prefix("attn.in_proj_") {
            for (letter, third) in ["q", "k", "v"].iter().zip(tensor.chunk(3, 0)?) {
                theirs.insert(format!("{layer}.self_attn.{letter}_proj.{end}"), third);
            }
            continue;
        }
        let renamed = tensor_name
            .replace("attn.out_proj", "self_attn.out_proj")
            .replace("ln_1", "layer_norm1")
            .replace("ln_2", "layer_norm2")
            .replace("c_fc", "fc1")
            .replace("c_proj", "fc2");
        theirs.insert(format!("{layer}.{renamed}"), tensor.clone());
    }
    let text = Tensor::zeros(1, DType::F32, &candle_core::Device::Cpu)?;
    theirs.insert("text_model.final_layer_norm.weight".into(), text.clone());
    let images = sample("images", (2, 3, 28, 28))?.to_dtype(DType::F32)?;
    let expected = tower(&ours)?.features(&images)?;
    assert_eq!(gap(&tower(&theirs)?.features(&images)?, &expected)?, 0.);

    // a vision model alone, as transformers 5 and 4 save it: without the projection
    let alone: HashMap<String, Tensor> = theirs
        .iter()
        .filter_map(|(name, it)| Some((name.strip_prefix("vision_model.")?.to_owned(), it.clone())))
        .collect();
    let mut prefixed = theirs.clone();
    prefixed.retain(|name, _| name.starts_with("vision_model."));
    let config = ClipConfig { embed_dim: 0, ..config() };
    for names in [&alone, &prefixed] {
        let frozen = Frozen::from_tensors(Path::new("vision"), visual(names)?);
        let tower = ClipVision::new(&config, frozen.builder(DType::F32))?;
        frozen.all_used().unwrap();
        assert_eq!(gap(&tower.features(&images)?, &expected)?, 0.);
        assert!(tower.pooled(&images).unwrap_err().to_string().contains("no projection"));
    }
    // whatever wrapped the model
    for prefix in ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."] {
        for names in [&ours, &theirs, &alone] {
            let wrapped = names.iter().map(|(name, it)| (format!("{prefix}{name}"), it.clone()));
            assert_eq!(visual(&wrapped.collect())?.len(), visual(names)?.len(), "{prefix}");
        }
    }

    theirs.insert("vision_model.encoder.layers.0.self_attn.z_proj.weight".into(), text);
    assert!(tower(&theirs).unwrap_err().to_string().contains("z_proj"));
    Ok(())
}

#[test]
fn a_vision_model_that_transformers_5_saved_gives_its_tokens() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/transformers");
    let read = |file: &str| {
        Frozen::open(&folder.join("clip_vision").join(file)).unwrap().tensors().unwrap()
    };
    let io = read("io.safetensors");
    let mut config = ClipConfig {
        image_size: 12,
        patch_size: 4,
        width: 16,
        layers: 2,
        head_width: 8,
        mlp_ratio: 1.5,
        embed_dim: 0,
        activation: ClipActivation::Gelu,
        vision_feature: VisionFeature::PreLnPost,
        weights: None,
        trainable: Trainable::None,
    };
    for (feature, expected) in
        [(VisionFeature::PreLnPost, "patches"), (VisionFeature::PostLnPost, "normed_patches")]
    {
        config.vision_feature = feature;
        let frozen = Frozen::from_tensors(Path::new("vision"), visual(&read("model.safetensors"))?);
        let tower = ClipVision::new(&config, frozen.builder(DType::F32))?;
        frozen.all_used().unwrap();
        assert!(gap(&tower.features(&io["images"])?, &io[expected])? < 1e-5, "{expected}");
    }
    Ok(())
}

#[test]
fn the_published_sizes_are_built_from_their_configs() -> Result<()> {
    let of = |image_size, patch_size, width, layers, head_width, embed_dim| ClipConfig {
        image_size,
        patch_size,
        width,
        layers,
        head_width,
        embed_dim,
        ..config()
    };
    for (name, config, n_tokens, n_parameters) in [
        ("ViT-B/32", of(224, 32, 768, 12, 64, 512), 49, 87_849_216),
        ("ViT-B/16", of(224, 16, 768, 12, 64, 512), 196, 86_192_640),
        ("ViT-L/14", of(224, 14, 1024, 24, 64, 768), 256, 303_966_208),
        ("ViT-L/14-336", of(336, 14, 1024, 24, 64, 768), 576, 304_293_888),
        ("ViT-H/14", of(224, 14, 1280, 32, 80, 1024), 256, 632_076_800),
    ] {
        let outline = nn::weights::Outline::default();
        ClipVision::new(&config, outline.builder())?;
        assert_eq!((config.n_tokens(), outline.n_parameters()), (n_tokens, n_parameters), "{name}");
    }
    Ok(())
}

#[test]
fn gradients_match_finite_differences() -> Result<()> {
    let small = ClipConfig {
        image_size: 4,
        patch_size: 2,
        width: 4,
        layers: 1,
        head_width: 2,
        mlp_ratio: 2.,
        embed_dim: 3,
        ..config()
    };
    for activation in [ClipActivation::QuickGelu, ClipActivation::Gelu] {
        let variables = Variables::default();
        let config = ClipConfig { activation, ..small.clone() };
        let tower = ClipVision::new(&config, variables.builder(1, DType::F64))?;
        let images = sample("images", (1, 3, 4, 4))?;
        let named = variables.all();
        let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
        vars.push(("images", &images));
        check(&vars, || {
            tower.features(&images)?.sqr()?.sum_all()? + tower.pooled(&images)?.sqr()?.sum_all()?
        })?;
    }
    Ok(())
}

#[test]
fn a_picture_of_another_size_or_patches_that_do_not_tile_are_refused() {
    let image = |size| crate::InputShape::Image { size };
    assert!(config().check(image(28)).is_ok());
    let error = config().check(image(224)).unwrap_err().to_string();
    assert!(error.contains("28 × 28") && error.contains("224 × 224"), "{error}");
    let uneven = ClipConfig { patch_size: 9, ..config() };
    assert!(uneven.check(image(28)).unwrap_err().to_string().contains("do not tile"));
}

#[test]
fn films_of_different_length_share_a_batch() -> Result<()> {
    let tower = ClipVision::new(&config(), nn::weights::Drawn::new(1).builder(DType::F32))?;
    let films = sample("films", (2, 1, 3, 3, 28, 28))?.to_dtype(DType::F32)?;
    let real = Tensor::new(&[1u8, 0, 0, 1, 1, 1], films.device())?.reshape((2, 1, 3))?;
    let together = tower.encode(&EncoderInput::new(films.clone()).with_mask(real))?;
    let mask = together.mask.expect("frames are marked");
    let n_tokens = config().n_tokens();
    assert_eq!(mask.dims(), [2, 1, 3, n_tokens]);
    let expected = [1u8, 0, 0, 1, 1, 1].map(|real| vec![real; n_tokens]).concat();
    assert_eq!(mask.flatten_all()?.to_vec1::<u8>()?, expected);
    for (row, n_frames) in [(0, 1), (1, 3)] {
        let film = films.narrow(0, row, 1)?.narrow(2, 0, n_frames)?.contiguous()?;
        let alone = tower.encode(&EncoderInput::new(film))?;
        assert!(alone.mask.is_none());
        let beside = together.values.narrow(0, row, 1)?.narrow(2, 0, n_frames)?;
        assert!(gap(&beside, &alone.values)? < 1e-5);
    }
    let nothing = together.values.narrow(0, 0, 1)?.narrow(2, 1, 2)?;
    assert_eq!(nothing.abs()?.max_all()?.to_scalar::<f32>()?, 0.);
    Ok(())
}

#[test]
fn a_hidden_width_that_a_ratio_almost_gives_is_rounded() -> Result<()> {
    // 49 · (1 / 49) is a little less than 1 in double precision
    let config = ClipConfig { width: 49, head_width: 7, mlp_ratio: 1. / 49., ..config() };
    let outline = nn::weights::Outline::default();
    ClipVision::new(&config, outline.builder())?;
    assert_eq!(outline.shapes()["transformer.resblocks.0.mlp.c_fc.weight"], [1, 49]);
    Ok(())
}
