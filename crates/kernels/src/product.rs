//! Matrix products on slices: the one safe door to the gemm crate.

#![allow(unsafe_code, reason = "the gemm crate takes pointers")]

use gemm::{Parallelism, gemm};

use crate::Real;

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, T> {
    data: &'a [T],
    n_rows: usize,
    n_columns: usize,
    row: usize,
    column: usize,
}

impl<'a, T> View<'a, T> {
    /// Whole rows of `n_columns`, one after the other.
    pub(crate) fn rows(data: &'a [T], n_columns: usize) -> Self {
        Self::spaced(data, data.len() / n_columns.max(1), n_columns, n_columns)
    }

    /// `n_rows` rows of `n_columns` that begin `stride` entries apart.
    pub(crate) fn spaced(data: &'a [T], n_rows: usize, n_columns: usize, stride: usize) -> Self {
        assert!(
            n_rows == 0 || n_columns == 0 || (n_rows - 1) * stride + n_columns <= data.len(),
            "a matrix lies within its slice"
        );
        Self { data, n_rows, n_columns, row: stride, column: 1 }
    }

    /// The transposed matrix.
    pub(crate) fn t(self) -> Self {
        let Self { data, n_rows, n_columns, row, column } = self;
        Self { data, n_rows: n_columns, n_columns: n_rows, row: column, column: row }
    }
}

/// `out = a b · factor`, added to what `out` holds where `keep`; `out` is row-major.
///
/// Runs on the calling thread: a sum has the same order however many tasks run beside it.
pub(crate) fn product<T: Real>(a: View<T>, b: View<T>, factor: T, keep: bool, out: &mut [T]) {
    assert_eq!(a.n_columns, b.n_rows, "columns of the left are rows of the right");
    assert_eq!(out.len(), a.n_rows * b.n_columns, "the result has a row for each row");
    if out.is_empty() {
        return;
    }
    if a.n_columns == 0 {
        if !keep {
            out.fill(T::ZERO);
        }
        return;
    }
    // SAFETY: a view's rows and columns lie within its slice, and `out` is a row for each row of
    // `a` and an entry for each column of `b`, as asserted
    unsafe {
        gemm(
            a.n_rows,
            b.n_columns,
            a.n_columns,
            out.as_mut_ptr(),
            1,
            b.n_columns as isize,
            keep,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            T::ONE,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_views_are_those_by_hand() {
        // [[1, 2], [4, 5]] inside rows of three, times its transpose, twice, plus ones
        let data = [1., 2., 3., 4., 5., 6.];
        let view = View::spaced(&data, 2, 2, 3);
        let mut out = [1f64; 4];
        product(view, view.t(), 2., true, &mut out);
        assert_eq!(out, [11., 29., 29., 83.]);
        product(view, View::rows(&data[..2], 1), 1., false, &mut out[..2]);
        assert_eq!(out[..2], [5., 14.]);
    }
}
