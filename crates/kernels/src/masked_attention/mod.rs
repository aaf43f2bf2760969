//! Attention without a trace: the forward alone, for inference, over keys wherever they lie.
//!
//! ```text
//! queries, keys, values (batch, heads, tokens, head_dim), at any strides or in any order of rows
//! result                (batch, tokens, heads, head_dim), as the projection that follows reads it
//! ```
//! The scores of a few queries of one head stand in a small buffer and never in memory. A few queries,
//! as decoding has them, are multiplied one by one; more go through [`tiled`], or, on CPUs without
//! AVX-512, through matrix products of the gemm crate.

#![allow(unsafe_code, reason = "code is compiled for this CPU")]

mod tiled;

use rayon::prelude::*;

use crate::columns::columns;
use crate::product::{View, product};
use crate::softmax::{KeyMask, prepare};
use crate::vector::{exp_minus, largest};
use crate::{scratch, tile};

/// Queries of one head in a task.
const QUERIES: usize = 96;
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
    /// The row of each token of each item, which takes the place of the first stride.
    order: Option<&'a [u32]>,
}

impl<'a> Heads<'a> {
    /// Nothing where an entry lies outside.
    pub fn new(values: &'a [f32], dims: [usize; 4], strides: [usize; 3]) -> Option<Self> {
        let last = |(n, stride): (&usize, &usize)| n.checked_sub(1).map(|last| last * stride);
        let start: Option<usize> = dims.iter().zip(&strides).map(last).sum();
        let inside = start.is_some_and(|start| start + dims[3] <= values.len());
        inside.then_some(Self { values, dims, strides, order: None })
    }

    /// Heads that begin `first` entries into rows of `row` entries and stand there side by side; the
    /// tokens of the batch are the rows that `order` names, item after item. Nothing where an entry
    /// lies outside.
    pub fn gathered(
        values: &'a [f32],
        dims: [usize; 4],
        first: usize,
        row: usize,
        order: &'a [u32],
    ) -> Option<Self> {
        let [batch, n_heads, n_tokens, dim] = dims;
        let n_rows = values.len().checked_div(row)?;
        let inside = first + n_heads * dim <= row
            && order.len() == batch * n_tokens
            && order.iter().all(|&at| (at as usize) < n_rows);
        let values = values.get(first..)?;
        (inside && dims.iter().all(|&n| n > 0)).then_some(Self {
            values,
            dims,
            strides: [0, dim, row],
            order: Some(order),
        })
    }

    /// The tokens of a head from one on.
    fn from(&self, batch: usize, head: usize, token: usize) -> &'a [f32] {
        let [batches, heads, tokens] = self.strides;
        let row = match self.order {
            Some(order) => order[batch * self.dims[2] + token] as usize * tokens,
            None => batch * batches + token * tokens,
        };
        &self.values[row + head * heads..]
    }

    fn token(&self, batch: usize, head: usize, token: usize) -> &'a [f32] {
        &self.from(batch, head, token)[..self.dims[3]]
    }

    /// Runs `f` on all tokens of a head and the distance from one to the next.
    fn with_rows<R>(&self, batch: usize, head: usize, f: impl FnOnce(&[f32], usize) -> R) -> R {
        let [_, _, n_tokens, dim] = self.dims;
        if self.order.is_none() {
            return f(self.from(batch, head, 0), self.strides[2]);
        }
        scratch::with(n_tokens * dim, |rows| {
            for (token, row) in rows.chunks_mut(dim).enumerate() {
                row.copy_from_slice(self.token(batch, head, token));
            }
            f(rows, dim)
        })
    }

    /// Copies tokens of a head, multiplied by a number.
    fn scaled(&self, batch: usize, head: usize, first: usize, scale: f32, out: &mut [f32]) {
        for (row, out) in out.chunks_mut(self.dims[3]).enumerate() {
            for (out, x) in out.iter_mut().zip(self.token(batch, head, first + row)) {
                *out = x * scale;
            }
        }
    }
}

/// Whether [`attention`] of many queries streams its keys, so that no length is too long for it.
pub fn attention_streams() -> bool {
    tile::is_there()
}

/// What all heads share.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    q: Heads<'a>,
    k: Heads<'a>,
    v: Heads<'a>,
    scale: f32,
    mask: Option<&'a KeyMask>,
    slopes: Option<&'a [f64]>,
}

/// Neighbouring queries of one head, and their rows of the result.
struct Block<'a> {
    item: usize,
    head: usize,
    first: usize,
    out: Vec<&'a mut [f32]>,
}

