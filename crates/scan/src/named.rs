//! Arrays of any shape by name: what other programs computed of scans.

use std::path::Path;

use formats::{Container, Dtype};
use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};

use crate::error::{Error, Result};

/// Names of the arrays in a safetensors, numpy or PyTorch file; a file that is one array has the
/// empty name.
pub fn array_names(path: impl AsRef<Path>) -> Result<Vec<String>> {
    let container = formats::open(path.as_ref()).map_err(Error::Arrays)?;
    Ok(container.entries().iter().map(|entry| entry.name.clone()).collect())
}

/// Reads an array by its name, or the only one of a file, widened to 64 bits.
pub fn read_array(path: impl AsRef<Path>, name: Option<&str>) -> Result<ArrayD<f64>> {
    let path = path.as_ref();
    let container = formats::open(path).map_err(Error::Arrays)?;
    let entry = match name {
        Some(name) => container.get(name).ok_or_else(|| {
            let (path, name) = (path.to_path_buf(), name.to_owned());
            Error::NoArray { path, name, found: some_names(&container) }
        })?,
        None => container.only().map_err(Error::Arrays)?,
    };
    let bytes = container.read(entry).map_err(Error::Arrays)?;
    let values = widened(entry.dtype, &bytes).ok_or_else(|| {
        let (path, found) = (path.to_path_buf(), entry.dtype.to_string());
        Error::Unsupported { path, found, expected: "floating-point numbers of 16 to 64 bits" }
    })?;
    Ok(ArrayD::from_shape_vec(IxDyn(&entry.shape), values).expect("as many as the shape says"))
}

fn some_names(container: &Container) -> String {
    let names: Vec<&str> = container.entries().iter().take(4).map(|it| it.name.as_str()).collect();
    let more = if container.entries().len() > names.len() { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

fn widened(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    fn each<const N: usize>(bytes: &[u8], widen: fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|it| widen(*it)).collect()
    }
    Some(match dtype {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |it| f32::from_le_bytes(it).into()),
        Dtype::F16 => each(bytes, |it| f16::from_le_bytes(it).into()),
        Dtype::BF16 => each(bytes, |it| bf16::from_le_bytes(it).into()),
        _ => return None,
    })
}
