//! Constants from weight files; a missing tensor is an error, never a random one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::Init;
use formats::Container;

use super::stored::{Constant, Opened, Stored};
use super::{Builder, Source};
use crate::{Error, Matrix, Precision, Result};

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

/// The tensors of a weight file, in the order of their names, without their values.
pub fn list_tensors(path: &Path) -> Result<Vec<TensorInfo>> {
    Ok(Frozen::open(path)?.list())
}

/// A constant of plain numbers, in main memory as those of files.
pub fn constant(values: Vec<f32>, shape: impl Into<Shape>) -> candle_core::Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// All tensors of a safetensors file, in main memory.
pub fn load(path: &Path) -> candle_core::Result<HashMap<String, Tensor>> {
    candle_core::safetensors::load(path, &Device::Cpu)
}

/// Writes tensors as a safetensors file, the same bytes for the same tensors.
pub fn save(path: &Path, tensors: &HashMap<String, Tensor>) -> Result<()> {
    save_with(path, tensors, &formats::Value::None)
}

/// The same with what a file held beside its tensors, so that it is found in this one too.
pub fn save_with(
    path: &Path,
    tensors: &HashMap<String, Tensor>,
    metadata: &formats::Value,
) -> Result<()> {
    let bytes = safetensors::serialize(tensors, formats::safetensors_metadata(metadata))
        .map_err(|error| Error::Format { path: path.to_owned(), reason: error.to_string() })?;
    std::fs::write(path, bytes).map_err(|source| Error::Io { path: path.to_owned(), source })
}

/// The tensors of weight files as constants, read when they are asked for.
#[derive(Clone, Debug)]
pub struct Frozen {
    path: PathBuf,
    constants: Arc<BTreeMap<String, Constant>>,
    used: Arc<Mutex<BTreeSet<String>>>,
    precision: Precision,
}

