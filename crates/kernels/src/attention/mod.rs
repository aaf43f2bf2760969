//! Softmax attention that never holds its matrix.
//!
//! Keys pass in blocks. Each query keeps the largest score so far, the sum of exponentials below it
//! and the weighted sum of values, which are scaled down when a larger score comes (Milakov and
//! Gimelshein 2018; Rabe and Staats 2021). The backward pass makes the weights again, block by block
//! (Dao et al. 2022, algorithm 4).

mod backward;
mod forward;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::Real;
use crate::product::{View, product};

/// Queries of a block.
const QUERIES: usize = 128;
/// Keys of a block.
const KEYS: usize = 512;

/// The sizes of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// Items of the batch.
    pub batch: usize,
    /// Heads of the queries of one item.
    pub n_heads: usize,
    /// Heads of its keys and values; neighbouring query heads share one.
    pub n_kv_heads: usize,
    /// Queries of one item.
    pub n_queries: usize,
    /// Keys of one item.
    pub n_keys: usize,
    /// Width of a head.
    pub head_dim: usize,
}

impl AttentionShape {
    /// Entries of the queries, and of the result.
    pub fn n_query_entries(&self) -> usize {
        self.batch * self.n_heads * self.n_queries * self.head_dim
    }

    /// Entries of the keys, and of the values.
    pub fn n_key_entries(&self) -> usize {
        self.batch * self.n_kv_heads * self.n_keys * self.head_dim
    }
}

/// The largest score of a query and the sum of exponentials of its scores less that one: what the
/// backward pass needs to make the weights again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments<T> {
    largest: T,
    sum: T,
}

/// `softmax(q kᵀ · scale) v`, of queries `(batch, n_heads, n_queries, head_dim)`, keys and values
/// `(batch, n_kv_heads, n_keys, head_dim)`.
///
/// The scale multiplies the queries before the product. Where no key is allowed, all weigh the same,
/// as under [`KeyMask`](crate::KeyMask).
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a, T> {
    shape: AttentionShape,
    queries: &'a [T],
    keys: &'a [T],
    values: &'a [T],
    scale: T,
    /// `(batch, n_keys)`.
    allowed: Option<&'a [bool]>,
}

impl<'a, T: Real> Attention<'a, T> {
    /// Nothing where a slice is not as long as the shape says, or query heads cannot share key heads.
    pub fn new(
        shape: AttentionShape,
        queries: &'a [T],
        keys: &'a [T],
        values: &'a [T],
        scale: f64,
        allowed: Option<&'a [bool]>,
    ) -> Option<Self> {
        let shared = shape.n_kv_heads > 0 && shape.n_heads.is_multiple_of(shape.n_kv_heads);
        let whole = shape.head_dim > 0
            && queries.len() == shape.n_query_entries()
            && keys.len() == shape.n_key_entries()
            && values.len() == keys.len()
            && allowed.is_none_or(|allowed| allowed.len() == shape.batch * shape.n_keys);
        (shared && whole).then(|| Self {
            shape,
            queries,
            keys,
            values,
            scale: T::of(scale),
            allowed,
        })
    }

    /// The head of the keys that head `head` of all items' queries looks at.
    fn kv_head(&self, head: usize) -> usize {
        head / (self.shape.n_heads / self.shape.n_kv_heads)
    }

    /// Rows of a head of the queries, or of anything of their shape.
    fn query_rows<'b>(&self, xs: &'b [T], head: usize, rows: &Range<usize>) -> &'b [T] {
        let AttentionShape { n_queries, head_dim, .. } = self.shape;
        &xs[(head * n_queries + rows.start) * head_dim..][..rows.len() * head_dim]
    }

    /// Rows of a head of the keys, or of the values.
    fn key_rows<'b>(&self, xs: &'b [T], kv_head: usize, rows: &Range<usize>) -> &'b [T] {
        let AttentionShape { n_keys, head_dim, .. } = self.shape;
        &xs[(kv_head * n_keys + rows.start) * head_dim..][..rows.len() * head_dim]
    }

    /// Queries of a block, already scaled, in `out`.
    fn scaled(&self, head: usize, rows: &Range<usize>, out: &mut Vec<T>) {
        out.clear();
        out.extend(self.query_rows(self.queries, head, rows).iter().map(|&q| q * self.scale));
    }

    /// Which of these keys the queries of a head may see.
    fn allowed(&self, head: usize, keys: &Range<usize>) -> Option<&'a [bool]> {
        let item = head / self.shape.n_heads;
        self.allowed.map(|allowed| &allowed[item * self.shape.n_keys..][keys.clone()])
    }

    /// Scores of scaled queries with a block of keys, the lowest finite number where not allowed.
    fn scores(&self, scaled: &[T], head: usize, keys: &Range<usize>, scores: &mut [T]) {
        let dim = self.shape.head_dim;
        let block = self.key_rows(self.keys, self.kv_head(head), keys);
        product(View::rows(scaled, dim), View::rows(block, dim).t(), T::ONE, false, scores);
        if let Some(allowed) = self.allowed(head, keys) {
            for row in scores.chunks_mut(keys.len()) {
                for (score, _) in row.iter_mut().zip(allowed).filter(|(_, allowed)| !**allowed) {
                    *score = T::LOWEST;
                }
            }
        }
    }
}

/// Cuts `0..n` into blocks of at most `size`, as equal as can be.
fn blocks(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    let count = n.div_ceil(size);
    (0..count).map(move |block| block * n / count..(block + 1) * n / count)
}