impl Inputs<'_> {
    /// The head of the keys that a head of the queries looks at.
    fn kv_head(&self, head: usize) -> usize {
        head / (self.q.dims[1] / self.k.dims[1])
    }

    /// The row of a query's scores among all of `(batch, n_heads, n_queries)`.
    fn row(&self, item: usize, head: usize, query: usize) -> usize {
        (item * self.q.dims[1] + head) * self.q.dims[2] + query
    }
}

/// `softmax(q kᵀ · scale) v`, as `(batch, n_queries, n_heads, head_dim)`; where there are fewer key
/// heads, neighbouring query heads share one.
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
    let inputs = Inputs { q: *q, k: *k, v: *v, scale, mask, slopes };
    let width = n_heads * dim;
    let blocks = out.chunks_mut(n_queries * width).enumerate().flat_map(|(item, out)| {
        out.chunks_mut(QUERIES * width).enumerate().flat_map(move |(block, out)| {
            columns(out, width, dim).into_iter().map(move |(column, out)| Block {
                item,
                head: column / dim,
                first: block * QUERIES,
                out,
            })
        })
    });
    let blocks: Vec<_> = blocks.collect();
    if n_queries >= MANY && tile::is_there() {
        tiled::attend(&inputs, blocks);
    } else if batch * n_heads * n_queries * n_keys * dim < GRAIN {
        blocks.into_iter().for_each(|block| inputs.attend(block));
    } else {
        blocks.into_par_iter().for_each(|block| inputs.attend(block));
    }
}

impl Inputs<'_> {
    /// One block of queries, all scores of a query at once.
    fn attend(&self, block: Block) {
        let Block { item, head, first, mut out } = block;
        let (n_rows, n_keys, dim) = (out.len(), self.k.dims[2], self.q.dims[3]);
        scratch::with(n_rows * (n_keys + 2 * dim), |buffer| {
            let (scores, buffer) = buffer.split_at_mut(n_rows * n_keys);
            let (queries, sums) = buffer.split_at_mut(n_rows * dim);
            self.q.scaled(item, head, first, self.scale, queries);
            self.products(queries, item, head, scores);
            for (row, scores) in scores.chunks_mut(n_keys).enumerate() {
                let (n_heads, row) = (self.q.dims[1], self.row(item, head, first + row));
                if prepare(scores, 0, row, n_heads, self.mask, self.slopes) {
                    weigh(scores);
                } else {
                    scores.fill(0.);
                }
            }
            self.sums(scores, item, head, sums);
            for (out, sums) in out.iter_mut().zip(sums.chunks(dim)) {
                out.copy_from_slice(sums);
            }
        });
    }

    /// `scores (n_rows, n_keys) = queries (n_rows, dim) · keysᵀ`.
    fn products(&self, queries: &[f32], item: usize, head: usize, scores: &mut [f32]) {
        let [_, _, n_keys, dim] = self.k.dims;
        let head = self.kv_head(head);
        if self.q.dims[2] < MANY {
            for (query, scores) in queries.chunks(dim).zip(scores.chunks_mut(n_keys)) {
                for (key, score) in scores.iter_mut().enumerate() {
                    *score = dot(query, self.k.token(item, head, key));
                }
            }
            return;
        }
        self.k.with_rows(item, head, |keys, stride| {
            let keys = View::spaced(keys, n_keys, dim, stride);
            product(View::rows(queries, dim), keys.t(), 1., false, scores);
        });
    }

    /// `out (n_rows, dim) = weights (n_rows, n_keys) · values`.
    fn sums(&self, weights: &[f32], item: usize, head: usize, out: &mut [f32]) {
        let [_, _, n_keys, dim] = self.k.dims;
        let head = self.kv_head(head);
        if self.q.dims[2] < MANY {
            out.fill(0.);
            for (weights, out) in weights.chunks(n_keys).zip(out.chunks_mut(dim)) {
                for (key, &weight) in weights.iter().enumerate() {
                    add(weight, self.v.token(item, head, key), out);
                }
            }
            return;
        }
        self.v.with_rows(item, head, |values, stride| {
            let values = View::spaced(values, n_keys, dim, stride);
            product(View::rows(weights, n_keys), values, 1., false, out);
        });
    }
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

