//! A weight matrix, trained or frozen, and the product that spends nothing on a frozen gradient.

mod blocks;
mod frozen;
mod numbers;
mod precision;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{DType, Result, Tensor};

use crate::attached::attached;
use crate::{Device, Ops};

use self::blocks::BlocksProduct;
use self::frozen::FrozenProduct;
pub(crate) use self::frozen::Then;
pub(crate) use self::numbers::Numbers;
use self::numbers::Placed;
pub use self::precision::Precision;

/// A matrix `(out, in)` that tokens are multiplied with, or whose rows they are.
///
/// candle's matrix product computes and keeps a gradient for both operands. Where the matrix is a
/// constant, this uses an operation of its own, whose backward pass gives the input's gradient alone.
/// Clones share the weights.
#[derive(Clone, Debug)]
pub struct Matrix {
    kind: Kind,
    ops: Ops,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Trained, or frozen in the element type of the pass.
    Tensor(Tensor),
    /// Frozen for candle's operations, in the element type of its file; whether inputs are rounded to it.
    Stored(Tensor, bool),
    /// Frozen, in one of the kernels' formats, in memory or in a mapped file.
    Numbers(Arc<Numbers>),
    /// Frozen, in the blocks of a GGUF file.
    Blocks(Arc<QTensor>),
}

impl From<Tensor> for Matrix {
    fn from(tensor: Tensor) -> Self {
        Self { kind: Kind::Tensor(tensor), ops: Ops::Kernels }
    }
}

impl From<Numbers> for Matrix {
    fn from(numbers: Numbers) -> Self {
        Self { kind: Kind::Numbers(Arc::new(numbers)), ops: Ops::Kernels }
    }
}

impl From<QTensor> for Matrix {
    fn from(blocks: QTensor) -> Self {
        Self { kind: Kind::Blocks(Arc::new(blocks)), ops: Ops::Kernels }
    }
}

impl Matrix {
    /// The same on a device and for its operations.
    pub(crate) fn on(self, device: &Device) -> Result<Self> {
        let (place, ops) = (device.place(), device.ops());
        let kind = match (ops, self.kind) {
            (Ops::Kernels, kind) => kind,
            (Ops::Composed, Kind::Tensor(tensor)) => Kind::Tensor(tensor.to_device(place)?),
            (Ops::Composed, Kind::Stored(tensor, rounds)) => {
                Kind::Stored(tensor.to_device(place)?, rounds)
            }
            (Ops::Composed, Kind::Numbers(numbers)) => match numbers.on(place)? {
                Placed::Wide(tensor) => Kind::Tensor(tensor),
                Placed::Halves(tensor, rounds) => Kind::Stored(tensor, rounds),
                Placed::Blocks(blocks) => Kind::Blocks(Arc::new(blocks)),
            },
            (Ops::Composed, Kind::Blocks(blocks)) if place.is_cpu() => Kind::Blocks(blocks),
            (Ops::Composed, Kind::Blocks(blocks)) => {
                let storage = QStorage::from_data(blocks.data()?, place, blocks.dtype())?;
                Kind::Blocks(Arc::new(QTensor::new(storage, blocks.shape())?))
            }
        };
        Ok(Self { kind, ops })
    }

    /// The same for these operations, where it lies.
    pub fn with(self, ops: Ops) -> Self {
        Self { ops, ..self }
    }

    /// By which operations it is multiplied.
    pub fn ops(&self) -> Ops {
        self.ops
    }

    /// `(out, in)`.
    pub fn dims(&self) -> Result<(usize, usize)> {
        match &self.kind {
            Kind::Tensor(tensor) | Kind::Stored(tensor, _) => tensor.dims2(),
            Kind::Numbers(numbers) => Ok(numbers.dims()),
            Kind::Blocks(blocks) => blocks.shape().dims2(),
        }
    }

    /// `xs Wᵀ` for `xs` `(n, in)`; the result is `(n, out)`. Sums run in `f32` or, in a pass in
    /// `f64`, in `f64`.
    pub fn product(&self, xs: &Tensor) -> Result<Tensor> {
        self.frozen(xs, Then::default())?.map_or_else(|| self.plain(xs), Ok)
    }

    /// `xs Wᵀ + bias` for `bias` `(out)`, which a frozen product adds as it goes.
    pub fn affine(&self, xs: &Tensor, bias: &Tensor) -> Result<Tensor> {
        if !bias.track_op()
            && bias.dtype() == DType::F32
            && let Some(ys) =
                self.frozen(xs, Then { bias: Some(bias.contiguous()?), ..Then::default() })?
        {
            return Ok(ys);
        }
        self.product(xs)?.broadcast_add(bias)
    }

