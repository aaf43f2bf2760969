//! Rows in parallel: one place that decides how work is cut.

use rayon::prelude::*;

/// Elements per task below which a thread costs more than it saves.
const GRAIN: usize = 8192;

/// Calls `f(row index, input row, output row)` for every row, in parallel.
pub(crate) fn map_rows<T: Send + Sync + Copy, U: Send>(
    xs: &[T],
    ys: &mut [U],
    dim: usize,
    f: impl Fn(usize, &[T], &mut [U]) + Send + Sync,
) {
    debug_assert_eq!(xs.len(), ys.len());
    let per_task = (GRAIN / dim.max(1)).max(1);
    xs.par_chunks(per_task * dim).zip(ys.par_chunks_mut(per_task * dim)).enumerate().for_each(
        |(task, (xs, ys))| {
            for (i, (x, y)) in xs.chunks_exact(dim).zip(ys.chunks_exact_mut(dim)).enumerate() {
                f(task * per_task + i, x, y);
            }
        },
    );
}

/// Sums per-row contributions to vectors of `width` entries: `f(row, accumulator)`.
///
/// Rows are cut into fixed blocks and the blocks added in order, so that the result does not
/// depend on the number of threads.
pub(crate) fn sum_rows<T: crate::Real>(
    n_rows: usize,
    width: usize,
    f: impl Fn(usize, &mut [T]) + Send + Sync,
) -> Vec<T> {
    const BLOCK: usize = 128;
    let blocks: Vec<Vec<T>> = (0..n_rows.div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let mut sum = vec![T::ZERO; width];
            for row in block * BLOCK..((block + 1) * BLOCK).min(n_rows) {
                f(row, &mut sum);
            }
            sum
        })
        .collect();
    blocks.into_iter().fold(vec![T::ZERO; width], |mut total, block| {
        for (t, b) in total.iter_mut().zip(block) {
            *t += b;
        }
        total
    })
}
