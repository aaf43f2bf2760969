//! The inner loops of [`few`](super::few) in AVX2.

#![allow(unsafe_code, reason = "vector instructions, reached only where the CPU has them")]
#![allow(clippy::needless_range_loop, reason = "closures would not be compiled for this CPU")]

#[allow(clippy::wildcard_imports, reason = "vector intrinsics carry their prefix")]
use std::arch::x86_64::*;

use super::few::{Rows, Sums, TILE, Tile};
use crate::format::Format;

/// See [`few::add_products`](super::few::add_products).
#[target_feature(enable = "avx2,fma,f16c")]
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
#[target_feature(enable = "avx2,fma,f16c")]
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
            2 => group::<F, 2, 2>(weights, stride, xs.group(first, start, end), sums),
            3 => group::<F, 1, 3>(weights, stride, xs.group(first, start, end), sums),
            4 => group::<F, 1, 4>(weights, stride, xs.group(first, start, end), sums),
            5 => group::<F, 1, 5>(weights, stride, xs.group(first, start, end), sums),
            _ => group::<F, 1, 6>(weights, stride, xs.group(first, start, end), sums),
        }
    }
}

/// Adds the products with the `R` rows of a group, `T` weight rows at a time, as many as keep all
/// sums in registers.
#[target_feature(enable = "avx2,fma,f16c")]
fn group<F: Format, const T: usize, const R: usize>(
    weights: &[&[F::Block]; TILE],
    stride: usize,
    xs: &[[F::Input; R]],
    sums: &mut [Sums],
) {
    for (at, weights) in weights.as_chunks::<T>().0.iter().enumerate() {
        let weights = weights.map(|row| row[..xs.len()].as_ptr());
        let mut total = [[[_mm256_setzero_ps(); 2]; R]; T];
        for r in 0..R {
            for i in 0..T {
                for (lanes, total) in sums[r][at * T + i].as_chunks().0.iter().zip(&mut total[i][r])
                {
                    *total = load(lanes);
                }
            }
        }
        for (block, xs) in xs.iter().enumerate() {
            for i in 0..T {
                prefetch(weights[i].wrapping_add(stride * T + block));
                // SAFETY: every row has as many blocks as there are of inputs, and this function is
                // only compiled into code for AVX2, FMA and F16C
                total[i] = unsafe { F::add_products_256(&*weights[i].add(block), xs, total[i]) };
            }
        }
        for r in 0..R {
            for i in 0..T {
                let lanes = sums[r][at * T + i].as_chunks_mut().0;
                for (lanes, total) in lanes.iter_mut().zip(&total[i][r]) {
                    store(*total, lanes);
                }
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn load(eight: &[f32; 8]) -> __m256 {
    // SAFETY: reads the eight floats of the array
    unsafe { _mm256_loadu_ps(eight.as_ptr()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn store(lanes: __m256, eight: &mut [f32; 8]) {
    // SAFETY: writes the eight floats of the array
    unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), lanes) }
}

/// Asks for the two cache lines, or the one, of a block that is read soon.
#[target_feature(enable = "avx2,fma,f16c")]
fn prefetch<B>(block: *const B) {
    for line in (0..size_of::<B>()).step_by(64) {
        _mm_prefetch::<_MM_HINT_T0>(block.cast::<i8>().wrapping_add(line));
    }
}