impl Frozen {
    /// Describes a file of any format that `formats` knows, by its content.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self::from_container(formats::open(path)?))
    }

    /// The arrays of a file that is open.
    pub fn from_container(container: Container) -> Self {
        let path = container.path().to_owned();
        let entries = container.entries().to_vec().into_iter();
        let file = Arc::new(Opened::new(container));
        let constants =
            entries.map(|entry| (entry.name.clone(), Constant::new(file.clone(), entry)));
        Self::new(path, constants.collect())
    }

    /// Tensors that are already in memory; errors name `path`, where they were read.
    pub fn from_tensors(path: &Path, tensors: HashMap<String, Tensor>) -> Self {
        let constants = tensors.into_iter().map(|(name, tensor)| (name, tensor.into()));
        Self::new(path.to_owned(), constants.collect())
    }

    fn new(path: PathBuf, constants: BTreeMap<String, Constant>) -> Self {
        let precision = Precision::default();
        Self { path, constants: Arc::new(constants), used: Arc::default(), precision }
    }

    /// The same tensors; matrices are kept as asked, instead of in `f32`. A pass in `f64` reads all
    /// of them in `f64`.
    pub fn kept(&self, precision: Precision) -> Self {
        Self { precision, ..self.clone() }
    }

    /// The tensors of several files, of which none may have a name of another; `path` is the file
    /// that lists them.
    pub fn joined(path: &Path, parts: &[Self]) -> Result<Self> {
        let constants = parts.iter().flat_map(|part| &*part.constants);
        let constants = constants.map(|(name, constant)| (name.clone(), constant.clone()));
        Ok(Self::new(path.to_owned(), unique(path, constants)?))
    }

    /// The same tensors under the names that `rename` gives; those that get none are left out.
    pub fn renamed(&self, rename: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let constants = self.constants.iter();
        let constants =
            constants.filter_map(|(name, constant)| Some((rename(name)?, constant.clone())));
        Ok(Self::new(self.path.clone(), unique(&self.path, constants)?).kept(self.precision))
    }

    /// The same tensors under the names that they had before their model was wrapped for
    /// compilation or parallel training.
    ///
    /// # Errors
    /// Where two names differ by a wrapper alone.
    pub fn unwrapped(&self) -> Result<Self> {
        self.renamed(|name| Some(formats::unwrapped(name).into_owned()))
    }

    /// Whether two tensors have the same shape and the same values.
    pub fn same_values(&self, a: &str, b: &str) -> Result<bool> {
        self.constant(a)?.same_values(self.constant(b)?)
    }

    /// The same tensors; where `order` gives a tensor an order, its row `i` is row `order[i]` of the
    /// file. An order for another number of rows is for another tensor and changes nothing.
    pub fn reordered(&self, order: impl Fn(&str) -> Option<Arc<[u32]>>) -> Self {
        let constants = self.constants.iter().map(|(name, constant)| {
            let n_rows = constant.shape().first().copied().unwrap_or(0);
            let reordered = match order(name).filter(|order| order.len() == n_rows) {
                Some(order) => constant.reordered(order),
                None => constant.clone(),
            };
            (name.clone(), reordered)
        });
        Self::new(self.path.clone(), constants.collect()).kept(self.precision)
    }

    /// Every tensor without its values, in the order of their names.
    pub fn list(&self) -> Vec<TensorInfo> {
        let info = |(name, constant): (&String, &Constant)| TensorInfo {
            name: name.clone(),
            shape: constant.shape().to_vec(),
            dtype: constant.dtype(),
        };
        self.constants.iter().map(info).collect()
    }

    /// Whether a tensor has this name.
    pub fn contains(&self, name: &str) -> bool {
        self.constants.contains_key(name)
    }

    /// Numbers in all tensors.
    pub fn n_values(&self) -> usize {
        self.constants.values().map(|constant| constant.shape().iter().product::<usize>()).sum()
    }

    /// Reads one tensor as its file stores it, and counts it as used.
    pub fn stored(&self, name: &str) -> Result<Stored> {
        let stored = self.constant(name)?.read()?;
        self.used.lock().expect("no holder panics").insert(name.to_owned());
        Ok(stored)
    }

    /// Reads every tensor, quantised ones in `f32`.
    pub fn tensors(&self) -> Result<HashMap<String, Tensor>> {
        let read = |(name, constant): (&String, &Constant)| {
            let tensor = match constant.read()? {
                Stored::Plain(tensor) => tensor,
                blocks @ Stored::Quantised(_) => blocks.to_tensor(DType::F32)?,
            };
            Ok((name.clone(), tensor))
        };
        self.constants.iter().map(read).collect()
    }

    /// A builder that hands out the tensors in `dtype`.
    pub fn builder(&self, dtype: DType) -> Builder {
        Builder::new(self.clone(), dtype)
    }

    /// Fails on the first tensor that no layer asked for.
    pub fn all_used(&self) -> Result<()> {
        let used = self.used.lock().expect("no holder panics");
        match self.constants.iter().find(|(name, _)| !used.contains(*name)) {
            Some((name, constant)) => {
                let path = constant.path().unwrap_or(&self.path).to_owned();
                Err(Error::Unexpected { path, name: name.clone() })
            }
            None => Ok(()),
        }
    }

    fn constant(&self, name: &str) -> Result<&Constant> {
        self.constants
            .get(name)
            .ok_or_else(|| Error::Missing { path: self.path.clone(), name: name.to_owned() })
    }

    fn checked(&self, name: &str, shape: &Shape) -> Result<&Constant> {
        let constant = self.constant(name)?;
        if constant.shape() != shape.dims() {
            return Err(Error::Shape {
                path: constant.path().unwrap_or(&self.path).to_owned(),
                name: name.to_owned(),
                found: constant.shape().to_vec(),
                expected: shape.dims().to_vec(),
            });
        }
        self.used.lock().expect("no holder panics").insert(name.to_owned());
        Ok(constant)
    }
}

/// A map of tensors, none of whose names comes twice.
fn unique(
    path: &Path,
    constants: impl Iterator<Item = (String, Constant)>,
) -> Result<BTreeMap<String, Constant>> {
    let mut all = BTreeMap::new();
    for (name, constant) in constants {
        if all.insert(name.clone(), constant).is_some() {
            return Err(Error::Twice { path: path.to_owned(), name });
        }
    }
    Ok(all)
}

