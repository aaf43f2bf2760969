//! Cross-entropy of next-token logits.

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::Ops;
use crate::attached::attached;
use crate::op::{Elem, by_dtype, filled, slice, with_slice};

/// `−log softmax(logits)[target]` of each row: `(n, n_classes)` to `(n)`.
pub fn cross_entropy(ops: Ops, logits: &Tensor, targets: Vec<u32>) -> Result<Tensor> {
    let (n, n_classes) = logits.dims2()?;
    if targets.len() != n || targets.iter().any(|&target| target as usize >= n_classes) {
        bail!("{} targets do not fit logits of shape {:?}", targets.len(), logits.dims())
    }
    if !ops.are_kernels(logits) {
        return composed(logits, &targets);
    }
    logits.contiguous()?.apply_op1(CrossEntropyOp { targets: Arc::new(targets), n_classes })
}

/// Logits of a chunk whose softmax is in memory at a time.
#[cfg(not(test))]
const CHUNK: usize = 1 << 24;
#[cfg(test)]
const CHUNK: usize = 1 << 5;

/// The same from candle's own operations, some rows at a time, forward and backward.
fn composed(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let (n, n_classes) = logits.dims2()?;
    if n == 0 {
        return Tensor::zeros(0, logits.dtype(), logits.device());
    }
    let n_rows = (CHUNK / n_classes.max(1)).clamp(1, n);
    let targets = Tensor::from_slice(targets, (n, 1), logits.device())?;
    let chunks = move || (0..n).step_by(n_rows).map(move |first| (first, n_rows.min(n - first)));
    let losses = chunks().map(|(first, n)| {
        let rows = logits.detach().narrow(0, first, n)?.contiguous()?;
        let most = rows.max_keepdim(1)?;
        let sums = rows.broadcast_sub(&most)?.exp()?.sum_keepdim(1)?;
        let target = rows.gather(&targets.narrow(0, first, n)?.contiguous()?, 1)?;
        ((sums.log()? + most)? - target)?.squeeze(1)
    });
    let losses = Tensor::cat(&losses.collect::<Result<Vec<_>>>()?, 0)?;
    if !logits.track_op() {
        return Ok(losses);
    }
    attached(logits, losses, move |logits, _, grad| {
        let classes = Tensor::arange(0, n_classes as u32, logits.device())?.unsqueeze(0)?;
        let parts = chunks().map(|(first, n)| {
            let rows = logits.narrow(0, first, n)?.contiguous()?;
            let hit =
                classes.broadcast_eq(&targets.narrow(0, first, n)?)?.to_dtype(rows.dtype())?;
            let gap = (candle_nn::ops::softmax(&rows, 1)? - hit)?;
            gap.broadcast_mul(&grad.narrow(0, first, n)?.unsqueeze(1)?)
        });
        Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)
    })
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
    use crate::gradcheck::{check, same_on_both, sample};

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let (logits, weights) = (sample("x", (3, 7))?, sample("w", 3)?);
        check(&[("logits", &logits)], || {
            (cross_entropy(Ops::Kernels, &logits, vec![0, 6, 2])? * weights.as_tensor())?.sum_all()
        })
    }

    #[test]
    fn the_kernel_equals_the_composed_form() -> Result<()> {
        // one chunk, and a class too many for two rows in one
        for (n, n_classes) in [(3, 7), (3, CHUNK / 2 + 1)] {
            let logits = sample("x", (n, n_classes))?;
            let last = n_classes as u32 - 1;
            same_on_both(&[&logits], 1e-12, |ops| cross_entropy(ops, &logits, vec![1, last, 2]))?;
        }
        Ok(())
    }

    #[test]
    fn a_target_outside_the_classes_is_an_error() -> Result<()> {
        for ops in Ops::ALL {
            assert!(cross_entropy(ops, &*sample("x", (1, 7))?, vec![7]).is_err());
        }
        Ok(())
    }
}
