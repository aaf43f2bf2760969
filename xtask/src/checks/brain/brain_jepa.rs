//! Cases recorded from Brain-JEPA's own classes.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::DType;
use encoder::BrainJepaSize;
use encoder::brain_jepa::BrainJepa;
use nn::weights::Frozen;

use super::case::Case;
use crate::checks::Worst;

/// The kind that this file knows.
pub(in crate::checks) const KIND: &str = "brain_jepa";

/// Compares everything that a case records.
pub(in crate::checks) fn run(folder: &Path, device: &nn::Device) -> Result<Worst> {
    let mut case = Case::open(folder, device)?;
    let gradients = case.get("input.gradients")?;
    let config = &case.facts["config"];
    let side = |at: usize| -> Result<usize> {
        let found = config["img_size"][at].as_u64();
        Ok(found.context("case.json has no config.img_size")? as usize)
    };
    for (key, usual) in [("mlp_ratio", 4.), ("in_chans", 1.), ("layer_norm_eps", 1e-6)] {
        let found = config[key].as_f64();
        ensure!(found.is_none_or(|found| found == usual), "config.{key} is {}", config[key]);
    }
    let size = BrainJepaSize {
        dim: case.number("embed_dim")?,
        depth: case.number("depth")?,
        n_heads: case.number("num_heads")?,
        n_parcels: side(0)?,
        n_frames: side(1)?,
        patch: case.number("patch_size")?,
        n_gradients: gradients.dim(1)?,
    };
    let path = folder.join("weights.safetensors");
    let table = Frozen::from_tensors(&path, HashMap::from([("gradients".to_owned(), gradients)]));
    let weights = Frozen::joined(&path, &[Frozen::open(&path)?, table])?;
    let weights = encoder::brain_jepa::checked(&path, &weights, &size)?;
    let network = BrainJepa::new(&size, weights.builder(DType::F32).on(device))?;
    case.compare("output.positions", &network.positions()?.flatten_to(1)?)?;
    let signals = case.get("input.signal")?.squeeze(1)?;
    let mut states = Vec::new();
    let tokens = network.encode(&signals, &mut |_, xs| states.push(xs.clone()))?;
    for (idx, state) in states.iter().enumerate() {
        let name = idx.checked_sub(1).map(|block| format!("output.block.{block}"));
        case.compare(name.as_deref().unwrap_or("output.tokens.embedded"), state)?;
    }
    case.compare("output.tokens.final", &tokens)?;
    case.compare("output.mean", &tokens.mean(1)?)?;
    case.all_compared()
}
