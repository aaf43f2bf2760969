//! CortexMAE's weight files: the published `checkpoint-last.pth`, or safetensors.

use std::path::Path;

use candle_core::DType;
use nn::weights::Frozen;

use super::args::Args;
use super::network::sines_of;
use super::{CortexMae, CortexMaeDecoder, CortexMaePositions, CortexMaeSize};
use crate::weights::{Shapes, published, strict};
use crate::{Error, Result};

/// How far stored sines may be from ours.
const CLOSE: f64 = 1e-4;

fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::Checkpoint { path: path.to_owned(), problem: problem.into() }
}

/// The tensors of a weight file, those of the decoder below `decoder`, and the sizes that shapes and
/// `args` tell.
///
/// # Errors
/// Where the file cannot be read, or is not a CortexMAE's of parcels.
pub(super) fn read(path: &Path) -> Result<(Frozen, CortexMaeSize)> {
    let (weights, args) = tensors(path)?;
    let size = CortexMaeSize::of(&Shapes::of(&weights), &args);
    Ok((weights, size.map_err(|problem| wrong(path, problem))?))
}

fn tensors(path: &Path) -> Result<(Frozen, Args)> {
    let container = formats::open(path).map_err(nn::Error::from)?;
    let args = Args::of(container.metadata()).map_err(|problem| wrong(path, problem))?;
    let weights = published(path, &["model"])?;
    let weights =
        weights.renamed(|name| Some(name.strip_prefix("encoder.").unwrap_or(name).to_owned()))?;
    let apart = ["pos_embed.weight_spatial", "pos_embed.weight_temporal"];
    if !apart.iter().all(|name| weights.contains(name)) && !weights.contains("pos_embed.weight") {
        let problem = "holds no `pos_embed.weight_spatial` and `pos_embed.weight_temporal`, and no \
                       `pos_embed.weight`, so it is not CortexMAE's";
        return Err(wrong(path, problem));
    }
    Ok((weights, args))
}

/// Opens a weight file of a CortexMAE of these sizes; none of its tensors may be missing, unexpected
/// or of another shape. A file without a decoder is whole too, and sizes without one leave it out.
///
/// # Errors
/// Names the file, and the tensor that differs.
pub(super) fn open(path: &Path, size: &CortexMaeSize) -> Result<Frozen> {
    let (weights, _) = tensors(path)?;
    let decodes = size.decoder.is_some();
    let weights = weights
        .renamed(|name| (decodes || !name.starts_with("decoder.")).then(|| name.to_owned()))?;
    strict(&weights, |vb| {
        let network = CortexMae::new(size, vb.clone())?;
        if let Some(decoder) = &size.decoder {
            CortexMaeDecoder::new(size, decoder, vb.pp("decoder"))?;
        }
        Ok(network)
    })?;
    if size.positions == CortexMaePositions::Sines {
        let decoder = size.decoder.as_ref().map(|it| ("decoder.pos_embed.weight", it.dim));
        for (name, dim) in [("pos_embed.weight", size.dim)].into_iter().chain(decoder) {
            let stored = weights.stored(name)?.to_tensor(DType::F64)?;
            let sines = sines_of(size, dim, DType::F64, stored.device())?;
            let gap = (stored - sines)?.abs()?.flatten_all()?;
            let gap = gap.max(0)?.to_scalar::<f64>()?;
            if gap.is_nan() || gap > CLOSE {
                let (n_times, n) = (size.n_times(), size.n_parcels);
                return Err(wrong(
                    path,
                    format!(
                        "`{name}` is up to {gap:.1e} from the sines of {n_times} times and {n} parcels"
                    ),
                ));
            }
        }
    }
    Ok(weights)
}
