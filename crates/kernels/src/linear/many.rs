//! Many input rows on CPUs without AVX-512: matrix products of the gemm crate with the weights widened
//! piece by piece, so that no `f32` copy of the matrix ever exists.

#![allow(unsafe_code, reason = "the gemm crate takes pointers")]

use std::ops::Range;

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use crate::columns::columns;
use crate::format::{BLOCK, Format, widen_blocks};

/// Columns of the result in a task.
const WIDTH: usize = 128;
/// Terms of every sum that are added at a time; so many floats times [`WIDTH`] are the widened
/// piece, which stays in the second cache.
pub(super) const DEPTH: usize = 256;
/// Most blocks of a widened piece, whichever way it lies.
const PIECE: usize = {
    let (wide, deep) = (WIDTH * spaced(DEPTH / BLOCK), DEPTH * spaced(WIDTH / BLOCK));
    if wide > deep { wide } else { deep }
};
/// Most rows of the result in a task; the weights are widened once for each such slab.
const SLAB: usize = 512;

/// `ys = xs Wᵀ + bias`.
pub(super) fn linear<F: Format>(
    xs: &[f32],
    weights: &[F::Item],
    n_in: usize,
    bias: Option<&[f32]>,
    ys: &mut [f32],
) {
    let n_rows = xs.len() / n_in;
    product(xs, n_in, ys.len() / n_rows, bias, ys, |terms, columns, piece| {
        let stride = widen::<F>(weights, n_in, columns, terms, piece);
        Strides { term: 1, column: stride }
    });
}

/// `dxs = dys W`.
pub(super) fn linear_backward<F: Format>(
    dys: &[f32],
    weights: &[F::Item],
    n_in: usize,
    dxs: &mut [f32],
) {
    let n_rows = dxs.len() / n_in;
    product(dys, dys.len() / n_rows, n_in, None, dxs, |terms, columns, piece| {
        let stride = widen::<F>(weights, n_in, terms, columns, piece);
        Strides { term: stride, column: 1 }
    });
}

/// How far apart the neighbours of a widened weight lie.
struct Strides {
    term: usize,
    column: usize,
}

/// `ys (n_rows, n_columns) = xs (n_rows, n_terms) · (n_terms, n_columns) + bias`, where `piece`
/// writes the weights of a range of terms and of columns.
///
/// Every sum runs over its terms in the same order, whatever the number of threads.
fn product(
    xs: &[f32],
    n_terms: usize,
    n_columns: usize,
    bias: Option<&[f32]>,
    ys: &mut [f32],
    piece: impl Fn(Range<usize>, Range<usize>, &mut [[f32; BLOCK]]) -> Strides + Sync,
) {
    let n_rows = xs.len() / n_terms;
    let slab = n_rows.div_ceil(n_rows.div_ceil(SLAB));
    let tasks: Vec<_> = xs
        .chunks(slab * n_terms)
        .zip(ys.chunks_mut(slab * n_columns))
        .flat_map(|(xs, ys)| columns(ys, n_columns, WIDTH).into_iter().map(move |ys| (xs, ys)))
        .collect();
    let scratch = || (vec![[0.; BLOCK]; PIECE], vec![0.; slab * WIDTH]);
    tasks.into_par_iter().for_each_init(scratch, |(weights, sums), (xs, (first, ys))| {
        let width = ys[0].len();
        let sums = &mut sums[..ys.len() * width];
        for start in (0..n_terms).step_by(DEPTH) {
            let terms = start..n_terms.min(start + DEPTH);
            let strides = piece(terms.clone(), first..first + width, weights);
            add_product(xs, n_terms, weights.as_flattened(), &strides, terms, width, sums);
        }
        for (y, sums) in ys.into_iter().zip(sums.chunks(width)) {
            y.copy_from_slice(sums);
            let bias = bias.map_or(&[][..], |bias| &bias[first..]);
            y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
        }
    });
}

/// `sums (n_rows, width) = xs (n_rows, terms) · weights (terms, width)`, added to what they hold unless
/// these terms are the first; rows of `xs` lie `n_terms` apart.
fn add_product(
    xs: &[f32],
    n_terms: usize,
    weights: &[f32],
    strides: &Strides,
    terms: Range<usize>,
    width: usize,
    sums: &mut [f32],
) {
    let (xs, depth) = (&xs[terms.start..], terms.len());
    let n_rows = sums.len() / width;
    assert!((n_rows - 1) * n_terms + depth <= xs.len());
    assert!((depth - 1) * strides.term + (width - 1) * strides.column < weights.len());
    // SAFETY: every element that the three views reach lies in its slice: `sums` is n_rows rows of
    // width, and the largest offsets into `xs` and `weights` were checked above
    unsafe {
        gemm(
            n_rows,
            width,
            depth,
            sums.as_mut_ptr(),
            1,
            width as isize,
            terms.start > 0,
            xs.as_ptr(),
            1,
            n_terms as isize,
            weights.as_ptr(),
            strides.column as isize,
            strides.term as isize,
            1.,
            1.,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Widens the entries `(outputs, inputs)` of the weights to rows that lie as far apart as said.
///
/// `inputs` starts at a block.
pub(super) fn widen<F: Format>(
    weights: &[F::Item],
    n_in: usize,
    outputs: Range<usize>,
    inputs: Range<usize>,
    wide: &mut [[f32; BLOCK]],
) -> usize {
    let row_items = F::items(n_in);
    let n_blocks = inputs.len().div_ceil(BLOCK);
    let spaced = spaced(n_blocks);
    let start = inputs.start / BLOCK;
    for (output, wide) in outputs.zip(wide.chunks_mut(spaced)) {
        let (whole, rest) = F::blocks(&weights[output * row_items..][..row_items]);
        let n_whole = n_blocks.min(whole.len() - start);
        let (wide, last) = wide[..n_blocks].split_at_mut(n_whole);
        widen_blocks::<F>(&whole[start..start + n_whole], wide);
        for last in last {
            *last = F::widen(&F::padded(rest));
        }
    }
    spaced * BLOCK
}

/// Blocks from a row to the next: an odd number, because rows that lie a power of two apart push
/// each other out of the caches.
pub(super) const fn spaced(n_blocks: usize) -> usize {
    n_blocks | 1
}
