//! Brain-Semantoks' weight files: the published checkpoint, of which the teacher is taken, or
//! safetensors.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Tensor};
use nn::weights::Frozen;

use super::network::time_table;
use super::sibling;
use super::tokenizer::joined;
use super::{BrainSemantoks, BrainSemantoksSize, SemantoksBranch};
use crate::weights::{Shapes, published, strict};
use crate::{Error, Result};

/// The stored sines, which are computed here.
const TABLE: &str = "inter_network_transformer.temporal_pos_embedding";
/// A norm that is never applied.
const DEAD: &str = "inter_network_transformer.norm.";
const TOKENIZERS: &str = "network_tokenizers.";
/// How far the stored sines may be from ours.
const CLOSE: f64 = 1e-4;

pub(super) fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::Checkpoint { path: path.to_owned(), problem: problem.into() }
}

/// The encoder's tensors under their published names, and what the checkpoint says of the tokenizer.
pub(super) fn tensors(path: &Path) -> Result<Frozen> {
    let weights = published(path, &["model_state_dict"])?;
    let taught = |name: &str| name.starts_with("teacher_encoder.");
    if weights.list().iter().any(|info| taught(&info.name)) {
        return Ok(weights.renamed(|name| {
            let name = name.strip_prefix("teacher_encoder.")?;
            Some(name.strip_prefix("module.").unwrap_or(name).to_owned())
        })?);
    }
    if weights.contains(TABLE) {
        return Ok(weights);
    }
    Err(wrong(path, "holds no `teacher_encoder`, so it is not Brain-Semantoks'"))
}

/// The sizes that shapes and the checkpoint's `config` tell, for ROIs in these networks.
///
/// # Errors
/// Where the file cannot be read, or is of a Brain-Semantoks with other tokenizers.
pub(super) fn size(path: &Path, networks: &[[usize; 2]]) -> Result<BrainSemantoksSize> {
    let container = formats::open(path).map_err(nn::Error::from)?;
    let shapes = Shapes::of(&tensors(path)?);
    sibling::size(&shapes, container.metadata(), networks).map_err(|problem| wrong(path, problem))
}

/// The file's name of a tensor of the network: its tokenizers are those of the first atlas.
pub(super) fn published_name(name: &str, atlas: &str) -> String {
    match name.strip_prefix("tokenizers.") {
        Some(rest) => format!("{TOKENIZERS}{atlas}.{rest}"),
        None => name.to_owned(),
    }
}

/// Opens a weight file of a Brain-Semantoks of these sizes; none of its encoder's tensors may be
/// missing, unexpected or of another shape. Of the tokenizers, which are stored once for every atlas,
/// those of the first are taken.
///
/// # Errors
/// Names the file, and the tensor that differs.
pub(super) fn open(path: &Path, size: &BrainSemantoksSize) -> Result<Frozen> {
    let weights = tensors(path)?;
    let first = format!("{TOKENIZERS}{}.", size.atlas);
    let weights = weights.renamed(|name| {
        if let Some(rest) = name.strip_prefix(&first) {
            return Some(format!("tokenizers.{rest}"));
        }
        (!name.starts_with(TOKENIZERS) && !name.starts_with(DEAD)).then(|| name.to_owned())
    })?;
    if weights.contains(TABLE) {
        let stored = weights.stored(TABLE)?.to_tensor(DType::F64)?;
        let ours = time_table(size, DType::F64, stored.device())?;
        if stored.dims() != ours.dims() {
            return Err(wrong(
                path,
                format!("`{TABLE}` has shape {:?}, expected {:?}", stored.dims(), ours.dims()),
            ));
        }
        let gap = (stored - ours)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()?;
        if gap.is_nan() || gap > CLOSE {
            return Err(wrong(path, format!("`{TABLE}` is up to {gap:.1e} from its sines")));
        }
    }
    let weights = weights.renamed(|name| (name != TABLE).then(|| name.to_owned()))?;
    let weights = with_norms(path, &weights, size)?;
    strict(&weights, |vb| BrainSemantoks::new(size, vb))?;
    Ok(weights)
}

/// The same, with the norm of the present kernel where none was stored yet, and without the flags that
/// tell the two apart.
fn with_norms(path: &Path, weights: &Frozen, size: &BrainSemantoksSize) -> Result<Frozen> {
    const FLAG: &str = ".kernel_norm_initialized";
    let mut norms: HashMap<String, Tensor> = HashMap::new();
    for info in weights.list() {
        let Some(at) = info.name.strip_suffix(FLAG) else { continue };
        let flag = weights.stored(&info.name)?.to_tensor(DType::F32)?.flatten_all()?;
        if flag.to_vec1::<f32>()?.iter().any(|flag| *flag != 0.) {
            continue;
        }
        let read = |name: &str| weights.stored(&format!("{at}.{name}"))?.to_tensor(DType::F32);
        let scales = size.branches.iter().filter_map(|branch| match branch {
            SemantoksBranch::Structured(branch) => Some(branch.scales),
            _ => None,
        });
        let scales = scales.max().unwrap_or(0);
        let kernels = (0..scales).map(|scale| read(&format!("kernel_list.{scale}")));
        let kernel = joined(&kernels.collect::<nn::Result<Vec<_>>>()?, &read("multiplier")?)?;
        norms.insert(format!("{at}.kernel_norm"), kernel.sqr()?.sum_keepdim(2)?.sqrt()?);
    }
    let kept = weights.renamed(|name| {
        (!name.ends_with(FLAG) && !norms.contains_key(name)).then(|| name.to_owned())
    })?;
    if norms.is_empty() {
        return Ok(kept);
    }
    Ok(Frozen::joined(path, &[kept, Frozen::from_tensors(path, norms)])?)
}
