//! Frozen weights in the kernels' formats, in memory or where they lie in a mapped file.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Result, Tensor, bail};
use half::slice::HalfBitsSliceExt;
use kernels::{Mapped, Weights, as_f32, as_u16};

use super::Precision;

/// A frozen matrix `(n_out, n_in)`.
pub(crate) struct Numbers {
    store: Store,
    n_in: usize,
    n_out: usize,
    /// Whether inputs are rounded as the weights are.
    rounds: bool,
}

/// The numbers on a device, for candle's operations.
pub(super) enum Placed {
    /// In `f32`.
    Wide(Tensor),
    /// In a half precision; whether inputs are rounded to it.
    Halves(Tensor, bool),
    /// In the blocks of GGUF's `Q8_0`.
    Blocks(QTensor),
}

enum Store {
    Mapped(Arc<Mapped>, Range<usize>, Precision),
    F32(Vec<f32>),
    Bf16(Vec<u16>),
    F16(Vec<u16>),
    Q8_0(Vec<u8>),
}

impl Numbers {
    /// Weights where they lie in a file; nothing where they do not lie as numbers do in memory, or
    /// do not make whole rows.
    pub(crate) fn mapped(
        map: Arc<Mapped>,
        bytes: Range<usize>,
        format: Precision,
        n_in: usize,
    ) -> Option<Self> {
        Self::new(Store::Mapped(map, bytes, format), n_in)
    }

    /// `f32` numbers rounded to a format; nothing where rows do not fit it.
    pub(crate) fn rounded(numbers: Vec<f32>, format: Precision, n_in: usize) -> Option<Self> {
        let store = match format {
            Precision::Stored | Precision::F32 => Store::F32(numbers),
            Precision::Bf16 => Store::Bf16(kernels::to_bf16(&numbers)),
            Precision::F16 => Store::F16(kernels::to_f16(&numbers)),
            Precision::Q8_0 if n_in.is_multiple_of(32) => Store::Q8_0(kernels::to_q8_0(&numbers)?),
            Precision::Q8_0 => return None,
        };
        Some(Self::new(store, n_in)?.asked_for(format))
    }

    /// The bits of half precisions.
    pub(crate) fn halves(bits: Vec<u16>, format: Precision, n_in: usize) -> Option<Self> {
        match format {
            Precision::Bf16 => Self::new(Store::Bf16(bits), n_in),
            Precision::F16 => Self::new(Store::F16(bits), n_in),
            _ => None,
        }
    }

    /// The blocks of GGUF's `Q8_0`.
    pub(crate) fn blocks(bytes: Vec<u8>, n_in: usize) -> Option<Self> {
        Self::new(Store::Q8_0(bytes), n_in)
    }

    fn new(store: Store, n_in: usize) -> Option<Self> {
        let n_out = kernels::Matrix::new(store.weights()?, n_in)?.n_out();
        Some(Self { store, n_in, n_out, rounds: false })
    }

    /// The same, kept because this precision was asked for: beside bf16 and bytes, inputs are rounded
    /// too.
    pub(crate) fn asked_for(self, precision: Precision) -> Self {
        let bytes = matches!(self.view().weights(), Weights::Q8_0(_));
        let rounds = match precision {
            Precision::Bf16 => !bytes,
            Precision::Q8_0 => bytes,
            _ => false,
        };
        Self { rounds, ..self }
    }

    /// Whether products round their inputs as the weights are.
    pub(super) fn rounds(&self) -> bool {
        self.rounds
    }

    pub(super) fn dims(&self) -> (usize, usize) {
        (self.n_out, self.n_in)
    }

    /// Bytes of the numbers.
    pub(crate) fn n_bytes(&self) -> usize {
        match self.view().weights() {
            Weights::F32(numbers) => size_of_val(numbers),
            Weights::Bf16(bits) | Weights::F16(bits) => size_of_val(bits),
            Weights::Q8_0(blocks) => blocks.len(),
        }
    }

    pub(super) fn is_mapped(&self) -> bool {
        matches!(self.store, Store::Mapped(..))
    }

    pub(super) fn format(&self) -> &'static str {
        match self.view().weights() {
            Weights::F32(_) => "F32",
            Weights::Bf16(_) => "BF16",
            Weights::F16(_) => "F16",
            Weights::Q8_0(_) => "Q8_0",
        }
    }

    pub(super) fn view(&self) -> kernels::Matrix<'_> {
        let matrix = self.store.weights().and_then(|it| kernels::Matrix::new(it, self.n_in));
        matrix.expect("checked when it was made")
    }

    /// The same for candle's operations on a device.
    pub(super) fn on(&self, place: &Device) -> Result<Placed> {
        let shape = (self.n_out, self.n_in);
        Ok(match self.view().weights() {
            Weights::F32(numbers) => Placed::Wide(Tensor::from_slice(numbers, shape, place)?),
            Weights::Bf16(bits) => {
                let numbers: &[half::bf16] = bits.reinterpret_cast();
                Placed::Halves(Tensor::from_slice(numbers, shape, place)?, self.rounds)
            }
            Weights::F16(bits) => {
                let numbers: &[half::f16] = bits.reinterpret_cast();
                Placed::Halves(Tensor::from_slice(numbers, shape, place)?, self.rounds)
            }
            Weights::Q8_0(bytes) => {
                let blocks = QStorage::from_data(Cow::Borrowed(bytes), place, GgmlDType::Q8_0)?;
                Placed::Blocks(QTensor::new(blocks, shape)?)
            }
        })
    }

    pub(super) fn rows(&self, ids: &Tensor) -> Result<Tensor> {
        let (n, place) = (ids.elem_count(), ids.device());
        let ids = ids.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        let (view, mut wide) = (self.view(), vec![0.; ids.len() * self.n_in]);
        for (&id, row) in ids.iter().zip(wide.chunks_mut(self.n_in)) {
            if id as usize >= self.n_out {
                bail!("id {id} lies beyond the {} rows of a table", self.n_out)
            }
            view.widen_row(id as usize, row);
        }
        Tensor::from_vec(wide, (n, self.n_in), place)
    }

    pub(super) fn to_tensor(&self) -> Result<Tensor> {
        let (view, mut wide) = (self.view(), vec![0.; self.n_out * self.n_in]);
        for (row, wide) in wide.chunks_mut(self.n_in).enumerate() {
            view.widen_row(row, wide);
        }
        Tensor::from_vec(wide, (self.n_out, self.n_in), &Device::Cpu)
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.is_mapped() { "a file" } else { "memory" };
        write!(f, "{} ({}, {}) in {place}", self.format(), self.n_out, self.n_in)
    }
}

impl Store {
    /// Nothing where mapped bytes are not aligned as their numbers must be.
    fn weights(&self) -> Option<Weights<'_>> {
        Some(match self {
            Self::F32(numbers) => Weights::F32(numbers),
            Self::Bf16(bits) => Weights::Bf16(bits),
            Self::F16(bits) => Weights::F16(bits),
            Self::Q8_0(blocks) => Weights::Q8_0(blocks),
            Self::Mapped(map, range, format) => {
                let bytes = map.get(range.clone())?;
                match format {
                    Precision::F32 => Weights::F32(as_f32(bytes)?),
                    Precision::Bf16 => Weights::Bf16(as_u16(bytes)?),
                    Precision::F16 => Weights::F16(as_u16(bytes)?),
                    Precision::Q8_0 => Weights::Q8_0(bytes),
                    Precision::Stored => return None,
                }
            }
        })
    }
}