    /// `activation(xs Wᵀ + bias) · others · factor + residual` in one pass, for others and a residual
    /// `(n, out)`; nothing where something asks for a gradient, or our kernels do not make the product.
    pub(crate) fn fused(&self, xs: &Tensor, mut then: Then) -> Result<Option<Tensor>> {
        if xs.track_op() {
            return Ok(None);
        }
        for tensor in then.tensors().into_iter().flatten() {
            if tensor.track_op() || tensor.dtype() != DType::F32 {
                return Ok(None);
            }
            *tensor = tensor.contiguous()?;
        }
        self.frozen(xs, then)
    }

    /// By our kernels, where the weights are frozen numbers and the pass is in `f32` on the CPU.
    fn frozen(&self, xs: &Tensor, then: Then) -> Result<Option<Tensor>> {
        if !self.ops.are_kernels(xs) || xs.dtype() != DType::F32 {
            return Ok(None);
        }
        let xs = xs.contiguous()?;
        Ok(Some(match &self.kind {
            Kind::Tensor(weight) if !weight.track_op() && weight.dtype() == DType::F32 => {
                applied(&xs, FrozenProduct { weight: weight.contiguous()?, then })?
            }
            Kind::Numbers(numbers) => {
                applied(&xs, FrozenProduct { weight: numbers.clone(), then })?
            }
            _ => return Ok(None),
        }))
    }

    fn plain(&self, xs: &Tensor) -> Result<Tensor> {
        match &self.kind {
            Kind::Tensor(weight) => by_candle(xs, weight, false),
            Kind::Stored(weight, rounds) => by_candle(xs, weight, *rounds),
            Kind::Blocks(blocks) if xs.dtype() == DType::F32 => {
                xs.contiguous()?.apply_op1(BlocksProduct(blocks.clone()))
            }
            Kind::Numbers(_) | Kind::Blocks(_) => {
                let weight = self.to_tensor(xs.dtype())?.to_device(xs.device())?;
                by_candle(xs, &weight, false)
            }
        }
    }

    /// The rows of these ids, `(n, in)`, as an embedding is read.
    pub fn rows(&self, ids: &Tensor) -> Result<Tensor> {
        match &self.kind {
            Kind::Tensor(tensor) => tensor.index_select(ids, 0),
            Kind::Stored(tensor, _) => tensor.index_select(ids, 0)?.to_dtype(DType::F32),
            Kind::Numbers(numbers) => numbers.rows(ids),
            Kind::Blocks(blocks) => blocks.embedding(ids),
        }
    }

    /// The whole matrix as a tensor.
    pub fn to_tensor(&self, dtype: DType) -> Result<Tensor> {
        match &self.kind {
            Kind::Tensor(tensor) | Kind::Stored(tensor, _) => tensor.to_dtype(dtype),
            Kind::Numbers(numbers) => numbers.to_tensor()?.to_dtype(dtype),
            Kind::Blocks(blocks) => blocks.dequantize(&blocks.device())?.to_dtype(dtype),
        }
    }

    /// How its numbers are stored, as files spell it.
    pub fn format(&self) -> String {
        match &self.kind {
            Kind::Tensor(tensor) | Kind::Stored(tensor, _) => {
                tensor.dtype().as_str().to_uppercase()
            }
            Kind::Numbers(numbers) => numbers.format().to_owned(),
            Kind::Blocks(blocks) => format!("{:?}", blocks.dtype()),
        }
    }

    /// Whether its numbers are read where they lie in a file.
    pub fn is_mapped(&self) -> bool {
        matches!(&self.kind, Kind::Numbers(numbers) if numbers.is_mapped())
    }
}

/// A product, with its backward pass where it has one.
fn applied<W: frozen::Constant + 'static>(
    xs: &Tensor,
    product: FrozenProduct<W>,
) -> Result<Tensor> {
    if product.then.is_final() { xs.apply_op1_no_bwd(&product) } else { xs.apply_op1(product) }
}

/// `xs Wᵀ` by candle's operations. A frozen weight is read in its own element type: `xs` is rounded to it
/// where it `rounds`, else it is widened for the product.
pub(crate) fn by_candle(xs: &Tensor, weight: &Tensor, rounds: bool) -> Result<Tensor> {
    if weight.track_op() {
        return xs.matmul(&weight.t()?);
    }
    let dtype = xs.dtype();
    let value = |xs: &Tensor| {
        if rounds && dtype == DType::F32 {
            xs.to_dtype(weight.dtype())?.matmul(&weight.t()?)?.to_dtype(dtype)
        } else {
            xs.matmul(&weight.to_dtype(dtype)?.t()?)
        }
    };
    if !xs.track_op() {
        return value(xs);
    }
    let weight = weight.clone();
    attached(xs, value(&xs.detach())?, move |_, _, dys| dys.matmul(&weight.to_dtype(dtype)?))
}
