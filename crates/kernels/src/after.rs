//! What is done to the sums of a product before they are written.

use crate::Activation;
use crate::cpu::{Work, widest};

/// `activation(sums + bias) + residual`, each where it is there.
#[derive(Clone, Copy, Debug, Default)]
pub struct After<'a> {
    /// One entry a column.
    pub bias: Option<&'a [f32]>,
    /// Of the biased sums.
    pub activation: Option<Activation>,
    /// As long as the result.
    pub residual: Option<&'a [f32]>,
}

impl After<'_> {
    /// Panics where the parts are not those of rows of `n_columns`, `n` entries in all.
    pub(crate) fn check(&self, n_columns: usize, n: usize) {
        let Self { bias, residual, .. } = self;
        assert!(
            bias.is_none_or(|bias| bias.len() == n_columns),
            "a bias has an entry for each output"
        );
        assert!(residual.is_none_or(|xs| xs.len() == n), "a residual is shaped as the result");
    }

    /// The same for the entries `(row, first ..)` of a result with rows of `n_columns`.
    pub(crate) fn piece(&self, row: usize, n_columns: usize, first: usize) -> Self {
        let start = row * n_columns + first;
        Self {
            bias: self.bias.map(|bias| &bias[first..]),
            residual: self.residual.map(|residual| &residual[start..]),
            ..*self
        }
    }

    /// Finishes sums of neighbouring columns; the slices are at least as long.
    pub(crate) fn finish(&self, sums: &[f32], ys: &mut [f32]) {
        widest(Finish { after: *self, sums, ys });
    }

    /// Finishes whole rows that hold biased sums.
    pub(crate) fn finish_biased(&self, ys: &mut [f32]) {
        if let Some(activation) = self.activation {
            activation.in_place(ys);
        }
        if let Some(residual) = self.residual {
            ys.iter_mut().zip(residual).for_each(|(y, x)| *y += x);
        }
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
        let Self { after, sums, ys } = self;
        match after.bias {
            Some(bias) => {
                for ((y, sum), bias) in ys.iter_mut().zip(sums).zip(bias) {
                    *y = sum + bias;
                }
            }
            None => ys.copy_from_slice(&sums[..ys.len()]),
        }
        if let Some(activation) = after.activation {
            activation.each::<f32, FMA>(ys.iter_mut().map(|y| (*y, y)));
        }
        if let Some(residual) = after.residual {
            ys.iter_mut().zip(residual).for_each(|(y, x)| *y += x);
        }
    }
}
