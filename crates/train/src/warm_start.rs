//! A training that begins with the trained weights of a package.

use std::collections::HashMap;
use std::path::Path;

use candle_core::Tensor;
use flamingo::TrainedWeights;
use nn::weights::{Variables, is_correction};

use crate::{Error, Result};

/// Puts the trained weights of the package in `folder` in place of those that were drawn, and gives their digest.
///
/// Low-rank corrections that the package does not have begin at zero, and so do what it left as its encoder's file has
/// it; anything else has to be there.
pub(crate) fn take_over(folder: &Path, encoder: &Variables, adapter: &Variables) -> Result<String> {
    let found = TrainedWeights::read(folder)?;
    assign(folder, adapter, &found.adapter, is_correction)?;
    // beside a base a package holds what moved
    let has_base = found.encoder_has_base;
    assign(folder, encoder, &found.encoder, |name| has_base || is_correction(name))?;
    Ok(found.sha256)
}

fn assign(
    folder: &Path,
    variables: &Variables,
    found: &HashMap<String, Tensor>,
    may_lack: impl Fn(&str) -> bool,
) -> Result<()> {
    let refuse = |reason: String| Error::WarmStart { path: folder.to_owned(), reason };
    let all = variables.all();
    for (name, var) in &all {
        let Some(tensor) = found.get(name) else {
            if may_lack(name) {
                continue;
            }
            return Err(refuse(format!("it has no tensor {name}, which this training moves")));
        };
        if tensor.dims() != var.dims() {
            return Err(refuse(format!(
                "its tensor {name} has the shape {:?}, expected {:?}",
                tensor.dims(),
                var.dims()
            )));
        }
        var.set(&tensor.to_dtype(var.dtype())?)?;
    }
    let mut names: Vec<&String> = found.keys().collect();
    names.sort();
    match names.into_iter().find(|name| all.iter().all(|(known, _)| known != *name)) {
        Some(name) => Err(refuse(format!(
            "its tensor {name} was trained, and is none that this training moves"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn tensors(names: &[(&str, usize)]) -> HashMap<String, Tensor> {
        let fives = |n: usize| Tensor::full(5f32, n, &Device::Cpu).unwrap();
        let both = |name: &str| [format!("{name}.weight"), format!("{name}.bias")];
        let named = names.iter().flat_map(|(name, n)| both(name).map(|name| (name, fives(*n))));
        named.collect()
    }

    #[test]
    fn what_does_not_fit_is_named_and_what_begins_at_zero_may_be_absent() -> Result<()> {
        let variables = Variables::default();
        let vb = variables.builder(1, DType::F32);
        for name in ["a", "b.begins_at_zero"] {
            nn::LayerNorm::new(2, 1e-5, vb.pp(name))?;
        }
        let taken = |found: &[(&str, usize)]| {
            let found = assign(Path::new("old"), &variables, &tensors(found), |name| {
                name.starts_with("b.")
            });
            found.map_err(|error| error.to_string())
        };
        assert_eq!(taken(&[("a", 2)]), Ok(()));
        let values: Vec<Vec<f32>> =
            variables.all().iter().map(|(_, var)| var.to_vec1().unwrap()).collect();
        // bias and weight of each norm: those of the second stay as they were made
        assert_eq!(values, [[5., 5.], [5., 5.], [0., 0.], [1., 1.]]);
        assert_eq!(
            taken(&[]).unwrap_err(),
            "old: it has no tensor a.bias, which this training moves"
        );
        assert!(taken(&[("a", 3)]).unwrap_err().contains("a.bias has the shape [3], expected [2]"));
        assert!(
            taken(&[("a", 2), ("c", 1)]).unwrap_err().contains("its tensor c.bias was trained")
        );
        Ok(())
    }
}
