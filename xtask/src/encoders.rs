//! Brain encoders of random weights, in files as the published ones are.

use std::{collections::HashMap, path::Path};

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};
use encoder::BrainLmNetwork;
use encoder::brainlm::{
    ImageConfig, ImageDecoder, ImageMae, RegionTime, RegionTimeConfig, RegionTimeDecoder,
    region_positions,
};
use encoder::brainmt::{BrainMt, Direction};
use nn::weights::{Variables, save};
use serde_json::{Value, json};

/// A tensor as plain numbers: name, shape, values.
pub type Plain = (String, Vec<usize>, Vec<f32>);

pub use encoder::BrainLmNetwork as Network;

/// A small BrainLM of regions × time for 424 parcels.
pub fn region_time() -> BrainLmNetwork {
    region_time_of_width(16)
}

/// The same with another width.
pub fn region_time_of_width(hidden_size: usize) -> BrainLmNetwork {
    BrainLmNetwork::RegionTime(RegionTimeConfig {
        hidden_size,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 32,
        decoder_num_hidden_layers: 1,
        decoder_num_attention_heads: 2,
        decoder_intermediate_size: 32,
        num_timepoints_per_voxel: 40,
        ..RegionTimeConfig::published_2023()
    })
}

/// A small BrainLM of pictures for 424 parcels.
pub fn image() -> BrainLmNetwork {
    BrainLmNetwork::Image(ImageConfig {
        hidden_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 16,
        decoder_hidden_size: 8,
        decoder_num_hidden_layers: 1,
        decoder_num_attention_heads: 2,
        decoder_intermediate_size: 16,
        ..ImageConfig::vitmae_111m()
    })
}

/// The published `config.json` of a network.
pub fn config_json(network: &BrainLmNetwork) -> Value {
    let (config, kind) = match network {
        BrainLmNetwork::RegionTime(config) => (json!(config), "brainlm_mae"),
        BrainLmNetwork::Image(config) => (json!(config), "vit_mae"),
    };
    let mut config = config;
    config["model_type"] = kind.into();
    config["architectures"] = json!(["BrainLMForPretraining"]);
    config
}

/// Tensors of an encoder and its decoder under the published names, with those that are in the files
/// and never used.
pub fn brainlm(network: &BrainLmNetwork, seed: u64) -> Result<HashMap<String, Tensor>> {
    let drawn = Variables::default();
    let vb = drawn.builder(seed, DType::F32);
    match network {
        BrainLmNetwork::RegionTime(config) => {
            RegionTime::new(config, vb.clone())?;
            RegionTimeDecoder::new(config, vb)?;
            let mut tensors = drawn.tensors();
            let any = tensors.values().next().expect("a network has tensors");
            let table = region_positions(5000, config.hidden_size, any)?.unsqueeze(0)?;
            for part in ["vit.embeddings", "decoder"] {
                tensors.insert(format!("{part}.pos_embedding.pe"), table.clone());
            }
            let head = table.narrow(1, 0, 20)?.squeeze(0)?;
            tensors.insert("decoder.decoder_pred.weight".to_owned(), head);
            Ok(tensors)
        }
        BrainLmNetwork::Image(config) => {
            ImageMae::new(config, vb.clone())?;
            ImageDecoder::new(config, vb)?;
            Ok(drawn.tensors())
        }
    }
}

/// Tensors of a small BrainMT for windows of 20 volumes of one cell.
pub fn brainmt(direction: Direction, seed: u64) -> Result<HashMap<String, Tensor>> {
    let size = json!({
        "embed_dim": 32, "depth": [2, 1], "n_heads": 2, "n_frames": 20, "n_cells": 1,
        "direction": direction,
    });
    let drawn = Variables::default();
    BrainMt::new(&serde_json::from_value(size)?, drawn.builder(seed, DType::F32))?;
    Ok(drawn.tensors())
}

/// Both directions, for those who know no tensors.
pub fn brainmt_plain(both_ways: bool, seed: u64) -> Result<Vec<Plain>> {
    plain(brainmt(if both_ways { Direction::Both } else { Direction::Forward }, seed)?)
}

/// Tensors as plain numbers, in the order of their names.
pub fn plain(tensors: HashMap<String, Tensor>) -> Result<Vec<Plain>> {
    let mut all = tensors
        .into_iter()
        .map(|(name, tensor)| {
            Ok((name, tensor.dims().to_vec(), tensor.flatten_all()?.to_vec1::<f32>()?))
        })
        .collect::<Result<Vec<_>>>()?;
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

/// Writes a network's weights as safetensors, and its `config.json` beside them where asked.
pub fn write(network: &BrainLmNetwork, seed: u64, path: &Path, with_config: bool) -> Result<()> {
    save(path, &brainlm(network, seed)?)?;
    if with_config {
        let config = path.with_file_name("config.json");
        std::fs::write(&config, config_json(network).to_string())
            .with_context(|| format!("cannot write {}", config.display()))?;
    }
    Ok(())
}
