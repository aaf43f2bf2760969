//! Products with a constant weight, whose backward pass gives the input's gradient alone.

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, bail};

use super::Numbers;
use crate::op::{filled, slice, with_slice};

/// A constant matrix as the kernels take it.
pub(super) trait Constant: Send + Sync {
    /// Runs `f` on the matrix.
    fn with_view<R>(&self, f: impl FnOnce(&kernels::Matrix<'_>) -> R) -> Result<R>;
}

impl Constant for Arc<Numbers> {
    fn with_view<R>(&self, f: impl FnOnce(&kernels::Matrix<'_>) -> R) -> Result<R> {
        Ok(f(&self.view()))
    }
}

/// A contiguous matrix in `f32`.
impl Constant for Tensor {
    fn with_view<R>(&self, f: impl FnOnce(&kernels::Matrix<'_>) -> R) -> Result<R> {
        let n_in = self.dims2()?.1;
        with_slice(self, |numbers| {
            match kernels::Matrix::new(kernels::Weights::F32(numbers), n_in) {
                Some(matrix) => Ok(f(&matrix)),
                None => bail!("a weight matrix has no columns"),
            }
        })?
    }
}

/// `x Wᵀ` in `f32`, plus a frozen bias where there is one, by our kernels.
pub(super) struct FrozenProduct<W> {
    pub(super) weight: W,
    pub(super) bias: Option<Tensor>,
}

impl<W: Constant> CustomOp1 for FrozenProduct<W> {
    fn name(&self) -> &'static str {
        "frozen_linear"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, dim_in) = layout.shape().dims2()?;
        let xs = slice::<f32>(xs, layout)?;
        self.weight.with_view(|weight| {
            let (n_out, n_in) = (weight.n_out(), weight.n_in());
            if dim_in != n_in {
                bail!("a product with {n_in} columns was given rows of {dim_in}")
            }
            let mut ys = vec![0.; n * n_out];
            match &self.bias {
                Some(bias) if bias.elem_count() != n_out => {
                    bail!("a bias of {} entries beside {n_out} outputs", bias.elem_count())
                }
                Some(bias) => with_slice(bias, |bias| {
                    kernels::linear(xs, weight, Some(bias), &mut ys);
                })?,
                None => kernels::linear(xs, weight, None, &mut ys),
            }
            Ok((CpuStorage::F32(ys), Shape::from((n, n_out))))
        })?
    }

    fn bwd(&self, xs: &Tensor, _: &Tensor, dys: &Tensor) -> Result<Option<Tensor>> {
        let dys = dys.contiguous()?;
        let dxs = self.weight.with_view(|weight| {
            with_slice::<f32, _>(&dys, |dys| {
                filled::<f32>(xs, |dxs| kernels::linear_backward(dys, weight, dxs))
            })
        })???;
        Ok(Some(dxs))
    }
}

/// `x Wᵀ` in the element type of both, by candle: for `f64`, in which the tests compare gradients.
pub(super) struct PlainProduct(pub(super) Tensor);

impl CustomOp1 for PlainProduct {
    fn name(&self) -> &'static str {
        "frozen_plain_linear"
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
