//! Softmax attention over heads, with the mask of Flamingo's cross-attention.

mod blocks;
mod streamed;
mod windows;

use std::sync::{Arc, OnceLock};

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, D, DType, Device, Layout, Result, Shape, Tensor, bail,
};
use kernels::Heads;
pub use kernels::{KeyMask, RowKind};

pub use self::streamed::streamed_attention;
pub use self::windows::window_attention;
use crate::Ops;
use crate::attached::attached;
use crate::device::count_kernel;
use crate::op::{Elem, by_dtype, filled, slice, with_slice};

/// Which keys each query may see, cheap to clone; see [`KeyMask`].
#[derive(Clone, Debug)]
pub struct Mask {
    keys: Arc<KeyMask>,
    slopes: Option<Arc<[f64]>>,
    /// For candle's operations, on the device of the first pass.
    flags: Arc<OnceLock<Flags>>,
}

impl Mask {
    /// Checks that the lengths agree and shares the mask.
    pub fn new(mask: KeyMask) -> Result<Self> {
        let batch = mask.allowed.len() / (mask.n_queries * mask.n_keys).max(1);
        let whole = mask.allowed.len() == batch * mask.n_queries * mask.n_keys
            && mask.rows.as_ref().is_none_or(|rows| rows.len() == batch * mask.n_queries);
        if !whole {
            bail!("an attention mask's length is no multiple of its queries and keys")
        }
        Ok(Self { keys: Arc::new(mask), slopes: None, flags: Arc::default() })
    }

    /// The same mask with the bias of ALiBi, one slope a head (Press et al. 2022).
    pub fn with_slopes(&self, slopes: &Arc<[f64]>) -> Self {
        Self { slopes: Some(slopes.clone()), ..self.clone() }
    }

    /// `(batch, n_queries, n_keys)`.
    pub fn dims(&self) -> (usize, usize, usize) {
        let (queries, keys) = (self.keys.n_queries, self.keys.n_keys);
        (self.keys.allowed.len() / (queries * keys).max(1), queries, keys)
    }
}

/// `softmax(q kᵀ · scale) v`.
///
/// Queries `(batch, n_heads, n_queries, head_dim)`, keys and values `(batch, n_kv_heads, n_keys,
/// head_dim)`, result as the queries. Where there are fewer key heads, neighbouring query heads share
/// one (Ainslie et al. 2023). The scale multiplies the queries before the product, as in OpenFlamingo.
/// Without a mask, long sequences go through [`streamed_attention`], unless nothing asks for a gradient.
pub fn attention(
    ops: Ops,
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    scale: f64,
    mask: Option<&Mask>,
) -> Result<Tensor> {
    let (_, n_heads, n_queries, _) = queries.dims4()?;
    let is_long = mask.is_none() && n_queries * keys.dim(2)? >= streamed::MANY_SCORES;
    let is_traceless = [queries, keys, values].iter().all(|xs| is_plain(ops, xs))
        && n_heads.is_multiple_of(keys.dim(1)?.max(1));
    if is_long && !(is_traceless && kernels::attention_streams()) {
        return streamed_attention(ops, queries, keys, values, scale, None);
    }
    if is_traceless {
        check(mask, queries, keys.dim(2)?)?;
        let op = Traceless { scale: scale as f32, mask: mask.cloned() };
        // the kernel leaves the heads of a token side by side
        return queries.apply_op3_no_bwd(keys, values, &op)?.transpose(1, 2);
    }
    attention_weights(ops, queries, keys, scale, mask)?
        .matmul(&share(values, n_heads)?.contiguous()?)
}

/// `softmax(q kᵀ · scale)`, `(batch, n_heads, n_queries, n_keys)`: how much of each key every query takes in
/// [`attention`]. The rows sum to 1, those that the mask silences to 0.
pub fn attention_weights(
    ops: Ops,
    queries: &Tensor,
    keys: &Tensor,
    scale: f64,
    mask: Option<&Mask>,
) -> Result<Tensor> {
    let keys = share(keys, queries.dim(1)?)?.transpose(2, 3)?.contiguous()?;
    let scores = (queries * scale)?.contiguous()?.matmul(&keys)?;
    softmax(ops, &scores, mask)
}