/// Scores to weights that sum to one.
fn weigh(scores: &mut [f32]) {
    let total = exp_minus(scores, largest(scores));
    scores.iter_mut().for_each(|score| *score /= total);
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
        merged(&out, q.dims)
    }

    /// `(batch, n_heads, n_queries, dim)` as `(batch, n_queries, n_heads, dim)`.
    fn merged(xs: &[f32], [batch, n_heads, n_queries, dim]: [usize; 4]) -> Vec<f32> {
        let at = |b, i, h| ((b * n_heads + h) * n_queries + i) * dim;
        let rows = (0..batch).flat_map(|b| (0..n_queries).map(move |i| (b, i)));
        let rows = rows.flat_map(|(b, i)| (0..n_heads).map(move |h| at(b, i, h)));
        rows.flat_map(|at| xs[at..at + dim].to_vec()).collect()
    }

    #[test]
    fn it_is_the_softmax_of_training_between_two_products() {
        for (n_queries, n_keys, dim, kv_heads) in [
            (1, 7, 64, 2),
            (3, 40, 20, 4),
            (70, 130, 33, 1),
            (9, 9, 1, 4),
            (100, 531, 17, 2),
            (201, 256, 12, 4),
        ] {
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
                assert!((ours - theirs).abs() < 5e-6, "{n_queries} {ours} {theirs}");
            }
        }
    }

    #[test]
    fn rows_in_any_order_are_those_laid_out_in_it() {
        let (batch, n_heads, dim, n_rows) = (3, 2, 5, 50);
        for n_tokens in [2, 40] {
            let row = 3 * n_heads * dim;
            let qkv = numbers(n_rows * row, 0.31);
            let order: Vec<u32> =
                (0..batch * n_tokens).map(|i| ((i * 17 + 3) % n_rows) as u32).collect();
            let dims = [batch, n_heads, n_tokens, dim];
            let third = |at: usize| {
                let gathered = Heads::gathered(&qkv, dims, at * n_heads * dim, row, &order);
                let gathered = gathered.expect("inside");
                let tokens = (0..batch * n_heads * n_tokens).map(|i| {
                    let (b, h, t) = (i / n_tokens / n_heads, i / n_tokens % n_heads, i % n_tokens);
                    gathered.token(b, h, t).to_vec()
                });
                (gathered, tokens.flatten().collect::<Vec<f32>>())
            };
            let [q, k, v] = [third(0), third(1), third(2)];
            let laid_out = |xs| {
                let strides = [n_heads * n_tokens * dim, n_tokens * dim, dim];
                Heads::new(xs, dims, strides).expect("inside")
            };
            let mut ours = vec![f32::NAN; batch * n_tokens * n_heads * dim];
            let mut theirs = ours.clone();
            attention(&q.0, &k.0, &v.0, 0.3, None, None, &mut ours);
            let [q, k, v] = [&q.1, &k.1, &v.1].map(|xs| laid_out(xs));
            attention(&q, &k, &v, 0.3, None, None, &mut theirs);
            assert_eq!(ours, theirs);
        }
        let values = [0.; 12];
        assert!(Heads::gathered(&values, [1, 2, 2, 2], 0, 4, &[2, 0]).is_some());
        assert!(Heads::gathered(&values, [1, 2, 2, 2], 1, 4, &[2, 0]).is_none());
        assert!(Heads::gathered(&values, [1, 2, 2, 2], 0, 4, &[3, 0]).is_none());
        assert!(Heads::gathered(&values, [1, 2, 2, 2], 0, 4, &[1]).is_none());
    }

    #[test]
    fn neither_threads_nor_the_batch_change_a_bit() {
        let (n_heads, n_tokens, dim) = (3, 300, 12);
        let width = n_heads * dim;
        let attend = |n_threads: usize, batch: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build();
            let xs = numbers(batch * n_tokens * width, 0.57);
            let heads =
                Heads::new(&xs, [batch, n_heads, n_tokens, dim], [n_tokens * width, dim, width]);
            let heads = heads.expect("inside");
            let mut out = vec![f32::NAN; xs.len()];
            let mut run = || attention(&heads, &heads, &heads, 0.4, None, None, &mut out);
            pool.expect("a pool").install(&mut run);
            out.truncate(n_tokens * width);
            out
        };
        let one = attend(1, 1);
        assert!(one == attend(3, 1) && one == attend(1, 40) && one == attend(2, 40));
    }

    #[test]
    fn heads_that_reach_outside_are_none() {
        let values = [0.; 11];
        assert!(Heads::new(&values, [1, 2, 3, 2], [6, 6, 2]).is_none());
        assert!(Heads::new(&values, [1, 2, 2, 2], [6, 6, 2]).is_some());
        assert!(Heads::new(&values, [1, 0, 2, 2], [6, 6, 2]).is_none());
    }
}
