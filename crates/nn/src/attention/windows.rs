//! Attention inside of windows whose tokens are gathered as they are read.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};
use kernels::Heads;

use super::{Mask, attention, check_dims, is_plain, merge_heads};
use crate::Ops;
use crate::op::slice;

/// Attention of the tokens of windows to each other.
///
/// `qkv` `(batch, n_rows, 3 · dim)` holds queries, keys and values of the rows of an item side by side;
/// `order` names the row of each of the `size` tokens of each window of an item, and may name one often.
/// The result is `(batch · n_windows, size, dim)`; `mask` is one of so many items.
pub fn window_attention(
    ops: Ops,
    qkv: &Tensor,
    order: &Arc<[u32]>,
    size: usize,
    n_heads: usize,
    mask: Option<&Mask>,
) -> Result<Tensor> {
    let (batch, n_rows, width) = qkv.dims3()?;
    let dim = width / 3;
    let whole = size > 0 && order.len().is_multiple_of(size) && !order.is_empty();
    if !whole || n_heads == 0 || width != 3 * dim || !dim.is_multiple_of(n_heads) {
        bail!("{} tokens in windows of {size}, {n_heads} heads of a width of {dim}", order.len())
    }
    let n_windows = batch * order.len() / size;
    let order: Vec<u32> = (0..batch)
        .flat_map(|item| order.iter().map(move |row| (item * n_rows) as u32 + row))
        .collect();
    if let Some(&row) = order.iter().find(|row| **row as usize >= batch * n_rows) {
        bail!("row {row} of {}", batch * n_rows)
    }
    let scale = ((dim / n_heads) as f64).powf(-0.5);
    check_dims(mask, (n_windows, size, size))?;
    let qkv = qkv.contiguous()?;
    if is_plain(ops, &qkv) {
        let scale = scale as f32;
        let op = Windows { order, n_windows, size, n_heads, scale, mask: mask.cloned() };
        return qkv.apply_op1_no_bwd(&op);
    }
    let n_tokens = order.len();
    let order = Tensor::from_vec(order, n_tokens, qkv.device())?;
    let rows = qkv.reshape((batch * n_rows, width))?.index_select(&order, 0)?;
    let heads = |at| {
        let third = rows.narrow(D::Minus1, at * dim, dim)?.contiguous()?;
        third.reshape((n_windows, size, n_heads, dim / n_heads))?.transpose(1, 2)
    };
    let [q, k, v] = [heads(0)?, heads(1)?, heads(2)?];
    merge_heads(&attention(ops, &q, &k, &v, scale, mask)?)
}

/// The same where nothing is kept for a backward pass.
struct Windows {
    order: Vec<u32>,
    n_windows: usize,
    size: usize,
    n_heads: usize,
    scale: f32,
    mask: Option<Mask>,
}

impl CustomOp1 for Windows {
    fn name(&self) -> &'static str {
        "window_attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = layout.shape().dims3()?.2;
        let (dim, rows) = (width / 3, slice::<f32>(storage, layout)?);
        let dims = [self.n_windows, self.n_heads, self.size, dim / self.n_heads];
        let third = |at| Heads::gathered(rows, dims, at * dim, width, &self.order);
        let (Some(q), Some(k), Some(v)) = (third(0), third(1), third(2)) else {
            bail!("windows of no tokens: {dims:?}")
        };
        let mut out = vec![0.; self.order.len() * dim];
        let mask = self.mask.as_ref();
        let (keys, slopes) =
            (mask.map(|mask| &*mask.keys), mask.and_then(|mask| mask.slopes.as_deref()));
        kernels::attention(&q, &k, &v, self.scale, keys, slopes, &mut out);
        Ok((CpuStorage::F32(out), Shape::from((self.n_windows, self.size, dim))))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Var};

    use super::*;
    use crate::KeyMask;
    use crate::gradcheck::{check, same_on_both, sample};

    /// Two windows of three tokens of four rows, of which one stands twice; two items.
    fn windows() -> Result<(Arc<[u32]>, Mask)> {
        let allowed = (0..4 * 9).map(|i| i % 4 != 1 || i % 9 == 0).collect();
        let mask = KeyMask { allowed, rows: None, n_queries: 3, n_keys: 3 };
        Ok((Arc::from([3, 0, 2, 1, 3, 3]), Mask::new(mask)?))
    }

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let (order, mask) = windows()?;
        let qkv = sample("qkv", (2, 4, 12))?;
        check(&[("qkv", &qkv)], || {
            window_attention(Ops::Kernels, &qkv, &order, 3, 2, Some(&mask))?.sqr()?.sum_all()
        })?;
        same_on_both(&[&qkv], 1e-12, |ops| window_attention(ops, &qkv, &order, 3, 2, Some(&mask)))
    }

    #[test]
    fn inference_attends_as_training_does() -> Result<()> {
        let (order, mask) = windows()?;
        let qkv = sample("qkv", (2, 4, 12))?.as_detached_tensor().to_dtype(DType::F32)?;
        let traced = Var::from_tensor(&qkv)?;
        for mask in [None, Some(&mask)] {
            let ours = window_attention(Ops::Kernels, &qkv, &order, 3, 2, mask)?;
            assert_eq!(ours.dims(), [4, 3, 4]);
            let gap = (ours - window_attention(Ops::Kernels, &traced, &order, 3, 2, mask)?)?
                .abs()?
                .max_all()?;
            assert!(gap.to_scalar::<f32>()? < 1e-6, "{gap}");
        }
        Ok(())
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() -> Result<()> {
        let (order, mask) = windows()?;
        let qkv = sample("qkv", (2, 4, 12))?;
        assert!(window_attention(Ops::Kernels, &qkv, &order, 4, 2, None).is_err());
        assert!(window_attention(Ops::Kernels, &qkv, &order, 3, 3, None).is_err());
        assert!(window_attention(Ops::Kernels, &qkv.narrow(1, 0, 3)?, &order, 3, 2, None).is_err());
        assert!(
            window_attention(Ops::Kernels, &qkv.narrow(0, 0, 1)?, &order, 3, 2, Some(&mask))
                .is_err()
        );
        Ok(())
    }
}
