//! Many input rows beside weights in bf16, in the tiles of AMX.
//!
//! ```text
//! left tile                 right tile                sums
//! 16 outputs × 32 inputs    32 inputs × 16 rows       16 outputs × 16 rows, f32
//! of the weights, as stored of the inputs, by pairs
//! ```
//! The weights are the left matrix, because their rows are left tiles as they lie in the file: nothing
//! is packed at load and no second copy is kept. A strip of 32 outputs is copied, 256 inputs at a time,
//! to where its tiles lie one after the other in the first cache, while the next part is asked for
//! from memory; it then meets all rows. Those are rounded to bf16 and packed once for all strips. Two
//! by two tiles of sums stand in registers, so that four products need four loads; between parts they
//! wait in the second cache. At the end sums are turned over and finished.
//!
//! Every sum runs over its inputs in the same order, whatever the number of rows and threads.

#![allow(unsafe_code, reason = "tile instructions, reached only where the CPU has them")]

use std::arch::asm;

use rayon::prelude::*;

use super::pairs::round_pairs;
use crate::columns::columns;
use crate::cpu::ask_for;
use crate::{After, scratch, tile};

/// Rows and columns of a tile of sums.
const SIDE: usize = 16;
/// Floats of a tile, of whatever it holds.
const TILE: usize = SIDE * SIDE;
/// Inputs of a tile.
const INPUTS: usize = 32;
/// Outputs of a strip.
const STRIP: usize = 2 * SIDE;
/// Inputs of a part of a strip.
const PART: usize = 256;
/// Most rows that strips meet at a time, so that their inputs stay in the second cache.
const SLAB: usize = 256;
/// Tasks a thread.
const TASKS: usize = 4;

/// Whether [`linear`] may be called.
pub(super) fn is_there() -> bool {
    crate::cpu::has_amx()
}

/// `ys = after(round(xs) Wᵀ)`.
pub(super) fn linear(xs: &[f32], weights: &[u16], n_in: usize, after: &After, ys: &mut [f32]) {
    assert!(is_there() && weights.len().is_multiple_of(n_in), "whole rows, for this CPU");
    let (n_out, pairs) = (weights.len() / n_in, n_in.next_multiple_of(INPUTS) / 2);
    let n_strips = n_out.div_ceil(STRIP);
    let per_task = n_strips.div_ceil(TASKS * rayon::current_num_threads());
    let slabs = xs.chunks(SLAB * n_in).zip(ys.chunks_mut(SLAB * n_out)).enumerate();
    for (slab, (xs, ys)) in slabs {
        let n_groups = (xs.len() / n_in).div_ceil(STRIP) * 2;
        scratch::with(n_groups * SIDE * pairs, |packed| {
            packed.par_chunks_mut(SIDE * pairs).enumerate().for_each(|(group, packed)| {
                let xs = xs.get(group * SIDE * n_in..).unwrap_or_default();
                pack(&xs[..xs.len().min(SIDE * n_in)], n_in, packed);
            });
            let packed = &*packed;
            let tasks = columns(ys, n_out, per_task * STRIP);
            tasks.into_par_iter().with_max_len(1).for_each(|(first, mut ys)| {
                let _tiles = Tiles::new();
                let width = ys[0].len();
                for at in (0..width).step_by(STRIP) {
                    let strip = Strip { weights, n_in, first: first + at, n_out };
                    let place = |row| after.piece(slab * SLAB + row, n_out, first + at);
                    let end = width.min(at + STRIP);
                    strip.finish(packed, place, ys.iter_mut().map(|y| &mut y[at..end]));
                }
            });
        });
    }
}

/// Rounds up to sixteen rows to bf16 and packs them: pair after pair of inputs, row beside row.
fn pack(xs: &[f32], n_in: usize, packed: &mut [f32]) {
    let pairs = packed.len() / SIDE;
    scratch::with(packed.len(), |rounded| {
        rounded.fill(0.);
        for (x, rounded) in xs.chunks(n_in).zip(rounded.chunks_mut(pairs)) {
            round_pairs(x, rounded);
        }
        tile::pack_columns(rounded, pairs, pairs, SIDE, packed);
    });
}

/// The outputs `first .. first + 32`, as far as there are so many.
#[derive(Clone, Copy)]
struct Strip<'a> {
    weights: &'a [u16],
    n_in: usize,
    first: usize,
    n_out: usize,
}