/// Whether nothing asks for a gradient and our kernel can read the heads where they lie.
fn is_plain(ops: Ops, xs: &Tensor) -> bool {
    let entries_are_neighbours = xs.stride().last() == Some(&1);
    !xs.track_op() && ops.are_kernels(xs) && xs.dtype() == DType::F32 && entries_are_neighbours
}

/// Attention of which nothing is kept for a backward pass.
struct Traceless {
    scale: f32,
    mask: Option<Mask>,
}

impl CustomOp3 for Traceless {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        q: &Layout,
        keys: &CpuStorage,
        k: &Layout,
        values: &CpuStorage,
        v: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, n_heads, n_queries, dim) = q.shape().dims4()?;
        let mut out = vec![0.; q.shape().elem_count()];
        let mask = self.mask.as_ref();
        kernels::attention(
            &heads(queries, q)?,
            &heads(keys, k)?,
            &heads(values, v)?,
            self.scale,
            mask.map(|mask| &*mask.keys),
            mask.and_then(|mask| mask.slopes.as_deref()),
            &mut out,
        );
        Ok((CpuStorage::F32(out), Shape::from((batch, n_queries, n_heads, dim))))
    }
}

fn heads<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Heads<'a>> {
    let (batch, n_heads, n_tokens, head_dim) = layout.shape().dims4()?;
    let &[batches, heads, tokens, _] = layout.stride() else { bail!("heads in four dimensions") };
    count_kernel();
    let values = &storage.as_slice::<f32>()?[layout.start_offset()..];
    let heads = Heads::new(values, [batch, n_heads, n_tokens, head_dim], [batches, heads, tokens]);
    heads.map_or_else(|| bail!("attention without tokens: {:?}", layout.shape()), Ok)
}

/// Refuses a mask for other queries or keys.
fn check(mask: Option<&Mask>, queries: &Tensor, n_keys: usize) -> Result<()> {
    let (batch, _, n_queries, _) = queries.dims4()?;
    check_dims(mask, (batch, n_queries, n_keys))
}

/// Refuses a mask that is not one of `(batch, n_queries, n_keys)`.
fn check_dims(mask: Option<&Mask>, dims: (usize, usize, usize)) -> Result<()> {
    match mask {
        Some(mask) if mask.dims() != dims => bail!(
            "attention of {} items, {} queries to {} keys, does not fit a mask {:?}",
            dims.0,
            dims.1,
            dims.2,
            mask.dims()
        ),
        _ => Ok(()),
    }
}

/// Repeats each of the heads of `(batch, n_kv_heads, n_tokens, head_dim)` for its group of queries.
fn share(xs: &Tensor, n_heads: usize) -> Result<Tensor> {
    let (batch, n_kv_heads, n_tokens, head_dim) = xs.dims4()?;
    if n_heads == n_kv_heads {
        return Ok(xs.clone());
    }
    if n_kv_heads == 0 || !n_heads.is_multiple_of(n_kv_heads) {
        bail!("{n_heads} query heads cannot share {n_kv_heads} key-value heads")
    }
    let group = n_heads / n_kv_heads;
    xs.unsqueeze(2)?.broadcast_as((batch, n_kv_heads, group, n_tokens, head_dim))?.flatten(1, 2)
}

/// `(batch, n_tokens, n_heads · head_dim)` to `(batch, n_heads, n_tokens, head_dim)`.
pub fn split_heads(xs: &Tensor, n_heads: usize) -> Result<Tensor> {
    let (batch, n_tokens, dim) = xs.dims3()?;
    xs.reshape((batch, n_tokens, n_heads, dim / n_heads))?.transpose(1, 2)?.contiguous()
}

/// The same as a view of the same memory, which attention reads where it lies.
pub fn view_heads(xs: &Tensor, n_heads: usize) -> Result<Tensor> {
    let (batch, n_tokens, dim) = xs.dims3()?;
    xs.reshape((batch, n_tokens, n_heads, dim / n_heads))?.transpose(1, 2)
}

