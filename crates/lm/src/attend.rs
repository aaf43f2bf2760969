//! What the self-attention of every family does once its queries, keys and values stand.

use candle_core::{Result, Tensor};
use nn::{Mask, Ops, attention, merge_heads};

use crate::Cache;

/// The cache and the block's place in it; absent where nothing is kept.
pub(crate) type Past<'a> = Option<(usize, &'a mut Cache)>;

/// Appends keys and values to the past and attends over all of them.
///
/// Queries `(batch, n_heads, n_tokens, head_dim)`, keys and values `(batch, n_kv_heads, n_tokens,
/// head_dim)`; the result is `(batch, n_tokens, n_heads · head_dim)`.
pub(crate) fn attend(
    ops: Ops,
    q: &Tensor,
    k: Tensor,
    v: Tensor,
    scale: f64,
    mask: &Mask,
    past: Past,
) -> Result<Tensor> {
    let (k, v) = match past {
        Some((idx, cache)) => cache.extend(idx, &k, &v)?,
        None => (k, v),
    };
    merge_heads(&attention(ops, q, &k, &v, scale, Some(mask))?)
}
