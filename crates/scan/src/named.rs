//! Arrays of any shape by name: what other programs computed of scans.

use std::{fs::File, path::Path};

use ndarray::ArrayD;

use crate::{
    error::{Error, Result},
    h5::{self, Hdf5File, NodeKind},
    kind::Kind,
    matlab::MatFile,
    tables::{MAX_TEXT_BYTES, text},
    tensor::TensorFile,
};

/// Names of the arrays in a safetensors, HDF5, MATLAB, numpy or PyTorch file; a file that is one array has
/// the empty name.
pub fn array_names(path: impl AsRef<Path>) -> Result<Vec<String>> {
    let path = path.as_ref();
    if matches!(Kind::of(path), Ok(Kind::Matlab)) {
        return Ok(MatFile::open(path)?.names());
    }
    if !is_hdf5(path)? {
        let container = formats::open(path).map_err(Error::Tensor)?;
        return Ok(container.entries().iter().map(|entry| entry.name.clone()).collect());
    }
    let nodes = Hdf5File::open(path)?.nodes()?;
    let arrays = nodes.into_iter().filter(|node| matches!(node.kind, NodeKind::Dataset { .. }));
    Ok(arrays.map(|node| node.path.trim_start_matches('/').to_owned()).collect())
}

/// Reads an array by its name, or the only one of a file, widened to 64 bits; a table of numbers in
/// lines is an array too.
pub fn read_array(path: impl AsRef<Path>, name: Option<&str>) -> Result<ArrayD<f64>> {
    let path = path.as_ref();
    if name.is_none() && matches!(Kind::of(path), Ok(Kind::Text)) {
        return Ok(text::read(path, MAX_TEXT_BYTES, None)?.values.into_dyn());
    }
    if matches!(Kind::of(path), Ok(Kind::Matlab)) {
        return MatFile::open(path)?.values(name);
    }
    if !is_hdf5(path)? {
        return match name {
            Some(name) => TensorFile::named(path, name)?.values(),
            None => TensorFile::open(path)?.values(),
        };
    }
    let names = array_names(path)?;
    let only = || match names.as_slice() {
        [only] => Ok(only.as_str()),
        _ => Err(no_array(path, "", names.clone())),
    };
    let name = name.map_or_else(only, Ok)?;
    if names.iter().all(|it| it != name) {
        return Err(no_array(path, name, names.clone()));
    }
    Hdf5File::open(path)?.read(name)
}

fn is_hdf5(path: &Path) -> Result<bool> {
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    Ok(h5::begins_at(&mut File::open(path).map_err(attach)?).map_err(attach)?.is_some())
}

pub(crate) fn no_array(path: &Path, name: &str, mut found: Vec<String>) -> Error {
    let more = if found.len() > 4 { ", …" } else { "" };
    found.truncate(4);
    let (path, name) = (path.to_path_buf(), name.to_owned());
    Error::NoArray { path, name, found: found.join(", ") + more }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_npy;

    #[test]
    fn a_file_of_one_array_needs_no_name_and_another_name_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub-01.npy");
        let tokens = ndarray::array![[1.0, 2.0], [3.0, 4.0]].into_dyn();
        write_npy(&path, &tokens.view()).unwrap();
        assert_eq!(read_array(&path, None).unwrap(), tokens);
        assert_eq!(array_names(&path).unwrap(), [""]);
        let said = read_array(&path, Some("sub-02")).unwrap_err().to_string();
        assert!(said.contains("sub-01.npy: holds no array `sub-02`"), "{said}");
    }
}