impl Strip<'_> {
    /// Sums of all rows with the strip, finished and written.
    fn finish<'y, 'a>(
        &self,
        packed: &[f32],
        after: impl Fn(usize) -> After<'a>,
        ys: impl Iterator<Item = &'y mut [f32]>,
    ) {
        let pairs = self.n_in.next_multiple_of(INPUTS) / 2;
        let n_blocks = packed.len() / (STRIP * pairs);
        scratch::with(PART * SIDE + (n_blocks + 1) * 4 * TILE, |buffer| {
            let (left, sums) = buffer.split_at_mut(PART * SIDE);
            let (turned, sums) = sums.split_at_mut(4 * TILE);
            for start in (0..self.n_in).step_by(PART) {
                let n_steps = PART.min(self.n_in - start).div_ceil(INPUTS);
                self.copy(start, n_steps, left);
                for (block, sums) in sums.chunks_exact_mut(4 * TILE).enumerate() {
                    let at = |half: usize| {
                        &packed[((2 * block + half) * pairs + start / 2) * SIDE..][..n_steps * TILE]
                    };
                    multiply(&left[..n_steps * 2 * TILE], [at(0), at(1)], start > 0, sums);
                }
            }
            let mut ys = ys.enumerate();
            for sums in sums.chunks_exact(4 * TILE) {
                // tiles (outputs, rows) in the order of `multiply`, turned to (rows, outputs)
                for (tile, turned) in sums.chunks(TILE).zip(turned.chunks_mut(TILE)) {
                    tile::pack_columns(tile, SIDE, SIDE, SIDE, turned);
                }
                for (at, (row, y)) in ys.by_ref().take(STRIP).enumerate() {
                    let after = after(row);
                    for (half, y) in y.chunks_mut(SIDE).enumerate() {
                        let sums = &turned[(2 * half + at / SIDE) * TILE + at % SIDE * SIDE..];
                        after.piece(0, 0, half * SIDE).finish(sums, y);
                    }
                }
            }
        });
    }

    /// Copies the inputs from `start` on, step by step two tiles, and asks for those that follow.
    fn copy(&self, start: usize, n_steps: usize, left: &mut [f32]) {
        let Self { weights, n_in, first, n_out } = *self;
        let next = if start + PART < n_in { (0, start + PART) } else { (STRIP, 0) };
        for row in 0..STRIP {
            let output = first + row;
            let inputs = if output < n_out { &weights[output * n_in..][..n_in] } else { &[] };
            let inputs = inputs.get(start..).unwrap_or_default();
            let ahead = (output + next.0) * n_in + next.1;
            ask_for(weights, ahead, ahead + n_steps * INPUTS);
            for step in 0..n_steps {
                let place = &mut left[step * 2 * TILE + row * SIDE..][..SIDE];
                if let Some(inputs) = inputs.get(step * INPUTS..(step + 1) * INPUTS) {
                    // SAFETY: 32 numbers of two bytes, 16 of four, which may hold any bits
                    unsafe {
                        let to = place.as_mut_ptr().cast::<u8>();
                        std::ptr::copy_nonoverlapping(inputs.as_ptr().cast::<u8>(), to, 64);
                    }
                } else {
                    let inputs = inputs.get(step * INPUTS..).unwrap_or_default();
                    let number = |i: usize| u32::from(inputs.get(i).copied().unwrap_or_default());
                    for (pair, place) in place.iter_mut().enumerate() {
                        *place = f32::from_bits(number(2 * pair) | number(2 * pair + 1) << 16);
                    }
                }
            }
        }
    }
}

/// Four tiles of sums `(output half, row half)`: step by step the products of two left and two right
/// tiles, added to what the sums hold where `keep`.
fn multiply(left: &[f32], right: [&[f32]; 2], keep: bool, sums: &mut [f32]) {
    let n_steps = left.len() / (2 * TILE);
    assert!(n_steps > 0 && left.len() == n_steps * 2 * TILE && sums.len() == 4 * TILE);
    assert!(right.iter().all(|tiles| tiles.len() == n_steps * TILE));
    // SAFETY: each step reads 2 KiB of the left and 1 KiB of both right tiles, of which there are so
    // many; sums are 4 KiB. The caller holds `Tiles`, and nothing else uses these registers.
    unsafe {
        asm!(
            "test {keep:e}, {keep:e}",
            "jnz 2f",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "jmp 3f",
            "2:",
            "tileloadd tmm0, [{sums} + {line}]",
            "tileloadd tmm1, [{sums} + {line} + 1024]",
            "tileloadd tmm2, [{sums} + {line} + 2048]",
            "tileloadd tmm3, [{sums} + {line} + 3072]",
            "3:",
            "tileloadd tmm4, [{left} + {line}]",
            "tileloadd tmm6, [{a} + {line}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {line}]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{left} + {line} + 1024]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {left}, 2048",
            "add {a}, 1024",
            "add {b}, 1024",
            "dec {n}",
            "jnz 3b",
            "tilestored [{sums} + {line}], tmm0",
            "tilestored [{sums} + {line} + 1024], tmm1",
            "tilestored [{sums} + {line} + 2048], tmm2",
            "tilestored [{sums} + {line} + 3072], tmm3",
            keep = in(reg) u32::from(keep),
            sums = in(reg) sums.as_mut_ptr(),
            line = in(reg) 64usize,
            left = inout(reg) left.as_ptr() => _,
            a = inout(reg) right[0].as_ptr() => _,
            b = inout(reg) right[1].as_ptr() => _,
            n = inout(reg) n_steps => _,
            options(nostack),
        );
    }
}

/// The tile registers of this thread, in use: eight tiles of sixteen rows of 64 bytes.
struct Tiles;

/// As the CPU reads it.
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    fn new() -> Self {
        let mut config = TileConfig {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        config.row_bytes[..8].fill(64);
        config.rows[..8].fill(SIDE as u8);
        // SAFETY: CPU and system have tiles, as asserted by `linear`; the configuration is a valid one
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack)) };
        Self
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: as above
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}
