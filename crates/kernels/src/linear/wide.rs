//! The inner loops of [`few`](super::few) in vector instructions: one text, compiled for AVX-512 and
//! for AVX2.

#![allow(unsafe_code, reason = "vector instructions, reached only where the CPU has them")]
#![allow(clippy::needless_range_loop, reason = "closures would not be compiled for this CPU")]

/// Bytes of weights that are on their way from memory while others are worked on.
const AHEAD: usize = 12 << 10;

/// Defines the loops in a module: the instructions that they may use, a register of so many lanes
/// with its zero, load and store, the products of [`Format`](crate::format::Format), and how many
/// weight rows go beside 1, 2, … 6 input rows so that all sums stay in registers.
macro_rules! loops {
    (
        $module:ident, $features:literal, [$vector:ident; $n_lanes:literal],
        $zero:ident, $load:ident, $store:ident, $products:ident,
        [$one:literal, $two:literal, $three:literal, $four:literal, $five:literal, $six:literal]
    ) => {
        pub(super) mod $module {
            #[allow(clippy::wildcard_imports, reason = "vector intrinsics carry their prefix")]
            use std::arch::x86_64::*;

            use super::super::few::{Rows, Sums, TILE, Tile};
            use super::AHEAD;
            use crate::format::{Format, LANES};

            /// See [`few::add_products`](super::super::few::add_products).
            #[target_feature(enable = $features)]
            pub(in super::super) fn add_products<F: Format>(
                tile: &Tile<F>,
                xs: &Rows<F>,
                sums: &mut [Sums],
            ) {
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
                    let last = tile.last.each_ref().map(std::slice::from_ref);
                    groups::<F>(&last, 0, xs, n_whole, sums);
                }
            }

            /// Goes through the groups of input rows with blocks `start ..` of eight weight rows,
            /// which lie `stride` blocks apart.
            #[target_feature(enable = $features)]
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
                        1 => {
                            group::<F, $one, 1>(weights, stride, xs.group(first, start, end), sums)
                        }
                        2 => {
                            group::<F, $two, 2>(weights, stride, xs.group(first, start, end), sums)
                        }
                        3 => group::<F, $three, 3>(
                            weights,
                            stride,
                            xs.group(first, start, end),
                            sums,
                        ),
                        4 => {
                            group::<F, $four, 4>(weights, stride, xs.group(first, start, end), sums)
                        }
                        5 => {
                            group::<F, $five, 5>(weights, stride, xs.group(first, start, end), sums)
                        }
                        _ => {
                            group::<F, $six, 6>(weights, stride, xs.group(first, start, end), sums)
                        }
                    }
                }
            }

            /// Adds the products with the `R` rows of a group, `T` weight rows at a time.
            #[target_feature(enable = $features)]
            fn group<F: Format, const T: usize, const R: usize>(
                weights: &[&[F::Block]; TILE],
                stride: usize,
                xs: &[[F::Input; R]],
                sums: &mut [Sums],
            ) {
                let bytes = (T * stride * size_of::<F::Block>()).max(1);
                let ahead = T * stride * AHEAD.div_ceil(bytes);
                for (at, weights) in weights.as_chunks::<T>().0.iter().enumerate() {
                    let weights = weights.map(|row| row[..xs.len()].as_ptr());
                    let mut total = [[[$zero(); LANES / $n_lanes]; R]; T];
                    for r in 0..R {
                        for i in 0..T {
                            let lanes: &[[f32; $n_lanes]] = sums[r][at * T + i].as_chunks().0;
                            for (lanes, total) in lanes.iter().zip(&mut total[i][r]) {
                                *total = load(lanes);
                            }
                        }
                    }
                    for (block, xs) in xs.iter().enumerate() {
                        for i in 0..T {
                            prefetch(weights[i].wrapping_add(ahead + block));
                            // SAFETY: every row has as many blocks as there are of inputs, and
                            // this function is only compiled into code for these instructions
                            total[i] =
                                unsafe { F::$products(&*weights[i].add(block), xs, total[i]) };
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

            #[target_feature(enable = $features)]
            fn load(lanes: &[f32; $n_lanes]) -> $vector {
                // SAFETY: reads the floats of the array
                unsafe { $load(lanes.as_ptr()) }
            }

            #[target_feature(enable = $features)]
            fn store(sums: $vector, lanes: &mut [f32; $n_lanes]) {
                // SAFETY: writes the floats of the array
                unsafe { $store(lanes.as_mut_ptr(), sums) }
            }

            /// Asks for the two cache lines, or the one, of a block that is read soon, into the
            /// second cache: the first is too small for so many rows ahead.
            #[target_feature(enable = $features)]
            fn prefetch<B>(block: *const B) {
                for line in (0..size_of::<B>()).step_by(64) {
                    _mm_prefetch::<_MM_HINT_T1>(block.cast::<i8>().wrapping_add(line));
                }
            }
        }
    };
}

loops!(
    avx512,
    "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c",
    [__m512; 16],
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    add_products_512,
    [4, 4, 2, 2, 2, 2]
);
loops!(
    of_pairs,
    "avx512f,avx512bw,avx512vl,avx512vnni,avx512bf16,avx2,fma,f16c",
    [__m512; 16],
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    add_products_of_pairs,
    [4, 4, 2, 2, 2, 2]
);
loops!(
    avx2,
    "avx2,fma,f16c",
    [__m256; 8],
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    add_products_256,
    [4, 2, 1, 1, 1, 1]
);
