//! Attention of many queries in AVX-512, in one pass over the keys.
//!
//! Keys and values of a head are packed into panels once (see [`tile`]). Queries pass
//! in groups whose scores with a block of keys stay in the first cache: scores, mask, exponentials and
//! the weighted sum of values follow each other there. Each query keeps the largest score so far, the
//! sum of exponentials below it and the weighted sum, which are scaled down when a larger score comes
//! (Milakov and Gimelshein 2018), so the number of keys bounds nothing. Keys and values of a block stay
//! in the second cache while the groups pass.
//!
//! Blocks of keys begin at multiples of [`KEYS`], so threads, batch and groups change no bit.

use rayon::prelude::*;

use super::{Block, Inputs, QUERIES};
use crate::cpu::{Work, widest};
use crate::scratch;
use crate::softmax::prepare;
use crate::tile::{self, Left, NARROW, ROWS, Single, WIDE, multiply, packed_len};
use crate::vector::{exp, exp_minus_with, largest_with};

/// Keys of a block.
const KEYS: usize = 256;
/// Queries of a group.
const GROUP: usize = 2 * ROWS;
/// Heads of keys a thread from which on a task packs its own.
const HEADS: usize = 4;

/// Attends for all blocks of queries.
pub(super) fn attend(inputs: &Inputs, blocks: Vec<Block>) {
    let [batch, n_kv_heads, n_keys, dim] = inputs.k.dims;
    let n_units = batch * n_kv_heads;
    let unit_of = |block: &Block| block.item * n_kv_heads + inputs.kv_head(block.head);
    let length = packed_len(dim, n_keys) + packed_len(n_keys, dim);
    if n_units < HEADS * rayon::current_num_threads() {
        scratch::with(n_units * length, |packed| {
            let units = packed.par_chunks_mut(length).enumerate();
            units.for_each(|(unit, packed)| pack(inputs, unit, packed));
            let packed = &*packed;
            blocks.into_par_iter().with_max_len(1).for_each(|block| {
                let unit = unit_of(&block);
                attend_block(inputs, &packed[unit * length..][..length], block);
            });
        });
        return;
    }
    let mut units: Vec<Vec<Block>> = (0..n_units).map(|_| Vec::new()).collect();
    for block in blocks {
        units[unit_of(&block)].push(block);
    }
    units.into_par_iter().enumerate().for_each(|(unit, blocks)| {
        scratch::with(length, |packed| {
            pack(inputs, unit, packed);
            blocks.into_iter().for_each(|block| attend_block(inputs, packed, block));
        });
    });
}

/// Keys as columns, then values as terms.
fn pack(inputs: &Inputs, unit: usize, packed: &mut [f32]) {
    let [_, n_kv_heads, n_keys, dim] = inputs.k.dims;
    let (item, head) = (unit / n_kv_heads, unit % n_kv_heads);
    let (keys, values) = packed.split_at_mut(packed_len(dim, n_keys));
    inputs.k.with_rows(item, head, |rows, stride| {
        tile::pack_columns(rows, stride, dim, n_keys, keys);
    });
    inputs.v.with_rows(item, head, |rows, stride| {
        tile::pack_rows(rows, stride, n_keys, dim, values);
    });
}

/// The largest score of a query and the sum of exponentials of its scores less that one.
#[derive(Clone, Copy)]
struct Moments {
    largest: f32,
    sum: f32,
}

fn attend_block(inputs: &Inputs, packed: &[f32], block: Block) {
    let [_, _, n_keys, dim] = inputs.k.dims;
    let Block { item, head, first, mut out } = block;
    let (n_rows, wide) = (out.len(), dim.next_multiple_of(NARROW));
    let (keys, values) = packed.split_at(packed_len(dim, n_keys));
    let mut moments = [Moments { largest: f32::MIN, sum: 0. }; QUERIES];
    scratch::with(n_rows * (dim + wide) + GROUP * KEYS, |buffer| {
        let (queries, buffer) = buffer.split_at_mut(n_rows * dim);
        let (sums, scores) = buffer.split_at_mut(n_rows * wide);
        inputs.q.scaled(item, head, first, inputs.scale, queries);
        sums.fill(0.);
        for start in (0..n_keys).step_by(KEYS) {
            let n = KEYS.min(n_keys - start);
            let groups = queries.chunks(GROUP * dim).zip(sums.chunks_mut(GROUP * wide));
            for (group, (queries, sums)) in groups.enumerate() {
                let (at, n_rows) = (group * GROUP, queries.len() / dim);
                let left = Left { entries: queries, stride: dim, n_rows };
                for key in (0..n).step_by(WIDE) {
                    let room = tile::room(n - key);
                    let panel = &keys[(start + key) * dim..][..room * dim];
                    multiply::<Single>(left, panel, dim, false, &mut scores[key..], KEYS);
                }
                widest(Weigh {
                    inputs,
                    row: inputs.row(item, head, first + at),
                    keys: (start, n),
                    scores: &mut scores[..n_rows * KEYS],
                    sums,
                    moments: &mut moments[at..at + n_rows],
                });
                let left = Left { entries: scores, stride: KEYS, n_rows };
                for column in (0..dim).step_by(WIDE) {
                    let room = tile::room(dim - column);
                    let panel = &values[column * n_keys + start * room..][..n * room];
                    multiply::<Single>(left, panel, n, true, &mut sums[column..], wide);
                }
            }
        }
        for ((out, sums), moments) in out.iter_mut().zip(sums.chunks(wide)).zip(moments) {
            // a query that looks at nothing has no sum
            let total = if moments.sum > 0. { moments.sum } else { 1. };
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum / total);
        }
    });
}

/// The scores of a group of queries with a block of keys become weights.
struct Weigh<'a> {
    inputs: &'a Inputs<'a>,
    /// Of the first query, among all of the batch.
    row: usize,
    /// The first key of the block, and how many there are.
    keys: (usize, usize),
    scores: &'a mut [f32],
    sums: &'a mut [f32],
    moments: &'a mut [Moments],
}

impl Work for Weigh<'_> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Inputs { q, mask, slopes, .. } = *self.inputs;
        let (first, n) = self.keys;
        let wide = self.sums.len() / self.moments.len();
        let rows = self.scores.chunks_mut(KEYS).zip(self.sums.chunks_mut(wide));
        for (at, ((scores, sums), moments)) in rows.zip(self.moments).enumerate() {
            let scores = &mut scores[..n];
            if !prepare(scores, first, self.row + at, q.dims[1], mask, slopes) {
                scores.fill(0.);
                continue;
            }
            let largest = largest_with(scores);
            if largest > moments.largest {
                let shrink = exp::<FMA>(moments.largest - largest);
                *moments = Moments { largest, sum: moments.sum * shrink };
                sums.iter_mut().for_each(|sum| *sum *= shrink);
            }
            moments.sum += exp_minus_with::<FMA>(scores, moments.largest);
        }
    }
}
