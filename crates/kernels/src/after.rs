//! What is done to the sums of a product before they are written.

use crate::Activation;
use crate::cpu::{Work, widest};

/// `activation(sums + bias) · others · factor + residual`, each where it is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct After<'a> {
    /// One entry a column.
    pub bias: Option<&'a [f32]>,
    /// Of the biased sums.
    pub activation: Option<Activation>,
    /// As long as the result.
    pub others: Option<&'a [f32]>,
    /// One for all, as a gate is.
    pub factor: Option<f32>,
    /// As long as the result.
    pub residual: Option<&'a [f32]>,
}

impl After<'_> {
    /// Panics where the parts are not those of rows of `n_columns`, `n` entries in all.
    pub(crate) fn check(&self, n_columns: usize, n: usize) {
        let Self { bias, others, residual, .. } = self;
        assert!(
            bias.is_none_or(|bias| bias.len() == n_columns),
            "a bias has an entry for each output"
        );
        assert!(others.is_none_or(|xs| xs.len() == n), "factors are shaped as the result");
        assert!(residual.is_none_or(|xs| xs.len() == n), "a residual is shaped as the result");
    }

    /// The same for the entries `(row, first ..)` of a result with rows of `n_columns`.
    pub(crate) fn piece(&self, row: usize, n_columns: usize, first: usize) -> Self {
        let start = row * n_columns + first;
        Self {
            bias: self.bias.map(|bias| &bias[first..]),
            others: self.others.map(|others| &others[start..]),
            residual: self.residual.map(|residual| &residual[start..]),
            ..*self
        }
    }

    /// Finishes sums of neighbouring columns; the slices are at least as long.
    pub(crate) fn finish(&self, sums: &[f32], ys: &mut [f32]) {
        widest(Finish { after: *self, sums, ys });
    }

    /// Finishes sums in rows of `room`, the first of which belong to the entry `(row, column)` of a
    /// result with rows of `n_columns`; `ys` are the entries of one row after the other.
    pub(crate) fn finish_rows<'y>(
        &self,
        (row, column): (usize, usize),
        n_columns: usize,
        sums: &[f32],
        room: usize,
        ys: impl Iterator<Item = &'y mut [f32]>,
    ) {
        widest(FinishRows { after: *self, place: (row, column), n_columns, sums, room, ys });
    }

    /// Finishes whole rows that hold biased sums.
    pub(crate) fn finish_biased(&self, ys: &mut [f32]) {
        if let Some(activation) = self.activation {
            activation.in_place(ys);
        }
        self.joined(ys);
    }
}

struct Finish<'a, 'b> {
    after: After<'a>,
    sums: &'b [f32],
    ys: &'b mut [f32],
}

impl Work for Finish<'_, '_> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.after.entries::<FMA>(self.sums, self.ys);
    }
}

struct FinishRows<'a, 'b, I> {
    after: After<'a>,
    place: (usize, usize),
    n_columns: usize,
    sums: &'b [f32],
    room: usize,
    ys: I,
}

impl<'y, I: Iterator<Item = &'y mut [f32]>> Work for FinishRows<'_, '_, I> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { after, place: (first, column), n_columns, sums, room, ys } = self;
        for (row, (y, sums)) in ys.zip(sums.chunks(room)).enumerate() {
            after.piece(first + row, n_columns, column).entries::<FMA>(sums, y);
        }
    }
}

impl After<'_> {
    #[inline(always)]
    fn entries<const FMA: bool>(&self, sums: &[f32], ys: &mut [f32]) {
        match self.bias {
            Some(bias) => {
                for ((y, sum), bias) in ys.iter_mut().zip(sums).zip(bias) {
                    *y = sum + bias;
                }
            }
            None => ys.copy_from_slice(&sums[..ys.len()]),
        }
        if let Some(activation) = self.activation {
            activation.each::<f32, FMA>(ys.iter_mut().map(|y| (*y, y)));
        }
        self.joined(ys);
    }

    /// What follows the activation.
    #[inline(always)]
    fn joined(&self, ys: &mut [f32]) {
        if let Some(others) = self.others {
            ys.iter_mut().zip(others).for_each(|(y, x)| *y *= x);
        }
        if let Some(factor) = self.factor {
            ys.iter_mut().for_each(|y| *y *= factor);
        }
        if let Some(residual) = self.residual {
            ys.iter_mut().zip(residual).for_each(|(y, x)| *y += x);
        }
    }
}
