//! Attention without a trace: the forward alone, for inference, over keys wherever they lie.
//!
//! The scores of a few queries of one head stand in a small buffer and never in memory.

#![allow(unsafe_code, reason = "the gemm crate takes pointers, and code is compiled for this CPU")]

use rayon::prelude::*;

use crate::product::{View, product};
use crate::softmax::{KeyMask, prepare};
use crate::vector::exp;

/// Queries of one head in a task.
const QUERIES: usize = 64;
/// Fewest queries of which the scores are a matrix product.
const MANY: usize = 6;
/// Products below which another thread costs more than it saves.
const GRAIN: usize = 1 << 16;

/// Heads of a batch, `(batch, n_heads, n_tokens, head_dim)`, whose entries lie side by side and
/// whose other dimensions lie as far apart as said.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    values: &'a [f32],
    dims: [usize; 4],
    strides: [usize; 3],
}

impl<'a> Heads<'a> {
    /// Nothing where an entry lies outside.
    pub fn new(values: &'a [f32], dims: [usize; 4], strides: [usize; 3]) -> Option<Self> {
        let last = |(n, stride): (&usize, &usize)| n.checked_sub(1).map(|last| last * stride);
        let start: Option<usize> = dims.iter().zip(&strides).map(last).sum();
        let inside = start.is_some_and(|start| start + dims[3] <= values.len());
        inside.then_some(Self { values, dims, strides })
    }

    /// The tokens of a head from one on.
    fn from(&self, batch: usize, head: usize, token: usize) -> &'a [f32] {
        let [batches, heads, tokens] = self.strides;
        &self.values[batch * batches + head * heads + token * tokens..]
    }

    fn token(&self, batch: usize, head: usize, token: usize) -> &'a [f32] {
        &self.from(batch, head, token)[..self.dims[3]]
    }
}

/// `softmax(q kᵀ · scale) v`, rows `(batch, n_heads, n_queries, head_dim)` one after the other; where
/// there are fewer key heads, neighbouring query heads share one.
///
/// Mask and slopes are those of [`softmax`](crate::softmax).
pub fn attention(
    q: &Heads,
    k: &Heads,
    v: &Heads,
    scale: f32,
    mask: Option<&KeyMask>,
    slopes: Option<&[f64]>,
    out: &mut [f32],
) {
    let [batch, n_heads, n_queries, dim] = q.dims;
    let [_, n_kv_heads, n_keys, _] = k.dims;
    let fits = k.dims == v.dims && (k.dims[0], k.dims[3]) == (batch, dim);
    assert!(fits && n_heads.is_multiple_of(n_kv_heads), "keys {:?} for {:?}", k.dims, q.dims);
    assert_eq!(out.len(), batch * n_heads * n_queries * dim, "an output for every query");
    let chunks = out
        .chunks_mut(n_queries * dim)
        .enumerate()
        .flat_map(|(head, out)| {
            out.chunks_mut(QUERIES * dim).enumerate().map(move |(chunk, out)| (head, chunk, out))
        })
        .collect::<Vec<_>>();
    let work = |buffer: &mut Vec<f32>, (head, chunk, out): (usize, usize, &mut [f32])| {
        let (item, head) = (head / n_heads, head % n_heads);
        let first = chunk * QUERIES;
        let shared = head / (n_heads / n_kv_heads);
        let n_rows = out.len() / dim;
        buffer.clear();
        buffer.resize(n_rows * (n_keys + dim), 0.);
        let (scores, queries) = buffer.split_at_mut(n_rows * n_keys);
        for (row, query) in queries.chunks_mut(dim).enumerate() {
            for (query, x) in query.iter_mut().zip(q.token(item, head, first + row)) {
                *query = x * scale;
            }
        }
        products(queries, (*k, item, shared), dim, scores);
        for (row, scores) in scores.chunks_mut(n_keys).enumerate() {
            let row = (item * n_heads + head) * n_queries + first + row;
            if prepare(scores, row, n_heads, mask, slopes) {
                weigh(scores);
            } else {
                scores.fill(0.);
            }
        }
        sums(scores, (*v, item, shared), n_keys, out);
    };
    if batch * n_heads * n_queries * n_keys * dim < GRAIN {
        let mut buffer = Vec::new();
        chunks.into_iter().for_each(|chunk| work(&mut buffer, chunk));
    } else {
        chunks.into_par_iter().for_each_init(Vec::new, work);
    }
}

