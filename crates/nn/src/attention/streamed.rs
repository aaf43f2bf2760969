//! Attention over long sequences, without its matrix.

use std::sync::{Arc, Mutex};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use kernels::{Attention, AttentionShape, Moments};

use super::blocks;
use crate::Ops;
use crate::op::{Elem, by_dtype, slice, with_slice};

/// Scores of one head from which on the matrix is not worth its memory.
pub(super) const MANY_SCORES: usize = 1 << 18;

/// `softmax(q kᵀ · scale) v` as [`attention`](crate::attention) gives it, in memory that grows with
/// the tokens and not with their square, forward and backward.
///
/// Queries `(batch, n_heads, n_queries, head_dim)`, keys and values `(batch, n_kv_heads, n_keys,
/// head_dim)`; `seen` `(batch, n_keys)` says which keys exist for all queries of an item, absent: all.
pub fn streamed_attention(
    ops: Ops,
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    scale: f64,
    seen: Option<&Arc<[bool]>>,
) -> Result<Tensor> {
    let (batch, n_heads, n_queries, head_dim) = queries.dims4()?;
    let (_, n_kv_heads, n_keys, _) = keys.dims4()?;
    if keys.dims() != [batch, n_kv_heads, n_keys, head_dim] || values.dims() != keys.dims() {
        bail!(
            "queries {:?}, keys {:?} and values {:?} do not go together",
            queries.dims(),
            keys.dims(),
            values.dims()
        )
    }
    if n_kv_heads == 0 || !n_heads.is_multiple_of(n_kv_heads) {
        bail!("{n_heads} query heads cannot share {n_kv_heads} key-value heads")
    }
    if seen.is_some_and(|seen| seen.len() != batch * n_keys) {
        bail!("{batch} × {n_keys} keys are not those of the mask")
    }
    if !ops.are_kernels(queries) {
        let (keys, values) = (super::share(keys, n_heads)?, super::share(values, n_heads)?);
        return blocks::attention(queries, &keys, &values, scale, seen);
    }
    let shape = AttentionShape { batch, n_heads, n_kv_heads, n_queries, n_keys, head_dim };
    let op = StreamedOp { shape, scale, seen: seen.cloned(), moments: Mutex::default() };
    queries.contiguous()?.apply_op3(&keys.contiguous()?, &values.contiguous()?, op)
}

struct StreamedOp {
    shape: AttentionShape,
    scale: f64,
    seen: Option<Arc<[bool]>>,
    /// Left by the forward pass for the backward pass.
    moments: Mutex<Option<Kept>>,
}

/// Moments of every query, in one of the two float types.
enum Kept {
    F32(Vec<Moments<f32>>),
    F64(Vec<Moments<f64>>),
}

trait Keep: Elem {
    fn keep(moments: Vec<Moments<Self>>) -> Kept;
    fn kept(kept: &Kept) -> Option<&[Moments<Self>]>;
}

macro_rules! keep {
    ($t:ty, $variant:ident) => {
        impl Keep for $t {
            fn keep(moments: Vec<Moments<Self>>) -> Kept {
                Kept::$variant(moments)
            }
            fn kept(kept: &Kept) -> Option<&[Moments<Self>]> {
                if let Kept::$variant(moments) = kept { Some(moments) } else { None }
            }
        }
    };
}
keep!(f32, F32);
keep!(f64, F64);

impl StreamedOp {
    fn attention<'a, T: Elem>(&'a self, q: &'a [T], k: &'a [T], v: &'a [T]) -> Attention<'a, T> {
        Attention::new(self.shape, q, k, v, self.scale, self.seen.as_deref())
            .expect("shapes were checked")
    }

    fn gradients<T: Keep>(
        &self,
        [q, k, v]: [&Tensor; 3],
        out: &Tensor,
        dout: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let for_keys = k.track_op() || v.track_op();
        let kept = self.moments.lock().expect("no holder panics");
        let Some(moments) = kept.as_ref().and_then(T::kept) else {
            bail!("an attention's backward pass needs its forward pass")
        };
        let (dq, dkv) = with_slice::<T, _>(q, |q_| {
            with_slice::<T, _>(k, |k| {
                with_slice::<T, _>(v, |v| {
                    with_slice::<T, _>(out, |out| {
                        with_slice::<T, _>(dout, |dout| {
                            let attention = self.attention(q_, k, v);
                            attention.backward(out, moments, dout, q.track_op(), for_keys)
                        })
                    })
                })
            })
        })?????;
        let like = |values: Vec<T>, xs: &Tensor| Tensor::from_vec(values, xs.shape(), xs.device());
        let dq = dq.map(|values| like(values, q)).transpose()?;
        let Some((dk, dv)) = dkv else { return Ok((dq, None, None)) };
        Ok((dq, Some(like(dk, k)?), Some(like(dv, v)?)))
    }
}

