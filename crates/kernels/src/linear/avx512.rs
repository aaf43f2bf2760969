//! The inner loops of [`few`](super::few) in AVX-512.

#![allow(unsafe_code, reason = "vector instructions, reached only where the CPU has them")]
#![allow(clippy::needless_range_loop, reason = "closures would not be compiled for this CPU")]

#[allow(clippy::wildcard_imports, reason = "vector intrinsics carry their prefix")]
use std::arch::x86_64::*;

use super::few::{Rows, Sums, TILE, Tile};
use crate::format::{Format, LANES};

/// See [`few::add_products`](super::few::add_products).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
pub(super) fn add_products<F: Format>(tile: &Tile<F>, xs: &Rows<F>, sums: &mut [Sums]) {
    let n_whole = tile.whole[0].len();
    for start in (0..n_whole).step_by(xs.span) {
        let end = n_whole.min(start + xs.span);
        let mut weights = tile.whole;
        for row in &mut weights {
            *row = &row[start..end];
        }
        groups::<F>(&weights, n_whole, xs, start, sums);
    }
    if n_whole < xs.n_blocks {
        groups::<F>(&tile.last.each_ref().map(std::slice::from_ref), 0, xs, n_whole, sums);
    }
}

/// Goes through the groups of input rows with blocks `start ..` of eight weight rows, which lie
/// `stride` blocks apart.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
fn groups<F: Format>(
    weights: &[&[F::Block]; TILE],
    stride: usize,
    xs: &Rows<F>,
    start: usize,
    sums: &mut [Sums],
) {
    let end = start + weights[0].len();
    for (first, size) in xs.groups() {
        let sums = &mut sums[first..first + size];
        match size {
            1 => group::<F, 4, 1>(weights, stride, xs.group(first, start, end), sums),
            2 => group::<F, 4, 2>(weights, stride, xs.group(first, start, end), sums),
            3 => group::<F, 4, 3>(weights, stride, xs.group(first, start, end), sums),
            4 => group::<F, 4, 4>(weights, stride, xs.group(first, start, end), sums),
            5 => group::<F, 4, 5>(weights, stride, xs.group(first, start, end), sums),
            _ => group::<F, 4, 6>(weights, stride, xs.group(first, start, end), sums),
        }
    }
}

/// Adds the products with the `R` rows of a group, `T` weight rows at a time, as many as keep all
/// sums in registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
fn group<F: Format, const T: usize, const R: usize>(
    weights: &[&[F::Block]; TILE],
    stride: usize,
    xs: &[[F::Input; R]],
    sums: &mut [Sums],
) {
    for (at, weights) in weights.as_chunks::<T>().0.iter().enumerate() {
        let weights = weights.map(|row| row[..xs.len()].as_ptr());
        let mut total = [[_mm512_setzero_ps(); R]; T];
        for r in 0..R {
            for i in 0..T {
                total[i][r] = load(&sums[r][at * T + i]);
            }
        }
        for (block, xs) in xs.iter().enumerate() {
            for i in 0..T {
                prefetch(weights[i].wrapping_add(stride * T + block));
                // SAFETY: every row has as many blocks as there are of inputs, and this function is
                // only compiled into code for AVX-512
                total[i] = unsafe { F::add_products_512(&*weights[i].add(block), xs, total[i]) };
            }
        }
        for r in 0..R {
            for i in 0..T {
                store(total[i][r], &mut sums[r][at * T + i]);
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
fn load(lanes: &[f32; LANES]) -> __m512 {
    // SAFETY: reads the sixteen floats of the array
    unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
fn store(sums: __m512, lanes: &mut [f32; LANES]) {
    // SAFETY: writes the sixteen floats of the array
    unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sums) }
}

/// Asks for the two cache lines, or the one, of a block that is read soon.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2,fma,f16c")]
fn prefetch<B>(block: *const B) {
    for line in (0..size_of::<B>()).step_by(64) {
        _mm_prefetch::<_MM_HINT_T0>(block.cast::<i8>().wrapping_add(line));
    }
}