/// `(batch, n_heads, n_tokens, head_dim)` to `(batch, n_tokens, n_heads · head_dim)`.
pub fn merge_heads(xs: &Tensor) -> Result<Tensor> {
    xs.transpose(1, 2)?.contiguous()?.flatten_from(D::Minus2)
}

/// Softmax over the keys of scores `(batch, n_heads, n_queries, n_keys)`.
fn softmax(ops: Ops, scores: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
    let (_, n_heads, _, n_keys) = scores.dims4()?;
    check(mask, scores, n_keys)?;
    if ops.are_kernels(scores) {
        let mask = mask.cloned();
        scores.contiguous()?.apply_op1(SoftmaxOp { n_heads, n_keys, mask })
    } else {
        composed(scores, mask)
    }
}

/// What a mask says, as candle's operations read it: 1 and 0.
#[derive(Clone, Debug)]
struct Flags {
    /// `(batch, 1, n_queries, n_keys)`.
    allowed: Tensor,
    /// Queries that see every key alike, and those that see nothing, `(batch, 1, n_queries, 1)`; absent
    /// where there is none.
    uniform: Option<Tensor>,
    silent: Option<Tensor>,
}

impl Mask {
    fn flags(&self, place: &Device) -> Result<Flags> {
        if let Some(flags) = self.flags.get() {
            return Ok(flags.clone());
        }
        let (batch, n_queries, n_keys) = self.dims();
        let tensor = |flags: &[bool], n_keys| {
            let flags: Vec<u8> = flags.iter().map(|&flag| u8::from(flag)).collect();
            Tensor::from_vec(flags, (batch, 1, n_queries, n_keys), place)
        };
        let rows = |kind: RowKind| {
            let found: Vec<bool> =
                self.keys.rows.iter().flatten().map(|&row| row == kind).collect();
            found.contains(&true).then(|| tensor(&found, 1)).transpose()
        };
        let flags = Flags {
            allowed: tensor(&self.keys.allowed, n_keys)?,
            uniform: rows(RowKind::Uniform)?,
            silent: rows(RowKind::Silent)?,
        };
        Ok(self.flags.get_or_init(|| flags).clone())
    }
}

/// The same from candle's own operations; of what they make on the way, only the weights are kept for the backward
/// pass.
fn composed(scores: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
    let flags = mask.map(|mask| mask.flags(scores.device())).transpose()?;
    let weights = match mask.zip(flags.as_ref()) {
        Some((mask, flags)) => composed_weights(&scores.detach(), mask, flags)?,
        None => candle_nn::ops::softmax(&scores.detach(), D::Minus1)?,
    };
    if !scores.track_op() {
        return Ok(weights);
    }
    attached(scores, weights, move |_, weights, dweights| {
        let parts = (weights * dweights)?;
        let dscores = (&parts - weights.broadcast_mul(&parts.sum_keepdim(D::Minus1)?)?)?;
        let Some(Flags { allowed, uniform, .. }) = &flags else { return Ok(dscores) };
        let (shape, zeros) = (dscores.shape(), dscores.zeros_like()?);
        let dscores = allowed.broadcast_as(shape)?.where_cond(&dscores, &zeros)?;
        match uniform {
            Some(uniform) => uniform.broadcast_as(shape)?.where_cond(&zeros, &dscores),
            None => Ok(dscores),
        }
    })
}

