//! Products with a frozen weight matrix, in the number format it is stored in.
//!
//! A frozen matrix is only ever read, so it stays as it lies in its file. Every weight widens to
//! `f32` exactly and sums run in `f32`: half as many bytes cost no accuracy beyond the stored
//! weight's own.

#[cfg(target_arch = "x86_64")]
mod amx;
mod bytes;
mod few;
mod many;
mod pairs;
mod rounded;
mod tiled;
#[cfg(target_arch = "x86_64")]
mod wide;

pub use self::rounded::linear_rounded;
use crate::format::{BLOCK, Bf16, F16, F32, Format, Q8_0};
use crate::{After, tile};

/// Most input rows of which [`linear`] makes the sums one by one; from there on a matrix product
/// is faster.
const FEW: usize = 32;

/// The entries of a frozen matrix, row-major, borrowed from memory or from a mapped file.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// IEEE single precision.
    F32(&'a [f32]),
    /// The upper halves of `f32`s.
    Bf16(&'a [u16]),
    /// IEEE half precision.
    F16(&'a [u16]),
    /// Blocks of 34 bytes as in GGUF: a scale in half precision, then 32 signed bytes.
    Q8_0(&'a [u8]),
}

/// A frozen matrix `(n_out, n_in)`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    weights: Weights<'a>,
    n_out: usize,
    n_in: usize,
}

/// Runs the expression with `$format` the format of the matrix's weights and `$items` their items.
macro_rules! by_format {
    ($matrix:expr, $format:ident, $items:ident => $body:expr) => {
        match $matrix.weights {
            Weights::F32($items) => {
                type $format = F32;
                $body
            }
            Weights::Bf16($items) => {
                type $format = Bf16;
                $body
            }
            Weights::F16($items) => {
                type $format = F16;
                $body
            }
            Weights::Q8_0($items) => {
                type $format = Q8_0;
                $body
            }
        }
    };
}

impl<'a> Matrix<'a> {
    /// Nothing where the entries are not whole rows of `n_in`, or rows not whole blocks.
    pub fn new(weights: Weights<'a>, n_in: usize) -> Option<Self> {
        let mut matrix = Self { weights, n_out: 0, n_in };
        let (n_items, row_items) =
            by_format!(matrix, F, items => (items.len(), <F as Format>::items(n_in)));
        let blocks = !matches!(weights, Weights::Q8_0(_)) || n_in.is_multiple_of(BLOCK);
        if row_items == 0 || !blocks || !n_items.is_multiple_of(row_items) {
            return None;
        }
        matrix.n_out = n_items / row_items;
        Some(matrix)
    }

    /// The entries.
    pub fn weights(&self) -> Weights<'a> {
        self.weights
    }

    /// Rows: entries of a result.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// Columns: entries of an input.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// The entries `(n_in)` of one row, as for the embedding of a token.
    pub fn widen_row(&self, row: usize, ys: &mut [f32]) {
        assert_eq!(ys.len(), self.n_in, "a row of a matrix has n_in entries");
        by_format!(self, F, items => {
            let n = <F as Format>::items(self.n_in);
            crate::format::widen_row::<F>(&items[row * n..(row + 1) * n], ys);
        });
    }
}

/// `ys = xs Wᵀ + bias` for `xs (n_rows, n_in)` and `ys (n_rows, n_out)`.
///
/// Up to 32 rows give the same bits together as one by one; more rows are a blocked product, whose
/// sums run in another order. Neither depends on the number of threads.
pub fn linear(xs: &[f32], matrix: &Matrix, bias: Option<&[f32]>, ys: &mut [f32]) {
    linear_with(xs, matrix, &After { bias, ..After::default() }, ys);
}

/// `ys = activation(xs Wᵀ + bias) · others · factor + residual`: the bits of the same steps one after the
/// other.
pub fn linear_with(xs: &[f32], matrix: &Matrix, after: &After, ys: &mut [f32]) {
    let Matrix { n_in, n_out, .. } = *matrix;
    let n_rows = n_rows(xs, n_in, ys, n_out);
    let bias = &after.bias;
    after.check(n_out, ys.len());
    if ys.is_empty() {
        return;
    }
    by_format!(matrix, F, items => if n_rows > FEW && tile::is_there() {
        tiled::linear::<F>(xs, items, n_in, after, ys);
    } else if n_rows > FEW {
        many::linear::<F>(xs, items, n_in, *bias, ys);
        after.finish_biased(ys);
    } else {
        few::linear::<F>(xs, items, n_in, *bias, ys);
        after.finish_biased(ys);
    });
}

/// `dxs = dys W` for `dys (n_rows, n_out)` and `dxs (n_rows, n_in)`: the only gradient that passes
/// through a frozen matrix.
pub fn linear_backward(dys: &[f32], matrix: &Matrix, dxs: &mut [f32]) {
    let Matrix { n_in, n_out, .. } = *matrix;
    n_rows(dxs, n_in, dys, n_out);
    if dys.is_empty() || dxs.is_empty() {
        return dxs.fill(0.);
    }
    by_format!(matrix, F, items => if tile::is_there() {
        tiled::linear_backward::<F>(dys, items, n_in, dxs);
    } else {
        many::linear_backward::<F>(dys, items, n_in, dxs);
    });
}

/// The rows of the inputs, which must be those of the outputs.
fn n_rows(xs: &[f32], n_in: usize, ys: &[f32], n_out: usize) -> usize {
    let n_rows = xs.len() / n_in;
    let (n_xs, n_ys) = (xs.len(), ys.len());
    assert!(
        n_xs == n_rows * n_in && n_ys == n_rows * n_out,
        "{n_xs} inputs in rows of {n_in} do not go with {n_ys} outputs in rows of {n_out}"
    );
    n_rows
}

#[cfg(test)]
mod tests;
