//! Cases recorded from SwiFT's own classes.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Tensor};
use encoder::SwiftSize;
use encoder::swift::{Swift, SwiftPlace};

use super::case::Case;
use crate::checks::Worst;

/// The kind that this file knows.
pub(in crate::checks) const KIND: &str = "swift";

/// Compares everything that a case records.
pub(in crate::checks) fn run(folder: &Path, device: &nn::Device) -> Result<Worst> {
    let mut case = Case::open(folder, device)?;
    let size = size(&case)?;
    let weights = Case::weights(folder, KIND, &size)?;
    let network = Swift::new(&size, weights.builder(DType::F32).on(device))?;
    // (batch, channel, x, y, z, t)
    let windows = case.get("input.volumes")?.squeeze(1)?.permute((0, 4, 1, 2, 3))?.contiguous()?;
    let mut places = Vec::new();
    let tokens = network.encode(&windows, &mut |place, xs| places.push((place, xs.clone())))?;
    let channels_first = |xs: &Tensor| xs.permute(vec![0, 5, 1, 2, 3, 4])?.contiguous();
    for (place, xs) in places {
        match place {
            SwiftPlace::Embedded => case.compare("output.patch_embed", &channels_first(&xs)?)?,
            SwiftPlace::Entered(stage) => {
                case.compare(&format!("output.stage.{stage}.input"), &xs)?;
            }
            SwiftPlace::Block(stage, idx) => {
                case.compare(&format!("output.stage.{stage}.block.{idx}"), &xs)?;
            }
            SwiftPlace::Stage(stage) => {
                case.compare(&format!("output.stage.{stage}"), &channels_first(&xs)?)?;
            }
        }
    }
    case.compare("output.tokens", &tokens)?;
    case.compare("output.pooled", &tokens.mean(1)?)?;
    case.all_compared()
}

/// The sizes that the case's own `config` says, under the original's names.
fn size(case: &Case) -> Result<SwiftSize> {
    let config = &case.facts["config"];
    for (key, usual) in [("in_chans", 1.), ("c_multiplier", 2.), ("mlp_ratio", 4.)] {
        let found = config[key].as_f64();
        ensure!(found.is_none_or(|found| found == usual), "config.{key} is {}", config[key]);
    }
    let list = |key: &str| -> Result<Vec<usize>> {
        let found =
            config[key].as_array().with_context(|| format!("case.json has no config.{key}"))?;
        found.iter().map(|n| Ok(n.as_u64().context("not a number")? as usize)).collect()
    };
    let four = |key: &str| -> Result<[usize; 4]> {
        let found: Result<[usize; 4], _> = list(key)?.try_into();
        found.map_err(|found| anyhow::anyhow!("config.{key} is {found:?}"))
    };
    let [grid @ .., n_frames] = four("img_size")?;
    let [patch @ .., patch_t] = four("patch_size")?;
    ensure!(patch_t == 1, "patches of {patch_t} frames");
    Ok(SwiftSize {
        embed_dim: case.number("embed_dim")?,
        depths: list("depths")?,
        n_heads: list("num_heads")?,
        grid,
        n_frames,
        patch,
        first_window: four("first_window_size")?,
        window: four("window_size")?,
        last_stage_full: config["last_layer_full_MSA"].as_bool().unwrap_or(false),
    })
}
