//! One tensor of a weight file, where it lies and as it is stored.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use formats::{Container, Dtype, Entry, GgmlType};
use kernels::Mapped;

use crate::matrix::{Matrix, Numbers, Precision};
use crate::{Error, Result};

/// A tensor in the element type of its file.
pub enum Stored {
    /// Plain numbers.
    Plain(Tensor),
    /// Blocks of a GGUF file, quantised along the last dimension.
    Quantised(QTensor),
}

impl Stored {
    /// The numbers in `dtype`.
    pub fn to_tensor(&self, dtype: DType) -> Result<Tensor> {
        Ok(match self {
            Self::Plain(tensor) => tensor.to_dtype(dtype)?,
            Self::Quantised(blocks) => blocks.dequantize(&Device::Cpu)?.to_dtype(dtype)?,
        })
    }

    /// The numbers as they are, for a product.
    fn into_matrix(self) -> Result<Matrix> {
        let halves = |tensor: &Tensor, format| -> Result<Matrix> {
            let n_in = tensor.dims2()?.1;
            let tensor = tensor.flatten_all()?;
            let bits: Vec<u16> = match tensor.dtype() {
                DType::BF16 => tensor.to_vec1()?.into_iter().map(half::bf16::to_bits).collect(),
                _ => tensor.to_vec1()?.into_iter().map(half::f16::to_bits).collect(),
            };
            let numbers = Numbers::halves(bits, format, n_in);
            Ok(numbers.expect("any row of halves is a row").into())
        };
        match self {
            Self::Plain(tensor) if tensor.elem_count() > 0 => match tensor.dtype() {
                DType::BF16 => halves(&tensor, Precision::Bf16),
                DType::F16 => halves(&tensor, Precision::F16),
                _ => Ok(tensor.to_dtype(DType::F32)?.into()),
            },
            Self::Plain(tensor) => Ok(tensor.to_dtype(DType::F32)?.into()),
            Self::Quantised(blocks) if blocks.dtype() == GgmlDType::Q8_0 => {
                let n_in = blocks.shape().dims2()?.1;
                let numbers = Numbers::blocks(blocks.data()?.into_owned(), n_in);
                Ok(numbers.expect("rows of a quantised matrix are whole blocks").into())
            }
            Self::Quantised(blocks) => Ok(blocks.into()),
        }
    }
}

/// Where a constant's numbers are until they are asked for.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    place: Place,
    /// Row `i` is row `order[i]` of the file.
    order: Option<Arc<[u32]>>,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Tensor),
    File(Arc<Opened>, Entry),
}

/// An open weight file, mapped when the first matrix is read in place.
#[derive(Debug)]
pub(super) struct Opened {
    container: Container,
    map: OnceLock<Option<Arc<Mapped>>>,
}

impl Opened {
    pub(super) fn new(container: Container) -> Self {
        Self { container, map: OnceLock::new() }
    }

    /// The file in memory; nothing where the system cannot map it.
    fn map(&self) -> Option<Arc<Mapped>> {
        let open = || Mapped::of(self.container.file()).ok().map(Arc::new);
        self.map.get_or_init(open).clone()
    }

    /// The rows of a matrix where they lie; nothing where the kernels cannot read them there.
    fn matrix(&self, entry: &Entry) -> Option<Numbers> {
        let range = self.container.location(entry)?;
        let bytes = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
        let n_in = *entry.shape.last()?;
        Numbers::mapped(self.map()?, bytes, format(entry.dtype)?, n_in)
    }
}

/// The kernels' name of an element type that they read.
fn format(dtype: Dtype) -> Option<Precision> {
    match dtype {
        Dtype::F32 => Some(Precision::F32),
        Dtype::BF16 => Some(Precision::Bf16),
        Dtype::F16 => Some(Precision::F16),
        Dtype::Quantised(GgmlType::Q8_0) => Some(Precision::Q8_0),
        _ => None,
    }
}

impl From<Tensor> for Constant {
    fn from(tensor: Tensor) -> Self {
        Self { place: Place::Memory(tensor), order: None }
    }
}

impl Constant {
    /// An array of a file.
    pub(super) fn new(file: Arc<Opened>, entry: Entry) -> Self {
        Self { place: Place::File(file, entry), order: None }
    }

    /// The same with its rows in another order.
    pub(super) fn reordered(&self, order: Arc<[u32]>) -> Self {
        Self { place: self.place.clone(), order: Some(order) }
    }