fn composed_weights(scores: &Tensor, mask: &Mask, flags: &Flags) -> Result<Tensor> {
    let (_, n_queries, n_keys) = mask.dims();
    let Flags { allowed, uniform, silent } = flags;
    let mut scores = scores.clone();
    if let Some(slopes) = &mask.slopes {
        let keys = Tensor::arange(0i64, n_keys as i64, scores.device())?.unsqueeze(0)?;
        let first = (n_keys - n_queries) as i64;
        let queries = Tensor::arange(first, n_keys as i64, scores.device())?.unsqueeze(1)?;
        let distance = keys.broadcast_sub(&queries)?.to_dtype(scores.dtype())?;
        let slopes = Tensor::new(&**slopes, scores.device())?.to_dtype(scores.dtype())?;
        let bias = slopes.reshape(((), 1, 1))?.broadcast_mul(&distance)?;
        scores = scores.broadcast_add(&bias)?;
    }
    let shape = scores.shape().clone();
    if let Some(uniform) = uniform {
        scores = uniform.broadcast_as(&shape)?.where_cond(&scores.zeros_like()?, &scores)?;
    }
    let lowest = Tensor::full(f32::MIN, (), scores.device())?.to_dtype(scores.dtype())?;
    let lowest = lowest.broadcast_as(&shape)?;
    let scores = allowed.broadcast_as(&shape)?.where_cond(&scores, &lowest)?;
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
    match silent {
        Some(silent) => silent.broadcast_as(&shape)?.where_cond(&weights.zeros_like()?, &weights),
        None => Ok(weights),
    }
}

struct SoftmaxOp {
    n_heads: usize,
    n_keys: usize,
    mask: Option<Mask>,
}

impl SoftmaxOp {
    fn keys(&self) -> Option<&KeyMask> {
        self.mask.as_ref().map(|mask| &*mask.keys)
    }
}

