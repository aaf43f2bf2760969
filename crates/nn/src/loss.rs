//! Cross-entropy of next-token logits.

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::op::{Elem, by_dtype, filled, slice, with_slice};

/// `−log softmax(logits)[target]` of each row: `(n, n_classes)` to `(n)`.
pub fn cross_entropy(logits: &Tensor, targets: Vec<u32>) -> Result<Tensor> {
    let (n, n_classes) = logits.dims2()?;
    if targets.len() != n || targets.iter().any(|&target| target as usize >= n_classes) {
        bail!("{} targets do not fit logits of shape {:?}", targets.len(), logits.dims())
    }
    if !logits.device().is_cpu() {
        return composed(logits, targets);
    }
    logits.contiguous()?.apply_op1(CrossEntropyOp { targets: Arc::new(targets), n_classes })
}

fn composed(logits: &Tensor, targets: Vec<u32>) -> Result<Tensor> {
    let n = targets.len();
    let targets = Tensor::from_vec(targets, (n, 1), logits.device())?;
    candle_nn::ops::log_softmax(logits, 1)?.gather(&targets, 1)?.squeeze(1)?.neg()
}

struct CrossEntropyOp {
    targets: Arc<Vec<u32>>,
    n_classes: usize,
}

impl CustomOp1 for CrossEntropyOp {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = by_dtype!(logits.dtype(), T => {
            let logits = slice::<T>(logits, layout)?;
            let losses = kernels::cross_entropy(logits, &self.targets, self.n_classes);
            <T as candle_core::WithDType>::to_cpu_storage_owned(losses)
        });
        Ok((out, Shape::from(self.targets.len())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        fn run<T: Elem>(op: &CrossEntropyOp, logits: &Tensor, grad: &Tensor) -> Result<Tensor> {
            with_slice::<T, _>(logits, |x| {
                with_slice::<T, _>(grad, |g| {
                    filled::<T>(logits, |dx| {
                        kernels::cross_entropy_backward(x, &op.targets, g, op.n_classes, dx);
                    })
                })
            })??
        }
        let grad = grad.contiguous()?;
        Ok(Some(by_dtype!(logits.dtype(), T => run::<T>(self, logits, &grad)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, sample};

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let (logits, weights) = (sample("x", (3, 7))?, sample("w", 3)?);
        check(&[("logits", &logits)], || {
            (cross_entropy(&logits, vec![0, 6, 2])? * weights.as_tensor())?.sum_all()
        })
    }

    #[test]
    fn the_kernel_equals_the_composed_form() -> Result<()> {
        let logits = sample("x", (3, 7))?;
        let fused = cross_entropy(&logits, vec![1, 5, 2])?.to_vec1::<f64>()?;
        for (a, b) in fused.iter().zip(composed(&logits, vec![1, 5, 2])?.to_vec1::<f64>()?) {
            assert!((a - b).abs() < 1e-12);
        }
        Ok(())
    }

    #[test]
    fn a_target_outside_the_classes_is_an_error() -> Result<()> {
        assert!(cross_entropy(&*sample("x", (1, 7))?, vec![7]).is_err());
        Ok(())
    }
}
