//! SwiFT's weight files: Lightning's checkpoints with their `hyper_parameters`, or safetensors.

use std::path::Path;

use formats::{Container, Value};
use nn::weights::Frozen;

use super::{Swift, SwiftSize};
use crate::weights::{Shapes, strict};
use crate::{Error, Result};

/// Parts of a checkpoint that are no part of the encoder: heads of tasks, and a norm that no pass
/// applies.
const OTHERS: [&str; 4] = ["norm.", "head.", "output_head.", "emb_mlp."];

fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::Checkpoint { path: path.to_owned(), problem: problem.into() }
}

fn tensors(container: Container) -> Result<Frozen> {
    let path = container.path().to_owned();
    let mut weights = Frozen::from_container(container);
    let starts = |weights: &Frozen, prefix: &str| {
        weights.list().iter().any(|info| info.name.starts_with(prefix))
    };
    for prefix in ["state_dict.", "module.", "model."] {
        // what stands beside the section, such as the state of an optimiser, is left out
        if starts(&weights, prefix) {
            weights = weights.renamed(|name| name.strip_prefix(prefix).map(str::to_owned))?;
        }
    }
    let weights = weights.renamed(|name| {
        (!OTHERS.iter().any(|part| name.starts_with(part))).then(|| name.to_owned())
    })?;
    if !weights.contains("patch_embed.fc.weight") || !weights.contains("pos_embeds.0.time_embed") {
        let problem = "holds no `patch_embed.fc.weight` and `pos_embeds.0.time_embed`, so it is not \
                       SwiFT's";
        return Err(wrong(&path, problem));
    }
    Ok(weights)
}

/// The sizes that a checkpoint says and its tensors have.
///
/// # Errors
/// Where the file cannot be read or is not a SwiFT's, or it has no `hyper_parameters`: windows, heads
/// and the attention of the last stage cannot be told from tensors.
pub(super) fn size(path: &Path) -> Result<SwiftSize> {
    let container = formats::open(path).map_err(nn::Error::from)?;
    let said = container.metadata().get("hyper_parameters").cloned();
    let shapes = Shapes::of(&tensors(container)?);
    let Some(said) = said.filter(|said| said.keys().next().is_some()) else {
        let problem = "holds no `hyper_parameters`, without which its windows, its heads and the \
                       attention of its last stage are not known: name the `size`, or take the \
                       Lightning checkpoint";
        return Err(wrong(path, problem));
    };
    of(&said, &shapes).map_err(|problem| wrong(path, problem))
}

/// As the checkpoint says and its tensors have them; a sentence where something is missing.
pub(super) fn of(said: &Value, shapes: &Shapes) -> Result<SwiftSize, String> {
    if let Some(model) = said.get("model").and_then(Value::as_text)
        && model != "swin4d_ver7"
    {
        return Err(format!("its `hyper_parameters` say model {model}, expected swin4d_ver7"));
    }
    let list = |key: &str| -> Result<Vec<usize>, String> {
        let all = said.get(key).and_then(Value::as_list);
        let all: Option<Vec<usize>> =
            all.and_then(|all| all.iter().map(Value::as_int::<usize>).collect());
        all.ok_or_else(|| format!("its `hyper_parameters` have no numbers `{key}`"))
    };
    let sides = |key: &str, n: usize| -> Result<Vec<usize>, String> {
        let found = list(key)?;
        if found.len() == n {
            return Ok(found);
        }
        Err(format!("its `hyper_parameters` have {key} {found:?}, expected {n} numbers"))
    };
    let four = |key: &str| -> Result<[usize; 4], String> {
        Ok(sides(key, 4)?.try_into().expect("just counted"))
    };
    let number = |key: &str, usual: usize| {
        let found = said.get(key).and_then(Value::as_int::<usize>).unwrap_or(usual);
        if found == usual { Ok(()) } else { Err(format!("{key} is {found}, expected {usual}")) }
    };
    number("in_chans", 1)?;
    number("c_multiplier", 2)?;
    let full = match said.get("last_layer_full_MSA") {
        Some(Value::Bool(full)) => *full,
        _ => return Err("its `hyper_parameters` have no `last_layer_full_MSA`".to_owned()),
    };
    let [patch @ .., patch_t] = four("patch_size")?;
    if patch_t != 1 {
        return Err(format!("patches of {patch_t} frames, expected 1"));
    }
    let [grid @ .., _] = four("img_size")?;
    let embed_dim = shapes.get("patch_embed.fc.weight").map_or(0, |shape| shape[0]);
    let n_frames = shapes.get("pos_embeds.0.time_embed").and_then(|shape| shape.last());
    Ok(SwiftSize {
        embed_dim,
        depths: list("depths")?,
        n_heads: list("num_heads")?,
        grid,
        n_frames: n_frames.copied().unwrap_or(0),
        patch,
        first_window: four("first_window_size")?,
        window: four("window_size")?,
        last_stage_full: full,
    })
}

/// Opens a weight file of a SwiFT of these sizes; none of its encoder's tensors may be missing,
/// unexpected or of another shape.
///
/// # Errors
/// Names the file, and the tensor that differs.
pub(super) fn open(path: &Path, size: &SwiftSize) -> Result<Frozen> {
    let weights = tensors(formats::open(path).map_err(nn::Error::from)?)?;
    strict(&weights, |vb| Swift::new(size, vb))?;
    Ok(weights)
}
