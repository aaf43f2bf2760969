//! Many input rows beside weights in `Q8_0`, both multiplied in bytes.

#![allow(clippy::large_stack_arrays, reason = "44 KiB, filled again and again")]

use std::ops::Range;

use rayon::prelude::*;

use super::many::DEPTH;
use super::tiled::{Factors, product};
use crate::After;
use crate::cpu::{Work, ask_for, widest};
use crate::format::BLOCK;
use crate::scratch;
use crate::tile::{self, Left, ROWS, WIDE, WORDS, multiply_bytes};

/// Blocks that are packed at a time.
const PART: usize = DEPTH / WORDS;
/// From a column of a copied piece to the next: words, sums and scales, and an odd number of lines.
const STRIDE: usize = PART * (WORDS + 2) + NARROW;
const NARROW: usize = tile::NARROW;

/// Whether [`linear`] may be called.
pub(super) fn is_there() -> bool {
    tile::bytes_are_there()
}

/// `ys = after(bytes(xs) Wᵀ)`.
pub(super) fn linear(xs: &[f32], weights: &[u8], n_in: usize, after: &After, ys: &mut [f32]) {
    let (n_rows, n_blocks) = (xs.len() / n_in, n_in / BLOCK);
    let n_columns = ys.len() / n_rows;
    let stride = n_blocks * (WORDS + 1);
    scratch::with(n_rows * stride, |rounded| {
        let rows = rounded.par_chunks_mut(ROWS * stride).zip(xs.par_chunks(ROWS * n_in));
        rows.for_each(|(rounded, xs)| {
            for (rounded, xs) in rounded.chunks_mut(stride).zip(xs.chunks(n_in)) {
                widest(Bytes(xs, rounded));
            }
        });
        let factors = Factors { xs: rounded, stride, n_terms: n_blocks * (WORDS + 2), n_columns };
        let multiply = |rows: Left, panel: &[f32], _, sums: &mut [f32]| {
            multiply_bytes(rows, panel, n_blocks, sums);
        };
        product(&factors, after, ys, multiply, |columns, panel| {
            pack(weights, n_blocks, columns, panel);
        });
    });
}

/// Packs rows of weights as columns of a panel.
fn pack(weights: &[u8], n_blocks: usize, columns: Range<usize>, panel: &mut [f32]) {
    let (n, room) = (columns.len(), tile::room(columns.len()));
    let blocks = weights.as_chunks::<{ 2 + BLOCK }>().0;
    let (words, rest) = panel.split_at_mut(n_blocks * WORDS * room);
    let (firsts, scales) = rest.split_at_mut(n_blocks * room);
    let mut copied = [0.; WIDE * STRIDE];
    for start in (0..n_blocks).step_by(PART) {
        let there = start..n_blocks.min(start + PART);
        for (column, copied) in columns.clone().zip(copied.chunks_mut(STRIDE)) {
            let row = &blocks[column * n_blocks..(column + 1) * n_blocks];
            // the next panel comes from memory while this one is multiplied
            let next = (column + WIDE) * n_blocks;
            ask_for(blocks, next + there.start, next + there.end);
            let (words, rest) = copied.split_at_mut(PART * WORDS);
            let (firsts, scales) = rest.split_at_mut(PART);
            let places = words.as_chunks_mut::<WORDS>().0.iter_mut().zip(firsts).zip(scales);
            for (block, ((words, first), scale)) in row[there.clone()].iter().zip(places) {
                let [low, high, bytes @ ..] = block;
                *scale = half::f16::from_le_bytes([*low, *high]).to_f32();
                for (word, four) in words.iter_mut().zip(bytes.as_chunks().0) {
                    *word = f32::from_bits(u32::from_le_bytes(*four));
                }
                let sum: i32 = bytes.iter().map(|it| i32::from(it.cast_signed())).sum();
                *first = f32::from_bits((-128 * sum).cast_unsigned());
            }
        }
        let part = |per_block: usize| there.start * per_block * room..there.end * per_block * room;
        tile::pack_columns(&copied, STRIDE, there.len() * WORDS, n, &mut words[part(WORDS)]);
        let copied = &copied[PART * WORDS..];
        tile::pack_columns(copied, STRIDE, there.len(), n, &mut firsts[part(1)]);
        tile::pack_columns(&copied[PART..], STRIDE, there.len(), n, &mut scales[part(1)]);
    }
}

/// Rounds a block of inputs to bytes: the largest magnitude becomes 127, ties go to even; what is no
/// number makes the scale none.
#[inline(always)]
fn round(xs: &[f32; BLOCK]) -> ([i8; BLOCK], f32) {
    /// Adding it leaves the rounded number in the lowest bits.
    const ROUND: f32 = 12_582_912.;
    // as bits, magnitudes are ordered like numbers, and what is none comes after them all
    let largest = xs.iter().fold(0, |largest, x| largest.max(x.to_bits() & (u32::MAX >> 1)));
    let largest = f32::from_bits(largest);
    let inverse = if largest > 0. { 127. / largest } else { 0. };
    let inverse = if inverse.is_finite() { inverse } else { 0. };
    (xs.map(|x| (x * inverse + ROUND).to_bits() as i8), largest / 127.)
}

/// A row as [`multiply_bytes`] takes it.
struct Bytes<'a>(&'a [f32], &'a mut [f32]);

impl Work for Bytes<'_> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let blocks = self.0.as_chunks::<BLOCK>().0;
        let (words, scales) = self.1.split_at_mut(blocks.len() * WORDS);
        let places = words.as_chunks_mut::<WORDS>().0.iter_mut().zip(scales);
        for (xs, (words, place)) in blocks.iter().zip(places) {
            let (numbers, scale) = round(xs);
            let bytes = numbers.map(|it| it.cast_unsigned() ^ 128);
            for (word, four) in words.iter_mut().zip(bytes.as_chunks().0) {
                *word = f32::from_bits(u32::from_le_bytes(*four));
            }
            *place = scale;
        }
    }
}

/// What rows rounded to bytes stand for.
pub(super) struct Stands<'a>(pub(super) &'a [f32], pub(super) &'a mut [f32]);

impl Work for Stands<'_> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (xs, ys) in self.0.as_chunks().0.iter().zip(self.1.as_chunks_mut::<BLOCK>().0) {
            let (numbers, scale) = round(xs);
            *ys = numbers.map(|it| f32::from(it) * scale);
        }
    }
}
