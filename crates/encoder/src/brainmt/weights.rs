//! BrainMT's weight files: a `.pth` with `model_state_dict`, a Lightning checkpoint, safetensors.

use std::path::Path;

use candle_core::DType;
use nn::weights::Frozen;

use super::{BrainMt, BrainMtSize};
use crate::{Error, Result};

/// The encoder's name in the YAML.
pub(super) const NAME: &str = "brainmt";

/// Where the tensors stand in a file that holds more than them.
const SECTIONS: [&str; 2] = ["model_state_dict.", "state_dict."];

/// What a trainer puts before its model's names.
const WRAPPERS: [&str; 1] = ["model."];

/// The tensors of a weight file under the published names, and the sizes that their shapes tell.
///
/// # Errors
/// Where the file cannot be read, or is not a BrainMT's.
pub(crate) fn read(path: &Path, n_heads: usize) -> Result<(Frozen, BrainMtSize)> {
    let mut weights = Frozen::open(path)?;
    let starts = |weights: &Frozen, prefix: &str| {
        weights.list().iter().any(|info| info.name.starts_with(prefix))
    };
    for prefix in SECTIONS.into_iter().chain(WRAPPERS) {
        // what is beside the section, such as the state of an optimizer, is left out
        if starts(&weights, prefix) {
            weights = weights.renamed(|name| name.strip_prefix(prefix).map(str::to_owned))?;
        }
        weights = weights.unwrapped()?;
    }
    let Some(size) = BrainMtSize::of(&weights, n_heads) else {
        let reason = format!(
            "{}: holds no `pos_embed` and `temporal_pos_embedding`, so it is not BrainMT's",
            path.display()
        );
        return Err(Error::Setting { encoder: NAME, reason });
    };
    Ok((weights, size))
}

/// Opens a weight file of a BrainMT of these sizes; none of its tensors may be missing, unexpected or
/// of another shape.
///
/// # Errors
/// Names the file, and the direction or the tensor that differs.
pub(crate) fn open(path: &Path, size: &BrainMtSize) -> Result<Frozen> {
    let (weights, found) = read(path, size.n_heads)?;
    if found.direction != size.direction {
        let reason = format!(
            "{}: {}, but `direction` says that it {}",
            path.display(),
            found.direction.in_words(),
            size.direction.in_words()
        );
        return Err(Error::Setting { encoder: NAME, reason });
    }
    BrainMt::new(size, weights.builder(DType::F32)).map_err(Error::inside(NAME))?;
    weights.all_used()?;
    Ok(weights)
}
