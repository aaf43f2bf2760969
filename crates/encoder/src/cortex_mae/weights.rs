//! CortexMAE's weight files: the published `checkpoint-last.pth`, or safetensors.

use std::path::Path;

use formats::Value;
use nn::weights::Frozen;

use super::{CortexMae, CortexMaeSize};
use crate::weights::{Shapes, published, strict};
use crate::{Error, Result};

/// Input spaces of the siblings that are not built.
const SIBLINGS: [&str; 2] = ["flat", "mni_cortex"];

/// The encoder's tensors of a weight file, and the sizes that their shapes tell. The decoder, of which
/// nothing is built, is left out.
///
/// # Errors
/// Where the file cannot be read, or is not a CortexMAE's of parcels.
pub(super) fn read(path: &Path) -> Result<(Frozen, CortexMaeSize)> {
    let wrong = |problem: String| Error::Checkpoint { path: path.to_owned(), problem };
    let container = formats::open(path).map_err(nn::Error::from)?;
    let said = container.metadata().get("args").and_then(|args| args.get("input_space"));
    if let Some(space) = said.and_then(Value::as_text).filter(|it| SIBLINGS.contains(it)) {
        return Err(wrong(format!("its input space is {space}, expected one of parcels")));
    }
    let weights = published(path, &["model"])?;
    let whole = weights.list().iter().any(|info| info.name.starts_with("encoder."));
    let weights = weights.renamed(|name| {
        let decodes = whole && name.starts_with("decoder.");
        (!decodes).then(|| name.strip_prefix("encoder.").unwrap_or(name).to_owned())
    })?;
    let Some(size) = CortexMaeSize::of(&Shapes::of(&weights)) else {
        let problem = "holds no `pos_embed.weight_spatial` and `pos_embed.weight_temporal`, so it is \
                       not CortexMAE's";
        return Err(wrong(problem.to_owned()));
    };
    Ok((weights, size))
}

/// Opens a weight file of a CortexMAE of these sizes; none of its encoder's tensors may be missing,
/// unexpected or of another shape.
///
/// # Errors
/// Names the file, and the tensor that differs.
pub(super) fn open(path: &Path, size: &CortexMaeSize) -> Result<Frozen> {
    let (weights, _) = read(path)?;
    strict(&weights, |vb| CortexMae::new(size, vb))?;
    Ok(weights)
}
