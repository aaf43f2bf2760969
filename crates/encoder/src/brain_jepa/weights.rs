//! Brain-JEPA's weight files: the published `.pth.tar`, of which the target encoder is taken, or
//! safetensors; and the table of gradients that its authors keep beside it.

use std::collections::HashMap;
use std::path::Path;

use candle_core::DType;
use nn::weights::Frozen;

use super::network::time_table;
use super::size::{GRADIENTS, TABLE};
use super::{BrainJepa, BrainJepaSize};
use crate::weights::{Shapes, published, strict};
use crate::{Error, Result};

/// What makes a place of a parcel's gradients, `(dim / 2, n_gradients)`.
const PLACE: &str = "pos_embed_proj.predictor_pos_embed_proj.weight";

/// How far the stored sines may be from ours.
const CLOSE: f64 = 1e-4;

fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::Checkpoint { path: path.to_owned(), problem: problem.into() }
}

/// The tensors of a weight file with the gradients among them, and the sizes that their shapes tell.
///
/// # Errors
/// Where a file cannot be read, or is not a Brain-JEPA's, or the two do not belong together.
pub(super) fn read(path: &Path, gradients: Option<&Path>) -> Result<(Frozen, BrainJepaSize)> {
    let weights = published(path, &["target_encoder"])?;
    let found = Shapes::of(&weights);
    let Some(&[n_tokens, _]) = found.get(TABLE) else {
        return Err(wrong(path, format!("holds no table `{TABLE}`, so it is not Brain-JEPA's")));
    };
    let columns = found.get(PLACE).and_then(|shape| shape.get(1)).copied();
    let weights = match (gradients, weights.contains(GRADIENTS)) {
        (Some(table), false) => {
            Frozen::joined(path, &[weights, read_gradients(table, n_tokens, columns)?])?
        }
        (None, true) => weights,
        (None, false) => {
            let problem = "its parcels have their places in a table that is not in it; name that \
                           (`gradients`)";
            return Err(wrong(path, problem));
        }
        (Some(_), true) => {
            return Err(wrong(path, "has its gradients already, `gradients` names others"));
        }
    };
    let size = BrainJepaSize::of(&Shapes::of(&weights));
    let size = size.ok_or_else(|| wrong(path, "its tensors have shapes of no Brain-JEPA"))?;
    Ok((weights, size))
}

/// The table of gradients, a row a parcel; `n_tokens` is a multiple of its parcels, `columns` the
/// gradients that the weights read.
fn read_gradients(path: &Path, n_tokens: usize, columns: Option<usize>) -> Result<Frozen> {
    let table = scan::read_array(path, None)?;
    let &[n_parcels, n_gradients] = table.shape() else {
        let problem = format!("has shape {:?}, expected (n_parcels, n_gradients)", table.shape());
        return Err(wrong(path, problem));
    };
    if n_parcels == 0 || !n_tokens.is_multiple_of(n_parcels) {
        let problem = format!(
            "has gradients of {n_parcels} parcels, which do not divide the {n_tokens} tokens of the weights"
        );
        return Err(wrong(path, problem));
    }
    if let Some(expected) = columns.filter(|expected| *expected != n_gradients) {
        let problem = format!("has {n_gradients} gradients, the weights read {expected}");
        return Err(wrong(path, problem));
    }
    if let Some(at) = table.iter().position(|x| !x.is_finite()) {
        let (row, column) = (1 + at / n_gradients, 1 + at % n_gradients);
        return Err(wrong(path, format!("row {row}, column {column} is not a finite number")));
    }
    let values: Vec<f32> = table.iter().map(|&x| x as f32).collect();
    let tensor = nn::weights::constant(values, (n_parcels, n_gradients))?;
    Ok(Frozen::from_tensors(path, HashMap::from([(GRADIENTS.to_owned(), tensor)])))
}

/// Opens a weight file of a Brain-JEPA of these sizes; none of its tensors may be missing, unexpected
/// or of another shape, and its table must be the sines that are computed here.
///
/// # Errors
/// Names the file, and the tensor that differs.
pub(super) fn open(path: &Path, gradients: Option<&Path>, size: &BrainJepaSize) -> Result<Frozen> {
    let (weights, _) = read(path, gradients)?;
    checked(path, &weights, size)
}

/// The tensors of a Brain-JEPA of these sizes, the gradients among them, without the table, which must
/// be the sines that are computed here.
///
/// # Errors
/// Names the tensor that is missing, unexpected, of another shape or of other numbers.
pub fn checked(path: &Path, weights: &Frozen, size: &BrainJepaSize) -> Result<Frozen> {
    let stored = weights.stored(TABLE)?.to_tensor(DType::F64)?;
    let (n_parcels, n_times, half) = (size.n_parcels, size.n_times(), size.dim / 2);
    if stored.dims() != [n_parcels * n_times, half] {
        let problem = format!(
            "`{TABLE}` has shape {:?}, expected [{}, {half}] for {n_parcels} parcels and {n_times} patches",
            stored.dims(),
            n_parcels * n_times,
        );
        return Err(wrong(path, problem));
    }
    let ours = time_table(size, DType::F64, stored.device())?.unsqueeze(0)?;
    let gap = stored.reshape((n_parcels, n_times, half))?.broadcast_sub(&ours)?.abs()?;
    let gap = gap.flatten_all()?.max(0)?.to_scalar::<f64>()?;
    if gap.is_nan() || gap > CLOSE {
        let problem = format!(
            "`{TABLE}` is up to {gap:.1e} from the sines of {n_times} patches for each of {n_parcels} parcels"
        );
        return Err(wrong(path, problem));
    }
    let weights = weights.renamed(|name| (name != TABLE).then(|| name.to_owned()))?;
    strict(&weights, |vb| BrainJepa::new(size, vb))?;
    Ok(weights)
}
