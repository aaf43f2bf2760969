//! A weight matrix, trained or frozen, and the product that spends nothing on a frozen gradient.

mod blocks;
mod numbers;
mod precision;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::quantized::QTensor;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Storage, Tensor, bail};

use self::blocks::BlocksProduct;
pub(crate) use self::numbers::Numbers;
use self::numbers::NumbersProduct;
pub use self::precision::Precision;
use crate::op::slice;

/// Most rows of which a frozen product is made by our kernel, which reads the weights once; candle's
/// is for more.
const FEW: usize = 32;

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
        let ours = xs.device().is_cpu() && xs.dtype() == DType::F32;
        match &self.0 {
            Kind::Tensor(weight) if weight.track_op() || !xs.device().is_cpu() => {
                xs.matmul(&weight.t()?)
            }
            Kind::Tensor(weight) => xs.apply_op1(FrozenProduct(weight.contiguous()?)),
            Kind::Numbers(numbers) if ours => {
                xs.apply_op1(NumbersProduct { weight: numbers.clone(), bias: None })
            }
            Kind::Blocks(blocks) if ours => xs.apply_op1(BlocksProduct(blocks.clone())),
            Kind::Numbers(_) | Kind::Blocks(_) => {
                let weight = self.to_tensor(xs.dtype())?.to_device(xs.device())?;
                xs.matmul(&weight.t()?)
            }
        }
    }

    /// `xs Wᵀ + bias` for `bias` `(out)`, which a frozen product adds as it goes.
    pub fn affine(&self, xs: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let ours = [xs, bias].iter().all(|xs| xs.device().is_cpu() && xs.dtype() == DType::F32);
        match &self.0 {
            Kind::Numbers(numbers) if ours && !bias.track_op() => {
                let bias = Some(bias.contiguous()?);
                xs.apply_op1(NumbersProduct { weight: numbers.clone(), bias })
            }
            _ => self.product(xs)?.broadcast_add(bias),
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

/// `x Wᵀ` for a constant weight in the element type of the pass.
struct FrozenProduct(Tensor);

impl CustomOp1 for FrozenProduct {
    fn name(&self) -> &'static str {
        "frozen_linear"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, dim_in) = layout.shape().dims2()?;
        let dim_out = self.0.dims()[0];
        let (storage, weight) = self.0.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { bail!("a frozen weight on another device") };
        let shape = Shape::from((n, dim_out));
        if n <= FEW
            && layout.is_contiguous()
            && let (CpuStorage::F32(_), CpuStorage::F32(_)) = (xs, storage)
            && let weights = kernels::Weights::F32(slice(storage, weight)?)
            && let Some(matrix) = kernels::Matrix::new(weights, dim_in)
        {
            let mut ys = vec![0.; n * dim_out];
            kernels::linear(slice(xs, layout)?, &matrix, None, &mut ys);
            return Ok((CpuStorage::F32(ys), shape));
        }
        let out = xs.matmul(storage, (1, n, dim_out, dim_in), layout, &weight.transpose(0, 1)?)?;
        Ok((out, shape))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, dys: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dys.contiguous()?.matmul(&self.0)?))
    }
}
