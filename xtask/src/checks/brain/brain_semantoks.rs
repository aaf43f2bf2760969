//! Cases recorded from Brain-Semantoks' own classes.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{D, DType, Tensor};
use encoder::brain_semantoks::{BrainSemantoks, DenseBranch, SemantoksPlace, StructuredBranch};
use encoder::{BrainSemantoksSize, SemantoksBranch, SemantoksPooling};
use serde_json::Value;

use super::case::Case;
use crate::checks::Worst;

/// The kind that this file knows.
pub(in crate::checks) const KIND: &str = "brain_semantoks";

/// Compares everything that a case records.
pub(in crate::checks) fn run(folder: &Path, device: &nn::Device) -> Result<Worst> {
    let mut case = Case::open(folder, device)?;
    let size = size(&case)?;
    let weights = Case::weights(folder, KIND, &size)?;
    let network = BrainSemantoks::new(&size, weights.builder(DType::F32).on(device))?;
    let signals = case.get("input.signal")?;
    let hidden = case.io.contains("input.mask").then(|| case.get("input.mask")).transpose()?;
    let mut places = Vec::new();
    let tokens = network
        .encode(&signals, hidden.as_ref(), &mut |place, xs| places.push((place, xs.clone())))?;
    for (place, xs) in places {
        let name = match place {
            SemantoksPlace::Tokenized => "tokenizer.tokens".to_owned(),
            SemantoksPlace::Embedded => "output.tokens.embedded".to_owned(),
            SemantoksPlace::Block(idx) => format!("output.block.{idx}"),
        };
        case.compare(&name, &xs)?;
    }
    case.compare("output.tokens.final", &tokens)?;
    let class = tokens.narrow(1, 0, 1)?.squeeze(1)?;
    case.compare("output.cls", &class)?;
    let others = tokens.narrow(1, 1, tokens.dim(1)? - 1)?.mean(1)?;
    case.compare("output.cls_avg", &Tensor::cat(&[&others, &class], D::Minus1)?)?;
    case.all_compared()
}

/// The sizes that the case's own `config` says, under the original's names.
fn size(case: &Case) -> Result<BrainSemantoksSize> {
    let config = &case.facts["config"];
    let map = case.io.stored("input.network_map")?.to_tensor(DType::U32)?.to_vec1::<u32>()?;
    let map: Vec<usize> = map.into_iter().map(|network| network as usize).collect();
    let branches = config["tokenizer_config"].as_array();
    let branches = branches.context("case.json has no config.tokenizer_config")?;
    let atlas = config["atlas_names"][0].as_str().context("case.json has no config.atlas_names")?;
    ensure!(
        config["layer_norm_eps"].as_f64().is_none_or(|eps| eps == 1e-5),
        "config.layer_norm_eps is {}",
        config["layer_norm_eps"]
    );
    let size = BrainSemantoksSize {
        depth: case.number("depth")?,
        n_heads: case.number("heads")?,
        hidden: case.number("mlp_dim")?,
        networks: BrainSemantoksSize::runs(&map),
        n_frames: case.number("target_time_length")?,
        patch: case.number("patch_size")?,
        branches: branches.iter().map(branch).collect::<Result<_>>()?,
        pooling: match config["tokenizer_pooling_type"].as_str() {
            None | Some("mean") => SemantoksPooling::Mean,
            Some("max") => SemantoksPooling::Max,
            Some("attention") => SemantoksPooling::Attention,
            Some(other) => bail!("config.tokenizer_pooling_type is {other}"),
        },
        token_norm: config["tokenizer_final_norm"].as_str().is_none_or(|norm| norm == "layer"),
        layer_scale: config["layer_scale_init_value"].as_f64().is_some_and(|init| init != 0.),
        mask_token: config["do_masking"].as_bool().unwrap_or(false),
        atlas: atlas.to_owned(),
    };
    if let Some(dim) = config["embedding_dim"].as_u64() {
        ensure!(
            size.dim() == dim as usize,
            "the branches make tokens of {}, not {dim}",
            size.dim()
        );
    }
    Ok(size)
}

fn branch(said: &Value) -> Result<SemantoksBranch> {
    let number = |key: &str| {
        let found = said[key].as_u64().map(|n| n as usize);
        found.with_context(|| format!("a branch of config.tokenizer_config has no {key}"))
    };
    let (channels, kernel) = (number("out_channels")?, number("kernel_size")?);
    match said["type"].as_str() {
        Some("sgconv") => {
            let scales = number("num_scales")?;
            Ok(SemantoksBranch::Structured(StructuredBranch { channels, kernel, scales }))
        }
        Some("dense" | "dilated") => {
            let dilation = number("dilation").unwrap_or(1);
            let branch = DenseBranch { channels, kernel, dilation };
            let apart = said["depthwise"].as_bool().unwrap_or(false);
            Ok(if apart {
                SemantoksBranch::Depthwise(branch)
            } else {
                SemantoksBranch::Dense(branch)
            })
        }
        _ => bail!("a branch of config.tokenizer_config is {}", said["type"]),
    }
}
