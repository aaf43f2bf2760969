//! A weight matrix, trained or frozen, and the product that spends nothing on a frozen gradient.

mod blocks;
mod frozen;
mod numbers;
mod precision;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{DType, Result, Tensor};

use self::blocks::BlocksProduct;
pub(crate) use self::frozen::Then;
use self::frozen::{FrozenProduct, PlainProduct};
pub(crate) use self::numbers::Numbers;
pub use self::precision::Precision;

/// A matrix `(out, in)` that tokens are multiplied with, or whose rows they are.
///
/// candle's matrix product computes and keeps a gradient for both operands. Where the matrix is a
/// constant, this uses an operation of its own, whose backward pass gives the input's gradient alone.
/// Clones share the weights.
#[derive(Clone, Debug)]
pub struct Matrix(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Trained, or frozen in the element type of the pass.
    Tensor(Tensor),
    /// Frozen, in one of the kernels' formats, in memory or in a mapped file.
    Numbers(Arc<Numbers>),
    /// Frozen, in the blocks of a GGUF file.
    Blocks(Arc<QTensor>),
}

impl From<Tensor> for Matrix {
    fn from(tensor: Tensor) -> Self {
        Self(Kind::Tensor(tensor))
    }
}

impl From<Numbers> for Matrix {
    fn from(numbers: Numbers) -> Self {
        Self(Kind::Numbers(Arc::new(numbers)))
    }
}

impl From<QTensor> for Matrix {
    fn from(blocks: QTensor) -> Self {
        Self(Kind::Blocks(Arc::new(blocks)))
    }
}

impl Matrix {
    /// `(out, in)`.
    pub fn dims(&self) -> Result<(usize, usize)> {
        match &self.0 {
            Kind::Tensor(tensor) => tensor.dims2(),
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
        if !xs.device().is_cpu() || xs.dtype() != DType::F32 {
            return Ok(None);
        }
        let xs = xs.contiguous()?;
        Ok(Some(match &self.0 {
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
        let is_cpu = xs.device().is_cpu();
        match &self.0 {
            Kind::Tensor(weight) if weight.track_op() || !is_cpu => xs.matmul(&weight.t()?),
            Kind::Tensor(weight) => xs.apply_op1(PlainProduct(weight.contiguous()?)),
            Kind::Blocks(blocks) if is_cpu && xs.dtype() == DType::F32 => {
                xs.apply_op1(BlocksProduct(blocks.clone()))
            }
            Kind::Numbers(_) | Kind::Blocks(_) => {
                let weight = self.to_tensor(xs.dtype())?.to_device(xs.device())?;
                xs.matmul(&weight.t()?)
            }
        }
    }

    /// The rows of these ids, `(n, in)`, as an embedding is read.
    pub fn rows(&self, ids: &Tensor) -> Result<Tensor> {
        match &self.0 {
            Kind::Tensor(tensor) => tensor.index_select(ids, 0),
            Kind::Numbers(numbers) => numbers.rows(ids),
            Kind::Blocks(blocks) => blocks.embedding(ids),
        }
    }

    /// The whole matrix as a tensor.
    pub fn to_tensor(&self, dtype: DType) -> Result<Tensor> {
        match &self.0 {
            Kind::Tensor(tensor) => tensor.to_dtype(dtype),
            Kind::Numbers(numbers) => numbers.to_tensor()?.to_dtype(dtype),
            Kind::Blocks(blocks) => blocks.dequantize(&blocks.device())?.to_dtype(dtype),
        }
    }

    /// How its numbers are stored, as files spell it.
    pub fn format(&self) -> String {
        match &self.0 {
            Kind::Tensor(tensor) => tensor.dtype().as_str().to_uppercase(),
            Kind::Numbers(numbers) => numbers.format().to_owned(),
            Kind::Blocks(blocks) => format!("{:?}", blocks.dtype()),
        }
    }

    /// Whether its numbers are read where they lie in a file.
    pub fn is_mapped(&self) -> bool {
        matches!(&self.0, Kind::Numbers(numbers) if numbers.is_mapped())
    }
}

/// A product, with its backward pass where it has one.
fn applied<W: frozen::Constant + 'static>(
    xs: &Tensor,
    product: FrozenProduct<W>,
) -> Result<Tensor> {
    if product.then.is_final() { xs.apply_op1_no_bwd(&product) } else { xs.apply_op1(product) }
}
