//! Products with a constant weight, whose backward pass gives the input's gradient alone.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use kernels::{Activation, After};

use super::Numbers;
use crate::op::{filled, slice, with_slice};

/// A constant matrix as the kernels take it.
pub(super) trait Constant: Send + Sync {
    /// Runs `f` on the matrix.
    fn with_view<R>(&self, f: impl FnOnce(&kernels::Matrix<'_>) -> R) -> Result<R>;

    /// Whether products round their inputs as the weights are.
    fn rounds(&self) -> bool {
        false
    }
}

impl Constant for Arc<Numbers> {
    fn with_view<R>(&self, f: impl FnOnce(&kernels::Matrix<'_>) -> R) -> Result<R> {
        Ok(f(&self.view()))
    }

    fn rounds(&self) -> bool {
        Numbers::rounds(self)
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

/// What follows a product: a frozen bias, and, where nothing asks for a gradient, an activation, factors
/// shaped as the result, one for all, and a residual shaped as the result.
#[derive(Clone, Default)]
pub(crate) struct Then {
    pub(crate) bias: Option<Tensor>,
    pub(crate) activation: Option<Activation>,
    pub(crate) others: Option<Tensor>,
    pub(crate) factor: Option<f32>,
    pub(crate) residual: Option<Tensor>,
}

impl Then {
    /// Whether a backward pass would need what is not kept.
    pub(crate) fn is_final(&self) -> bool {
        let Self { bias: _, activation, others, factor, residual } = self;
        activation.is_some() || others.is_some() || factor.is_some() || residual.is_some()
    }

    /// Its tensors.
    pub(super) fn tensors(&mut self) -> [&mut Option<Tensor>; 3] {
        [&mut self.bias, &mut self.others, &mut self.residual]
    }
}

/// `x Wᵀ` in `f32`, and what follows it, by our kernels.
pub(super) struct FrozenProduct<W> {
    pub(super) weight: W,
    pub(super) then: Then,
}

/// Runs `f` on the data of a tensor, where there is one.
fn with_optional<R>(
    tensor: Option<&Tensor>,
    f: impl FnOnce(Option<&[f32]>) -> Result<R>,
) -> Result<R> {
    match tensor {
        Some(tensor) => with_slice(tensor, |values| f(Some(values)))?,
        None => f(None),
    }
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
            let Then { bias, activation, others, factor, residual } = &self.then;
            for (what, tensor, expected) in [
                ("a bias", bias, n_out),
                ("factors", others, n * n_out),
                ("a residual", residual, n * n_out),
            ] {
                if let Some(found) = tensor.as_ref().map(Tensor::elem_count)
                    && found != expected
                {
                    bail!("{what} of {found} entries beside {n} × {n_out}")
                }
            }
            with_optional(bias.as_ref(), |bias| {
                with_optional(others.as_ref(), |others| {
                    with_optional(residual.as_ref(), |residual| {
                        let mut ys = vec![0.; n * n_out];
                        let (activation, factor) = (*activation, *factor);
                        let after = After { bias, activation, others, factor, residual };
                        let linear = if self.weight.rounds() {
                            kernels::linear_rounded
                        } else {
                            kernels::linear_with
                        };
                        linear(xs, weight, &after, &mut ys);
                        Ok((CpuStorage::F32(ys), Shape::from((n, n_out))))
                    })
                })
            })
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
