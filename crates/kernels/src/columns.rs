//! Blocks of columns of a row-major matrix as work for threads.

/// Cuts a matrix of rows of `dim` into blocks of at most `width` columns: the first column of each
/// block, and its piece of every row.
pub(crate) fn columns<T>(ys: &mut [T], dim: usize, width: usize) -> Vec<(usize, Vec<&mut [T]>)> {
    let n_rows = ys.len() / dim;
    let mut blocks: Vec<_> =
        (0..dim).step_by(width).map(|first| (first, Vec::with_capacity(n_rows))).collect();
    for row in ys.chunks_mut(dim) {
        for ((_, pieces), piece) in blocks.iter_mut().zip(row.chunks_mut(width)) {
            pieces.push(piece);
        }
    }
    blocks
}