impl CustomOp1 for SoftmaxOp {
    fn name(&self) -> &'static str {
        "masked_softmax"
    }

    fn cpu_fwd(&self, scores: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = by_dtype!(scores.dtype(), T => {
            let scores = slice::<T>(scores, layout)?;
            let mut weights = vec![0. as T; scores.len()];
            let slopes = self.mask.as_ref().and_then(|mask| mask.slopes.as_deref());
            kernels::softmax(scores, self.n_keys, self.n_heads, self.keys(), slopes, &mut weights);
            <T as candle_core::WithDType>::to_cpu_storage_owned(weights)
        });
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, weights: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        fn run<T: Elem>(op: &SoftmaxOp, weights: &Tensor, grad: &Tensor) -> Result<Tensor> {
            let mask = op.keys();
            with_slice::<T, _>(weights, |w| {
                with_slice::<T, _>(grad, |dw| {
                    filled::<T>(weights, |ds| {
                        kernels::softmax_backward(w, dw, op.n_keys, op.n_heads, mask, ds);
                    })
                })
            })??
        }
        let grad = grad.contiguous()?;
        Ok(Some(by_dtype!(weights.dtype(), T => run::<T>(self, weights, &grad)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, same_on_both, sample};

    /// Two batch items, three queries, four keys: one query sees nothing, one is silent, one uniform.
    fn mask() -> Result<Mask> {
        let mut allowed = vec![true; 2 * 3 * 4];
        allowed[..4].fill(false);
        allowed[5] = false;
        let mut rows = vec![RowKind::Scored; 6];
        (rows[1], rows[4]) = (RowKind::Uniform, RowKind::Silent);
        Mask::new(KeyMask { allowed, rows: Some(rows), n_queries: 3, n_keys: 4 })
    }

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let q = sample("q", (2, 2, 3, 5))?;
        let (k, v) = (sample("k", (2, 2, 4, 5))?, sample("v", (2, 2, 4, 5))?);
        let mask = mask()?;
        let sloped = mask.with_slopes(&Arc::from([0.5, 0.25]));
        for mask in [None, Some(&mask), Some(&sloped)] {
            for ops in Ops::ALL {
                check(&[("q", &q), ("k", &k), ("v", &v)], || {
                    attention(ops, &q, &k, &v, 0.4, mask)?.sqr()?.sum_all()
                })?;
            }
        }
        Ok(())
    }

    #[test]
    fn the_kernel_equals_the_composed_form() -> Result<()> {
        let q = sample("q", (2, 4, 3, 5))?;
        let (k, v) = (sample("k", (2, 2, 4, 5))?, sample("v", (2, 2, 4, 5))?);
        let mask = mask()?;
        let sloped = mask.with_slopes(&Arc::from([0.5, 0.25, 0.125, 0.1]));
        for mask in [None, Some(&mask), Some(&sloped)] {
            same_on_both(&[&q, &k, &v], 1e-13, |ops| attention(ops, &q, &k, &v, 0.4, mask))?;
        }
        Ok(())
    }

    #[test]
    fn neighbouring_query_heads_share_a_key_head() -> Result<()> {
        let q = sample("q", (1, 4, 2, 3))?;
        let (k, v) = (sample("k", (1, 2, 2, 3))?, sample("v", (1, 2, 2, 3))?);
        let shared = attention(Ops::Kernels, &q, &k, &v, 1., None)?;
        for head in 0..4 {
            let one = |xs: &Tensor, head| xs.narrow(1, head, 1);
            let alone = attention(
                Ops::Kernels,
                &one(&q, head)?,
                &one(&k, head / 2)?,
                &one(&v, head / 2)?,
                1.,
                None,
            )?;
            let gap = (one(&shared, head)? - alone)?.abs()?.max_all()?.to_scalar::<f64>()?;
            assert!(gap < 1e-14, "{head}: {gap}");
        }
        check(&[("q", &q), ("k", &k), ("v", &v)], || {
            attention(Ops::Kernels, &q, &k, &v, 1., None)?.sqr()?.sum_all()
        })?;
        let error =
            attention(Ops::Kernels, &q, &*sample("k3", (1, 3, 2, 3))?, &v, 1., None).unwrap_err();
        assert!(error.to_string().contains("4 query heads cannot share 3"), "{error}");
        Ok(())
    }

    #[test]
    fn attention_of_which_nothing_is_kept_counts_as_our_kernel() -> Result<()> {
        let [q, k, v] = ["q", "k", "v"]
            .map(|name| sample(name, (1, 2, 3, 4)).unwrap().to_dtype(DType::F32).unwrap().detach());
        let before = crate::kernel_calls();
        attention(Ops::Composed, &q, &k, &v, 0.4, None)?;
        assert_eq!(crate::kernel_calls(), before);
        attention(Ops::Kernels, &q, &k, &v, 0.4, None)?;
        assert!(crate::kernel_calls() > before);
        Ok(())
    }

    #[test]
    fn inference_attends_as_training_does() -> Result<()> {
        let single = |name, shape: (usize, usize, usize, usize)| {
            sample(name, shape)?.as_detached_tensor().to_dtype(DType::F32)
        };
        let q = single("q", (2, 4, 3, 5))?;
        let (k, v) = (single("k", (2, 2, 6, 5))?, single("v", (2, 2, 6, 5))?);
        // keys that lie in a longer cache
        let (k, v) = (k.narrow(2, 0, 4)?, v.narrow(2, 0, 4)?);
        let mask = mask()?;
        let sloped = mask.with_slopes(&Arc::from([0.5, 0.25, 0.125, 0.1]));
        for mask in [None, Some(&mask), Some(&sloped)] {
            let traced = candle_core::Var::from_tensor(&q)?;
            let traced = attention(Ops::Kernels, traced.as_tensor(), &k, &v, 0.4, mask)?;
            let gap =
                (attention(Ops::Kernels, &q, &k, &v, 0.4, mask)? - traced)?.abs()?.max_all()?;
            assert!(gap.to_scalar::<f32>()? < 1e-6);
        }
        let longer = k.narrow(2, 0, 3)?;
        assert!(attention(Ops::Kernels, &q, &longer, &longer, 0.4, Some(&mask)).is_err());
        Ok(())
    }

    #[test]
    fn splitting_and_merging_heads_is_the_identity() -> Result<()> {
        let xs = sample("x", (2, 3, 8))?;
        let back = merge_heads(&split_heads(&xs, 4)?)?;
        assert_eq!(back.to_vec3::<f64>()?, xs.to_vec3::<f64>()?);
        Ok(())
    }

    #[test]
    fn a_mask_of_another_shape_is_an_error() -> Result<()> {
        assert!(softmax(Ops::Kernels, &*sample("s", (2, 2, 3, 5))?, Some(&mask()?)).is_err());
        Ok(())
    }
}
