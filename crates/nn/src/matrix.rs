//! A weight matrix, trained or frozen, and the product that spends nothing on a frozen gradient.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Storage, Tensor, bail};

/// A matrix `(out, in)` that tokens are multiplied with, or whose rows they are.
///
/// candle's matrix product computes and keeps a gradient for both operands. Where the matrix is a
/// constant, this uses an operation of its own, whose backward pass gives the input's gradient alone.
#[derive(Clone, Debug)]
pub struct Matrix(Tensor);

impl From<Tensor> for Matrix {
    fn from(tensor: Tensor) -> Self {
        Self(tensor)
    }
}

impl Matrix {
    /// `(out, in)`.
    pub fn dims(&self) -> Result<(usize, usize)> {
        self.0.dims2()
    }

    /// `xs Wᵀ` for `xs` `(n, in)`; the result is `(n, out)`.
    pub fn product(&self, xs: &Tensor) -> Result<Tensor> {
        if self.0.track_op() || !xs.device().is_cpu() {
            return xs.matmul(&self.0.t()?);
        }
        xs.apply_op1(FrozenProduct(self.0.contiguous()?))
    }

    /// The rows of these ids, `(n, in)`, as an embedding is read.
    pub fn rows(&self, ids: &Tensor) -> Result<Tensor> {
        self.0.index_select(ids, 0)
    }

    /// The whole matrix as a tensor.
    pub fn to_tensor(&self, dtype: DType) -> Result<Tensor> {
        self.0.to_dtype(dtype)
    }
}

/// `x Wᵀ` for a constant weight.
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
        let out = xs.matmul(storage, (1, n, dim_out, dim_in), layout, &weight.transpose(0, 1)?)?;
        Ok((out, Shape::from((n, dim_out))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, dys: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dys.contiguous()?.matmul(&self.0)?))
    }
}
