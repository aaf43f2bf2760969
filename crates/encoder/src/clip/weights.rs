//! A CLIP checkpoint's tensors under our names.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Result, Tensor, bail};

use super::names::{Role, role};

/// The visual tower's tensors of a checkpoint, by open_clip's names without prefix; the text tower
/// is left out, query, key and value are packed.
///
/// # Errors
/// Names a tensor that no CLIP has, or a packed projection with a part missing.
pub fn visual(checkpoint: &HashMap<String, Tensor>) -> Result<HashMap<String, Tensor>> {
    let mut tensors = HashMap::new();
    let mut thirds: BTreeMap<String, [Option<Tensor>; 3]> = BTreeMap::new();
    let mut names: Vec<_> = checkpoint.keys().collect();
    names.sort();
    for name in names {
        let tensor = &checkpoint[name];
        match role(name) {
            Role::Ours(ours) => drop(tensors.insert(ours, tensor.clone())),
            Role::Transposed(ours) => drop(tensors.insert(ours, tensor.t()?.contiguous()?)),
            Role::Third(ours, which) => {
                thirds.entry(ours).or_default()[which] = Some(tensor.clone());
            }
            Role::Text => {}
            Role::Unknown => bail!("tensor `{name}` belongs to no CLIP"),
        }
    }
    for (name, parts) in thirds {
        let [Some(q), Some(k), Some(v)] = parts else {
            bail!("`{name}` needs a query, a key and a value projection; one is missing")
        };
        tensors.insert(name, Tensor::cat(&[q, k, v], 0)?);
    }
    Ok(tensors)
}
