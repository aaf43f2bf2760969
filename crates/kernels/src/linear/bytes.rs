//! Many input rows beside weights in `Q8_0`, both multiplied in bytes.

use rayon::prelude::*;

use super::tiled::{Factors, LINE, product};
use crate::After;
use crate::cpu::{Work, ask_for, widest};
use crate::format::BLOCK;
use crate::scratch;
use crate::tile::{self, ByteBlock, Left, OF_COLUMN, OF_ROW, ROWS, WIDE, WORDS, multiply_bytes};

/// Blocks of a part of a panel, which stays in the first cache while all rows pass.
const PART: usize = 16;

/// Whether [`linear`] may be called.
pub(super) fn is_there() -> bool {
    tile::bytes_are_there()
}

/// `ys = after(bytes(xs) Wᵀ)`.
pub(super) fn linear(xs: &[f32], weights: &[u8], n_in: usize, after: &After, ys: &mut [f32]) {
    let (n_rows, n_blocks) = (xs.len() / n_in, n_in / BLOCK);
    let n_columns = ys.len() / n_rows;
    // an odd number of cache lines, so that rows do not push each other out of the caches
    let stride = ((n_blocks * OF_ROW).div_ceil(LINE) | 1) * LINE;
    scratch::with(n_rows * stride, |rounded| {
        let rows = rounded.par_chunks_mut(ROWS * stride).zip(xs.par_chunks(ROWS * n_in));
        rows.for_each(|(rounded, xs)| {
            for (rounded, xs) in rounded.chunks_mut(stride).zip(xs.chunks(n_in)) {
                widest(Bytes(xs, &mut rounded[..n_blocks * OF_ROW]));
            }
        });
        let (n_terms, depth) = (n_blocks * OF_COLUMN, PART * OF_COLUMN);
        let factors = Factors { xs: rounded, stride, n_terms, depth, n_columns };
        let blocks = weights.as_chunks().0;
        let multiply = |rows: Left, start: usize, panel: &[f32], room, sums: &mut [f32]| {
            multiply_bytes(rows, n_blocks, start / OF_COLUMN, panel, room, sums);
        };
        product(&factors, after, ys, multiply, |columns, terms, panel| {
            let there = terms.start / OF_COLUMN..terms.end / OF_COLUMN;
            let row = |at: usize| at * n_blocks + there.start..at * n_blocks + there.end;
            for column in columns.clone() {
                // the next panel comes from memory while this one is multiplied
                let next = row(column + WIDE);
                ask_for::<ByteBlock>(blocks, next.start, next.end);
            }
            let rows = &blocks[row(columns.start).start..];
            tile::pack_bytes(rows, n_blocks, there.len(), columns.len(), panel);
        });
    });
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
        let (words, rest) = self.1.split_at_mut(blocks.len() * WORDS);
        let (firsts, scales) = rest.split_at_mut(blocks.len());
        let places = words.as_chunks_mut::<WORDS>().0.iter_mut().zip(firsts).zip(scales);
        for (xs, ((words, first), place)) in blocks.iter().zip(places) {
            let (numbers, scale) = round(xs);
            let bytes = numbers.map(i8::cast_unsigned);
            for (word, four) in words.iter_mut().zip(bytes.as_chunks().0) {
                *word = f32::from_bits(u32::from_le_bytes(*four));
            }
            let sum: i32 = numbers.iter().map(|&it| i32::from(it)).sum();
            *first = f32::from_bits((-128 * sum).cast_unsigned());
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