/// One head's tokens.
type Head<'a> = (Heads<'a>, usize, usize);

/// `scores (n_rows, n_keys) = queries (n_rows, dim) · keysᵀ`.
fn products(queries: &[f32], (keys, item, head): Head, dim: usize, scores: &mut [f32]) {
    let n_rows = queries.len() / dim;
    let n_keys = scores.len() / n_rows;
    if n_rows < MANY {
        for (query, scores) in queries.chunks(dim).zip(scores.chunks_mut(n_keys)) {
            for (key, score) in scores.iter_mut().enumerate() {
                *score = dot(query, keys.token(item, head, key));
            }
        }
        return;
    }
    let keys = View::spaced(keys.from(item, head, 0), n_keys, dim, keys.strides[2]);
    product(View::rows(queries, dim), keys.t(), 1., false, scores);
}

/// `out (n_rows, dim) = weights (n_rows, n_keys) · values`.
fn sums(weights: &[f32], (values, item, head): Head, n_keys: usize, out: &mut [f32]) {
    let n_rows = weights.len() / n_keys;
    let dim = out.len() / n_rows;
    if n_rows < MANY {
        out.fill(0.);
        for (weights, out) in weights.chunks(n_keys).zip(out.chunks_mut(dim)) {
            for (key, &weight) in weights.iter().enumerate() {
                add(weight, values.token(item, head, key), out);
            }
        }
        return;
    }
    let values = View::spaced(values.from(item, head, 0), n_keys, dim, values.strides[2]);
    product(View::rows(weights, n_keys), values, 1., false, out);
}