    /// The file that it lies in; nothing where it is in memory.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Memory(_) => None,
            Place::File(file, _) => Some(file.container.path()),
        }
    }

    pub(super) fn shape(&self) -> &[usize] {
        match &self.place {
            Place::Memory(tensor) => tensor.dims(),
            Place::File(_, entry) => &entry.shape,
        }
    }

    /// Its element type, as files spell it.
    pub(super) fn dtype(&self) -> String {
        match &self.place {
            Place::Memory(tensor) => tensor.dtype().as_str().to_uppercase(),
            Place::File(_, entry) => entry.dtype.to_string(),
        }
    }

    /// Whether another constant has the same shape and values; bytes of one element type are
    /// compared where they lie.
    pub(super) fn same_values(&self, other: &Self) -> Result<bool> {
        if self.shape() != other.shape() {
            return Ok(false);
        }
        if let (Some((a, at)), Some((b, of))) = (self.mapped(), other.mapped())
            && self.dtype() == other.dtype()
        {
            return Ok(a[at] == b[of]);
        }
        let numbers = |it: &Self| -> Result<Vec<f32>> {
            Ok(it.read()?.to_tensor(DType::F32)?.flatten_all()?.to_vec1()?)
        };
        Ok(numbers(self)? == numbers(other)?)
    }

    /// The mapped file and the bytes of the values in it; nothing where they cannot be read there.
    fn mapped(&self) -> Option<(Arc<Mapped>, std::ops::Range<usize>)> {
        let (Place::File(file, entry), None) = (&self.place, &self.order) else { return None };
        let range = file.container.location(entry)?;
        let bytes = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
        Some((file.map()?, bytes))
    }

    /// Reads the numbers.
    pub(super) fn read(&self) -> Result<Stored> {
        let (container, entry) = match &self.place {
            Place::File(file, entry) => (&file.container, entry),
            Place::Memory(tensor) => {
                let tensor = match &self.order {
                    Some(order) => {
                        let order = Tensor::from_slice(order, order.len(), tensor.device())?;
                        tensor.index_select(&order, 0)?
                    }
                    None => tensor.clone(),
                };
                return Ok(Stored::Plain(tensor));
            }
        };
        let mut bytes = container.read(entry)?;
        if let Some(order) = &self.order {
            bytes = rows(&bytes, order);
        }
        let shape = entry.shape.as_slice();
        if let Dtype::Quantised(blocks) = entry.dtype {
            let blocks = QStorage::from_data(Cow::Owned(bytes), &Device::Cpu, ggml(blocks))?;
            return Ok(Stored::Quantised(QTensor::new(blocks, shape)?));
        }
        let Some(dtype) = plain(entry.dtype) else {
            return Err(Error::Dtype {
                path: container.path().to_owned(),
                name: entry.name.clone(),
                found: entry.dtype.to_string(),
            });
        };
        Ok(Stored::Plain(Tensor::from_raw_buffer(&bytes, dtype, shape, &Device::Cpu)?))
    }
}

impl Constant {
    /// A weight matrix `(out, in)` whose numbers are kept as asked.
    pub(super) fn matrix(&self, precision: Precision) -> Result<Matrix> {
        if let (Place::File(file, entry), None) = (&self.place, &self.order) {
            let stored = format(entry.dtype);
            let wanted = precision == Precision::Stored || Some(precision) == stored;
            if let Some(numbers) = wanted.then(|| file.matrix(entry)).flatten() {
                return Ok(numbers.asked_for(precision).into());
            }
        }
        match precision {
            Precision::Stored => self.read()?.into_matrix(),
            Precision::F32 => Ok(self.read()?.to_tensor(DType::F32)?.into()),
            Precision::Bf16 | Precision::F16 | Precision::Q8_0 => {
                let stored = self.read()?;
                let wide = stored.to_tensor(DType::F32)?;
                let n_in = wide.dims2()?.1;
                let numbers = wide.flatten_all()?.to_vec1::<f32>()?;
                match Numbers::rounded(numbers, precision, n_in) {
                    Some(numbers) => Ok(numbers.into()),
                    None => stored.into_matrix(),
                }
            }
        }
    }
}

/// A row of a quantised matrix is whole blocks, so that rows move as bytes.
fn rows(bytes: &[u8], order: &[u32]) -> Vec<u8> {
    let n = bytes.len() / order.len().max(1);
    order.iter().flat_map(|&row| &bytes[row as usize * n..][..n]).copied().collect()
}

/// candle's name of an element type that it can hold.
fn plain(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::U32 => DType::U32,
        Dtype::U8 | Dtype::Bool => DType::U8,
        Dtype::F8E4M3
        | Dtype::F8E5M2
        | Dtype::C64
        | Dtype::C128
        | Dtype::I8
        | Dtype::U16
        | Dtype::U64
        | Dtype::Quantised(_) => return None,
    })
}

fn ggml(blocks: GgmlType) -> GgmlDType {
    match blocks {
        GgmlType::Q4_0 => GgmlDType::Q4_0,
        GgmlType::Q4_1 => GgmlDType::Q4_1,
        GgmlType::Q5_0 => GgmlDType::Q5_0,
        GgmlType::Q5_1 => GgmlDType::Q5_1,
        GgmlType::Q8_0 => GgmlDType::Q8_0,
        GgmlType::Q2_K => GgmlDType::Q2K,
        GgmlType::Q3_K => GgmlDType::Q3K,
        GgmlType::Q4_K => GgmlDType::Q4K,
        GgmlType::Q5_K => GgmlDType::Q5K,
        GgmlType::Q6_K => GgmlDType::Q6K,
        GgmlType::Q8_K => GgmlDType::Q8K,
    }
}
