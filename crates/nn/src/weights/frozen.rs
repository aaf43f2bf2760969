//! Constants from a safetensors file; a missing tensor is an error, never a random one.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::Init;

use super::{Builder, Source};
use crate::{Error, Result};

/// Name, shape and element type of one tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TensorInfo {
    /// The tensor's name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its element type, as the file spells it.
    pub dtype: String,
}

/// The tensors of a safetensors file, in the order of their names, without their values.
pub fn list_tensors(path: &Path) -> Result<Vec<TensorInfo>> {
    let bytes = read(path)?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)
        .map_err(|error| Error::Format { path: path.to_owned(), reason: error.to_string() })?;
    let mut tensors: Vec<_> = header
        .tensors()
        .into_iter()
        .map(|(name, info)| TensorInfo {
            name,
            shape: info.shape.clone(),
            dtype: format!("{:?}", info.dtype),
        })
        .collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// Writes tensors as a safetensors file, the same bytes for the same tensors.
pub fn save(path: &Path, tensors: &HashMap<String, Tensor>) -> Result<()> {
    let bytes = safetensors::serialize(tensors, None)
        .map_err(|error| Error::Format { path: path.to_owned(), reason: error.to_string() })?;
    std::fs::write(path, bytes).map_err(|source| Error::Io { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// The tensors of one safetensors file as constants.
#[derive(Clone, Debug)]
pub struct Frozen {
    path: PathBuf,
    tensors: Arc<HashMap<String, Tensor>>,
    used: Arc<Mutex<BTreeSet<String>>>,
}

impl Frozen {
    /// Reads the whole file.
    pub fn open(path: &Path) -> Result<Self> {
        let tensors = candle_core::safetensors::load_buffer(&read(path)?, &Device::Cpu)
            .map_err(|error| Error::Format { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Self::from_tensors(path, tensors))
    }

    /// Tensors that are already in memory; errors name `path`, where they were read.
    pub fn from_tensors(path: &Path, tensors: HashMap<String, Tensor>) -> Self {
        Self { path: path.to_owned(), tensors: Arc::new(tensors), used: Arc::default() }
    }

    /// The same tensors under the names that `rename` gives; those that get none are left out.
    pub fn renamed(&self, rename: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut tensors = HashMap::new();
        for (name, tensor) in &*self.tensors {
            let Some(new) = rename(name) else { continue };
            if tensors.insert(new.clone(), tensor.clone()).is_some() {
                return Err(Error::Twice { path: self.path.clone(), name: new });
            }
        }
        Ok(Self::from_tensors(&self.path, tensors))
    }

    /// Every tensor by name.
    pub fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    /// A builder that hands out the file's tensors in `dtype`.
    pub fn builder(&self, dtype: DType) -> Builder {
        Builder::new(self.clone(), dtype)
    }

    /// Fails on the first tensor that no layer asked for.
    pub fn all_used(&self) -> Result<()> {
        let used = self.used.lock().expect("no holder panics");
        match self.tensors.keys().filter(|name| !used.contains(*name)).min() {
            Some(name) => Err(Error::Unexpected { path: self.path.clone(), name: name.clone() }),
            None => Ok(()),
        }
    }
}

impl Source for Frozen {
    fn tensor(
        &self,
        name: &str,
        shape: Shape,
        _: Init,
        dtype: DType,
    ) -> candle_core::Result<Tensor> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(candle_core::Error::wrap(Error::Missing {
                path: self.path.clone(),
                name: name.to_owned(),
            }));
        };
        if tensor.shape() != &shape {
            return Err(candle_core::Error::wrap(Error::Shape {
                path: self.path.clone(),
                name: name.to_owned(),
                found: tensor.dims().to_vec(),
                expected: shape.dims().to_vec(),
            }));
        }
        self.used.lock().expect("no holder panics").insert(name.to_owned());
        tensor.to_dtype(dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Linear;

    fn file(tensors: &[(&str, Tensor)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tensors = tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone()));
        let tensors: HashMap<_, _> = tensors.collect();
        save(file.path(), &tensors).unwrap();
        file
    }

    #[test]
    fn a_missing_or_misshapen_tensor_is_named_with_its_file() -> Result<()> {
        let ones = Tensor::ones((2, 3), DType::F32, &Device::Cpu)?;
        let file = file(&[("a.weight", ones)]);
        let frozen = Frozen::open(file.path())?;
        let vb = frozen.builder(DType::F32);
        assert!(Linear::new(3, 2, vb.pp("a")).is_ok());
        frozen.all_used()?;
        let missing = Linear::new(3, 2, vb.pp("b")).unwrap_err().to_string();
        assert!(missing.contains("`b.weight` is missing"), "{missing}");
        let shape = Linear::new(2, 2, vb.pp("a")).unwrap_err().to_string();
        assert!(shape.contains("[2, 3]") && shape.contains("[2, 2]"), "{shape}");
        Ok(())
    }

    #[test]
    fn an_unused_tensor_is_named() -> Result<()> {
        let ones = Tensor::ones(1, DType::F32, &Device::Cpu)?;
        let file = file(&[("stray", ones)]);
        let error = Frozen::open(file.path())?.all_used().unwrap_err().to_string();
        assert!(error.contains("`stray`"), "{error}");
        Ok(())
    }

    #[test]
    fn a_file_that_is_no_safetensors_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"not tensors at all").unwrap();
        assert!(matches!(Frozen::open(file.path()), Err(Error::Format { .. })));
        assert!(matches!(list_tensors(file.path()), Err(Error::Format { .. })));
    }
}