impl Source for Frozen {
    fn tensor(
        &self,
        name: &str,
        shape: Shape,
        _: Init,
        dtype: DType,
    ) -> candle_core::Result<Tensor> {
        let read = |constant: &Constant| constant.read()?.to_tensor(dtype);
        self.checked(name, &shape).and_then(read).map_err(candle_core::Error::wrap)
    }

    fn matrix(
        &self,
        name: &str,
        shape: (usize, usize),
        init: Init,
        dtype: DType,
    ) -> candle_core::Result<Matrix> {
        if dtype != DType::F32 {
            return Ok(self.tensor(name, shape.into(), init, dtype)?.into());
        }
        let read = |constant: &Constant| constant.matrix(self.precision);
        self.checked(name, &shape.into()).and_then(read).map_err(candle_core::Error::wrap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Linear;
    use candle_core::quantized::{GgmlDType, QTensor, gguf_file};

    fn file(tensors: &[(&str, Tensor)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tensors = tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone()));
        let tensors: HashMap<_, _> = tensors.collect();
        save(file.path(), &tensors).unwrap();
        file
    }

    fn counted(n_rows: usize, dim: usize) -> Result<Tensor> {
        let values = Tensor::arange(0f32, (n_rows * dim) as f32, &Device::Cpu)?;
        Ok(values.reshape((n_rows, dim))?)
    }

    #[test]
    fn a_missing_or_misshapen_tensor_is_named_with_its_file() -> Result<()> {
        let file = file(&[("a.weight", counted(2, 3)?)]);
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
        let file = file(&[("stray", counted(1, 1)?)]);
        let error = Frozen::open(file.path())?.all_used().unwrap_err().to_string();
        assert!(error.contains("`stray`"), "{error}");
        Ok(())
    }

    #[test]
    fn a_file_that_holds_no_tensors_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"not tensors at all").unwrap();
        assert!(matches!(Frozen::open(file.path()), Err(Error::Container(_))));
        assert!(list_tensors(file.path()).is_err());
    }

    #[test]
    fn a_tensor_keeps_its_element_type_until_it_is_asked_for() -> Result<()> {
        let half = counted(2, 3)?.to_dtype(DType::BF16)?;
        let file = file(&[("w", half.clone())]);
        let frozen = Frozen::open(file.path())?;
        let info = TensorInfo { name: "w".into(), shape: vec![2, 3], dtype: "BF16".into() };
        assert_eq!(frozen.list(), vec![info]);
        let Stored::Plain(stored) = frozen.stored("w")? else { panic!("no blocks here") };
        assert_eq!(stored.dtype(), DType::BF16);
        let asked = frozen.builder(DType::F64).get((2, 3), "w", Init::Const(0.))?;
        assert_eq!(asked.to_vec2::<f64>()?, half.to_dtype(DType::F64)?.to_vec2::<f64>()?);
        let in_memory = Frozen::from_tensors(Path::new("w"), [("w".to_owned(), half)].into());
        assert_eq!(in_memory.list(), frozen.list());
        Ok(())
    }

    #[test]
    fn names_may_change_but_not_meet() -> Result<()> {
        let file = file(&[("x.a", counted(1, 1)?), ("a", counted(1, 1)?), ("b", counted(1, 1)?)]);
        let frozen = Frozen::open(file.path())?;
        let kept = frozen.renamed(|name| (name != "a").then(|| name.replace("x.", "")))?;
        let names: Vec<_> = kept.list().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["a", "b"]);
        let error = frozen.renamed(|name| Some(name.replace("x.", ""))).unwrap_err().to_string();
        assert!(error.contains("`a` is there twice"), "{error}");
        let error = Frozen::joined(Path::new("index"), &[kept.clone(), kept]).unwrap_err();
        assert!(error.to_string().starts_with("index: tensor `a` is there twice"), "{error}");
        Ok(())
    }

    #[test]
    fn values_are_compared_in_the_file_and_in_memory() -> Result<()> {
        let (a, b) = (counted(2, 3)?, (counted(2, 3)? + 1e-3)?);
        let half = a.to_dtype(DType::F16)?;
        let tensors = [("a", a.clone()), ("same", a.clone()), ("half", half), ("b", b)];
        let flat = ("flat", a.flatten_all()?);
        let file = file(&[&tensors[..], &[flat]].concat());
        let stored = Frozen::open(file.path())?;
        let in_memory = Frozen::from_tensors(file.path(), stored.tensors()?);
        for frozen in [stored, in_memory] {
            for (other, expected) in [("same", true), ("half", true), ("b", false), ("flat", false)]
            {
                assert_eq!(frozen.same_values("a", other)?, expected, "{other}");
            }
            assert!(frozen.same_values("a", "none").is_err());
        }
        Ok(())
    }

    #[test]
    fn names_lose_what_wrappers_put_before_them_unless_they_meet() -> Result<()> {
        let both = file(&[("_orig_mod.module.a", counted(1, 1)?), ("module.b", counted(1, 1)?)]);
        let names = Frozen::open(both.path())?.unwrapped()?.list().into_iter().map(|it| it.name);
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b"]);
        let twice = file(&[("_orig_mod.a", counted(1, 1)?), ("a", counted(1, 1)?)]);
        let error = Frozen::open(twice.path())?.unwrapped().unwrap_err().to_string();
        assert!(error.contains("`a` is there twice"), "{error}");
        Ok(())
    }

    #[test]
    fn rows_come_in_the_asked_order_from_memory_and_from_blocks() -> Result<()> {
        let plain = counted(3, 32)?;
        let order: Arc<[u32]> = Arc::from([2, 0, 1]);
        let expected = plain.index_select(&Tensor::new(&[2u32, 0, 1], &Device::Cpu)?, 0)?;
        let in_memory =
            Frozen::from_tensors(Path::new("w"), [("w".to_owned(), plain.clone())].into());
        let turned = in_memory.reordered(|_| Some(order.clone())).tensors()?.remove("w").unwrap();
        assert_eq!(turned.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);

        let file = tempfile::NamedTempFile::new().unwrap();
        let blocks = QTensor::quantize(&plain, GgmlDType::Q4_1)?;
        let reread = QTensor::quantize(&expected, GgmlDType::Q4_1)?.dequantize(&Device::Cpu)?;
        let mut out = file.reopen().unwrap();
        gguf_file::write(&mut out, &[], &[("w", &blocks)])?;
        let frozen = Frozen::open(file.path())?.reordered(|_| Some(order.clone()));
        assert_eq!(frozen.list()[0].dtype, "Q4_1");
        assert!(matches!(frozen.stored("w")?, Stored::Quantised(_)));
        let turned = frozen.builder(DType::F32).get((3, 32), "w", Init::Const(0.))?;
        assert_eq!(turned.to_vec2::<f32>()?, reread.to_vec2::<f32>()?);

        let other = in_memory.reordered(|_| Some(Arc::from([0u32, 1]))).tensors()?.remove("w");
        assert_eq!(other.unwrap().to_vec2::<f32>()?, plain.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn every_quantised_type_of_ggml_is_read() -> Result<()> {
        use GgmlDType::{Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
        let plain = (counted(2, 256)? / 100.)?;
        for dtype in [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K] {
            let blocks = QTensor::quantize(&plain, dtype)?;
            let file = tempfile::NamedTempFile::new().unwrap();
            gguf_file::write(&mut file.reopen().unwrap(), &[], &[("w", &blocks)])?;
            let read = Frozen::open(file.path())?.tensors()?.remove("w").unwrap();
            let expected = blocks.dequantize(&Device::Cpu)?;
            assert_eq!(read.to_vec2::<f32>()?, expected.to_vec2::<f32>()?, "{dtype:?}");
        }
        Ok(())
    }
}