impl CustomOp3 for StreamedOp {
    fn name(&self) -> &'static str {
        "streamed_attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let out = by_dtype!(q.dtype(), T => {
            let (k, v) = (slice::<T>(k, k_layout)?, slice::<T>(v, v_layout)?);
            let q = slice::<T>(q, q_layout)?;
            let mut out = vec![0. as T; q.len()];
            let moments = self.attention(q, k, v).forward(&mut out);
            *self.moments.lock().expect("no holder panics") = Some(T::keep(moments));
            T::to_cpu_storage_owned(out)
        });
        Ok((out, q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        dout: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dout = dout.contiguous()?;
        by_dtype!(q.dtype(), T => self.gradients::<T>([q, k, v], out, &dout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, same_on_both, sample};
    use candle_core::{DType, Var};

    fn sampled(n_queries: usize, n_keys: usize) -> Result<[Var; 3]> {
        Ok([
            sample("q", (2, 4, n_queries, 3))?,
            sample("k", (2, 2, n_keys, 3))?,
            sample("v", (2, 2, n_keys, 3))?,
        ])
    }

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let [q, k, v] = sampled(140, 530)?;
        let seen: Arc<[bool]> = (0..2 * 530).map(|i| i % 7 != 3).collect();
        for seen in [None, Some(&seen)] {
            check(&[("q", &q), ("k", &k), ("v", &v)], || {
                streamed_attention(Ops::Kernels, &q, &k, &v, 0.4, seen)?.sqr()?.sum_all()
            })?;
        }
        Ok(())
    }

    #[test]
    fn the_kernel_equals_the_composed_form_forward_and_backward() -> Result<()> {
        let [q, k, v] = sampled(140, 530)?;
        // of the first item no key of the first blocks is seen, then none at all
        let late: Arc<[bool]> = (0..2 * 530).map(|i| i >= 530 || (i > 400 && i % 5 == 0)).collect();
        let none: Arc<[bool]> = (0..2 * 530).map(|i| i >= 530).collect();
        for seen in [None, Some(&late), Some(&none)] {
            same_on_both(&[&q, &k, &v], 1e-12, |ops| {
                streamed_attention(ops, &q, &k, &v, 0.7, seen)
            })?;
        }
        Ok(())
    }

    #[test]
    fn attention_without_a_mask_is_streamed_where_it_is_long() -> Result<()> {
        let [q, k, v] = sampled(513, 530)?.map(|var| var.to_dtype(DType::F32).expect("a float"));
        let long = crate::attention(Ops::Kernels, &q, &k, &v, 0.5, None)?;
        let streamed = streamed_attention(Ops::Kernels, &q, &k, &v, 0.5, None)?;
        for other in [streamed, crate::attention(Ops::Composed, &q, &k, &v, 0.5, None)?] {
            let gap = (&long - other)?.abs()?.max_all()?;
            assert!(gap.to_scalar::<f32>()? < 2e-6, "{gap}");
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_go_together_are_refused() -> Result<()> {
        let [q, k, v] = sampled(2, 3)?;
        let error = |k: &Tensor, v: &Tensor, seen: Option<&Arc<[bool]>>| {
            streamed_attention(Ops::Kernels, &q, k, v, 1., seen).unwrap_err().to_string()
        };
        assert!(error(&k, &v.narrow(2, 0, 2)?, None).contains("do not go together"));
        assert!(error(&k, &v, Some(&Arc::from([true; 5]))).contains("not those of the mask"));
        let three = Tensor::zeros((2, 3, 3, 3), DType::F64, q.device())?;
        assert!(error(&three, &three, None).contains("4 query heads cannot share 3"));
        Ok(())
    }
}
