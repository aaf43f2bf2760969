//! The depthwise convolution along tokens of Nyström attention; candle's own loses gradients.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use kernels::TokenSizes;

use crate::Ops;
use crate::op::{Elem, by_dtype, filled, slice, with_slice};

/// `y[t] = Σₖ taps[h, k] · v[t + k − n_taps / 2]`, zeros outside (Xiong et al. 2021, the skip path).
///
/// Values and result `(batch, n_heads, n_tokens, head_dim)`, taps `(n_heads, n_taps)`, an odd number.
pub fn token_convolution(ops: Ops, values: &Tensor, taps: &Tensor) -> Result<Tensor> {
    let (_, n_heads, ..) = values.dims4()?;
    let (n_kernels, n_taps) = taps.dims2()?;
    if n_kernels != n_heads || n_taps.is_multiple_of(2) {
        bail!(
            "{n_kernels} kernels of {n_taps} taps for {n_heads} heads; expected one odd kernel each"
        )
    }
    if !ops.are_kernels(values) {
        return composed(values, taps);
    }
    values.contiguous()?.apply_op2(&taps.contiguous()?, TokenConvolution)
}

/// The same from candle's own operations, for devices without our kernels.
fn composed(values: &Tensor, taps: &Tensor) -> Result<Tensor> {
    let (n_heads, n_taps) = taps.dims2()?;
    let n_tokens = values.dim(2)?;
    let padded = values.pad_with_zeros(2, n_taps / 2, n_taps / 2)?;
    let term = |k| {
        let tap = taps.narrow(1, k, 1)?.reshape((1, n_heads, 1, 1))?;
        padded.narrow(2, k, n_tokens)?.broadcast_mul(&tap)
    };
    (1..n_taps).try_fold(term(0)?, |sum, k| sum + term(k)?)
}

fn sizes(dims: &[usize]) -> Result<TokenSizes> {
    match *dims {
        [_, n_heads, n_tokens, head_dim] => Ok(TokenSizes { n_heads, n_tokens, head_dim }),
        _ => bail!("values of shape {dims:?}, expected (batch, n_heads, n_tokens, head_dim)"),
    }
}

struct TokenConvolution;

impl CustomOp2 for TokenConvolution {
    fn name(&self) -> &'static str {
        "token_convolution"
    }

    fn cpu_fwd(
        &self,
        values: &CpuStorage,
        layout: &Layout,
        taps: &CpuStorage,
        taps_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        let sizes = sizes(layout.dims())?;
        let out = by_dtype!(values.dtype(), T => {
            let values = slice::<T>(values, layout)?;
            let mut ys = vec![0. as T; values.len()];
            kernels::token_convolution(values, slice(taps, taps_layout)?, sizes, &mut ys);
            <T as candle_core::WithDType>::to_cpu_storage_owned(ys)
        });
        Ok((out, layout.shape().clone()))
    }

    fn bwd(
        &self,
        values: &Tensor,
        taps: &Tensor,
        _: &Tensor,
        dys: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        fn run<T: Elem>(
            values: &Tensor,
            taps: &Tensor,
            dys: &Tensor,
        ) -> Result<(Option<Tensor>, Option<Tensor>)> {
            let sizes = sizes(values.dims())?;
            let dvalues = with_slice::<T, _>(taps, |taps| {
                with_slice::<T, _>(dys, |dys| {
                    filled::<T>(values, |dvs| {
                        kernels::token_convolution_values(dys, taps, sizes, dvs);
                    })
                })
            })???;
            if !taps.track_op() {
                return Ok((Some(dvalues), None));
            }
            let dtaps = with_slice::<T, _>(values, |values| {
                with_slice::<T, _>(dys, |dys| {
                    kernels::token_convolution_taps(values, dys, taps.dims()[1], sizes)
                })
            })??;
            Ok((Some(dvalues), Some(Tensor::from_vec(dtaps, taps.shape(), taps.device())?)))
        }
        let (values, dys) = (values.contiguous()?, dys.contiguous()?);
        by_dtype!(values.dtype(), T => run::<T>(&values, taps, &dys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, same_on_both, sample};

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        // a kernel shorter and one longer than the sequence
        for n_taps in [3, 11] {
            let (values, taps) = (sample("v", (2, 3, 5, 2))?, sample("w", (3, n_taps))?);
            check(&[("v", &values), ("taps", &taps)], || {
                token_convolution(Ops::Kernels, &values, &taps)?.sqr()?.sum_all()
            })?;
        }
        Ok(())
    }

    #[test]
    fn the_kernel_equals_the_composed_form() -> Result<()> {
        let (values, taps) = (sample("v", (2, 3, 70, 4))?, sample("w", (3, 65))?);
        same_on_both(&[&values, &taps], 1e-12, |ops| token_convolution(ops, &values, &taps))
    }

    #[test]
    fn an_even_kernel_or_another_number_of_heads_is_an_error() -> Result<()> {
        let values = sample("v", (1, 3, 5, 2))?;
        assert!(token_convolution(Ops::Kernels, &values, &*sample("w", (3, 4))?).is_err());
        assert!(token_convolution(Ops::Kernels, &values, &*sample("w", (2, 3))?).is_err());
        Ok(())
    }
}