/// Defines a function whose loops are compiled for AVX2 where the CPU has it.
macro_rules! for_this_cpu {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $t:ty),*) $(-> $out:ty)? $body:block) => {
        $(#[$doc])*
        fn $name($($arg: $t),*) $(-> $out)? {
            #[inline(always)]
            fn plain($($arg: $t),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            if crate::cpu::has_avx2() {
                #[target_feature(enable = "avx2,fma,f16c")]
                fn wide($($arg: $t),*) $(-> $out)? {
                    plain($($arg),*)
                }
                // SAFETY: the CPU has what the function was compiled for
                return unsafe { wide($($arg),*) };
            }
            plain($($arg),*)
        }
    };
}

/// Lanes of a sum.
const LANES: usize = 32;

for_this_cpu! {
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        let mut lanes = [0f32; LANES];
        for (a, b) in a.iter().zip(b) {
            for i in 0..LANES {
                lanes[i] += a[i] * b[i];
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        lanes.iter().sum::<f32>() + rest
    }
}

for_this_cpu! {
    /// `ys += weight · xs`.
    fn add(weight: f32, xs: &[f32], ys: &mut [f32]) {
        for (y, x) in ys.iter_mut().zip(xs) {
            *y += weight * x;
        }
    }
}

for_this_cpu! {
    /// Scores to weights that sum to one.
    fn weigh(scores: &mut [f32]) {
        let max = scores.iter().fold(f32::MIN, |max, &score| if score > max { score } else { max });
        for score in scores.iter_mut() {
            *score = exp::<false>(*score - max);
        }
        let (whole, rest) = scores.as_chunks::<LANES>();
        let mut lanes = [0f32; LANES];
        for chunk in whole {
            for i in 0..LANES {
                lanes[i] += chunk[i];
            }
        }
        let total = lanes.iter().sum::<f32>() + rest.iter().sum::<f32>();
        for score in scores {
            *score /= total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RowKind, softmax};

    fn numbers(n: usize, seed: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * seed).sin() * 2.).collect()
    }

    /// The definition, with the softmax of training.
    fn composed(q: &Heads, k: &Heads, v: &Heads, scale: f32, mask: &KeyMask) -> Vec<f32> {
        let ([batch, n_heads, n_queries, dim], n_keys) = (q.dims, k.dims[2]);
        let share = n_heads / k.dims[1];
        let rows = || {
            (0..batch).flat_map(move |b| {
                (0..n_heads).flat_map(move |h| (0..n_queries).map(move |i| (b, h, i)))
            })
        };
        let scores: Vec<f32> = rows()
            .flat_map(|(b, h, i)| {
                (0..n_keys).map(move |j| {
                    let pairs = q.token(b, h, i).iter().zip(k.token(b, h / share, j));
                    pairs.map(|(q, k)| q * scale * k).sum()
                })
            })
            .collect();
        let mut weights = vec![0.; scores.len()];
        let slopes: Vec<f64> = (0..n_heads).map(|h| 0.1 * h as f64).collect();
        softmax(&scores, n_keys, n_heads, Some(mask), Some(&slopes), &mut weights);
        let mut out = Vec::new();
        for ((b, h, _), weights) in rows().zip(weights.chunks(n_keys)) {
            for d in 0..dim {
                let terms = weights.iter().enumerate();
                out.push(terms.map(|(j, w)| w * v.token(b, h / share, j)[d]).sum());
            }
        }
        out
    }

    #[test]
    fn it_is_the_softmax_of_training_between_two_products() {
        for (n_queries, n_keys, dim, kv_heads) in
            [(1, 7, 64, 2), (3, 40, 20, 4), (70, 130, 33, 1), (9, 9, 1, 4)]
        {
            let (batch, n_heads, room) = (2, 4, n_keys + 3);
            let q = numbers(batch * n_heads * n_queries * dim, 0.37);
            let [k, v] = [0.73, 0.11].map(|seed| numbers(batch * kv_heads * room * dim, seed));
            let q = Heads::new(
                &q,
                [batch, n_heads, n_queries, dim],
                [n_heads * n_queries * dim, n_queries * dim, dim],
            );
            let kept = |xs| {
                let strides = [kv_heads * room * dim, room * dim, dim];
                Heads::new(xs, [batch, kv_heads, n_keys, dim], strides).expect("inside")
            };
            let (q, k, v) = (q.expect("inside"), kept(&k), kept(&v));
            let allowed = (0..batch * n_queries * n_keys).map(|i| i % 5 != 0 || i % 3 == 0);
            let mut rows = vec![RowKind::Scored; batch * n_queries];
            rows[n_queries] = RowKind::Uniform;
            rows[batch * n_queries - 1] = RowKind::Silent;
            let mask = KeyMask { allowed: allowed.collect(), rows: Some(rows), n_queries, n_keys };
            let mut ours = vec![f32::NAN; batch * n_heads * n_queries * dim];
            let slopes: Vec<f64> = (0..n_heads).map(|h| 0.1 * h as f64).collect();
            attention(&q, &k, &v, 0.2, Some(&mask), Some(&slopes), &mut ours);
            let theirs = composed(&q, &k, &v, 0.2, &mask);
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!((ours - theirs).abs() < 2e-6, "{n_queries} {ours} {theirs}");
            }
        }
    }

    #[test]
    fn heads_that_reach_outside_are_none() {
        let values = [0.; 11];
        assert!(Heads::new(&values, [1, 2, 3, 2], [6, 6, 2]).is_none());
        assert!(Heads::new(&values, [1, 2, 2, 2], [6, 6, 2]).is_some());
        assert!(Heads::new(&values, [1, 0, 2, 2], [6, 6, 2]).is_none());
    }
}
