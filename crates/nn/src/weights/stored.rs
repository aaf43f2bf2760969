//! One tensor of a weight file, where it lies and as it is stored.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use formats::{Container, Dtype, Entry, GgmlType};

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
    File(Arc<Container>, Entry),
}

impl From<Tensor> for Constant {
    fn from(tensor: Tensor) -> Self {
        Self { place: Place::Memory(tensor), order: None }
    }
}

impl Constant {
    /// An array of a file.
    pub(super) fn new(container: Arc<Container>, entry: Entry) -> Self {
        Self { place: Place::File(container, entry), order: None }
    }

    /// The same with its rows in another order.
    pub(super) fn reordered(&self, order: Arc<[u32]>) -> Self {
        Self { place: self.place.clone(), order: Some(order) }
    }

    /// The file that it lies in; nothing where it is in memory.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Memory(_) => None,
            Place::File(container, _) => Some(container.path()),
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

    /// Reads the numbers.
    pub(super) fn read(&self) -> Result<Stored> {
        let (container, entry) = match &self.place {
            Place::File(container, entry) => (container, entry),
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
        Dtype::I8 | Dtype::U16 | Dtype::U64 | Dtype::Quantised(_) => return None,
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
