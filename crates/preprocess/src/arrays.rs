//! Named matrices of `f32` in a safetensors file.
use std::{collections::BTreeMap, path::Path};

use ndarray::{Array2, ArrayView2};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{Error, Result};

/// The file's bytes.
pub(crate) fn to_bytes<'a>(
    arrays: impl IntoIterator<Item = (String, ArrayView2<'a, f32>)>,
) -> Vec<u8> {
    let flat: Vec<(String, Vec<usize>, Vec<u8>)> = arrays
        .into_iter()
        .map(|(name, array)| {
            let bytes = array.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name, array.shape().to_vec(), bytes)
        })
        .collect();
    let views = flat.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name, view.expect("four bytes a value were written"))
    });
    safetensors::serialize(views, None).expect("shapes and lengths agree")
}

/// Everything in the file.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Array2<f32>>> {
    let bytes = files::read_bytes(path)?;
    let damaged = |problem: String| Error::Arrays { path: path.to_owned(), problem };
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    tensors
        .iter()
        .map(|(name, view)| {
            let &[rows, columns] = view.shape() else {
                return Err(damaged(format!(
                    "{name} has shape {:?}, expected two sides",
                    view.shape()
                )));
            };
            if view.dtype() != Dtype::F32 {
                return Err(damaged(format!("{name} holds {:?}, expected F32", view.dtype())));
            }
            let values = view
                .data()
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of four")));
            let array = Array2::from_shape_vec((rows, columns), values.collect());
            Ok((name.to_owned(), array.map_err(|error| damaged(error.to_string()))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn reading_back_is_the_identity() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let (a, b) =
            (array![[1.0_f32, -2.5], [f32::MIN_POSITIVE, 0.0]], array![[3.0_f32, 4.0, 5.0]]);
        // a transposed view is written in its own order
        let bytes = to_bytes([("a".to_owned(), a.t()), ("b".to_owned(), b.view())]);
        files::write_atomic(&path, &bytes).unwrap();
        let read = super::read(&path).unwrap();
        assert_eq!(read["a"], a.t());
        assert_eq!(read["b"], b);
    }

    #[test]
    fn a_cut_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let bytes = to_bytes([("a".to_owned(), array![[1.0_f32, 2.0]].view())]);
        files::write_atomic(&path, &bytes[..bytes.len() - 3]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("a.safetensors: is damaged"));
    }
}
