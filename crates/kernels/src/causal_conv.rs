//! A causal convolution along the tokens, one kernel a channel.

use rayon::prelude::*;

use crate::Real;
use crate::rows::sum_rows;

/// The sizes of a causal convolution of tokens `(batch, n_tokens, n_channels)` with a weight
/// `(n_channels, n_taps)`.
///
/// `y_t = bias + Σ_k weight_k · x_(t − n_taps + 1 + k)`, zero before the first token. Where `reverse`,
/// the sequence is read from its end: the result is that of the turned sequence, turned back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CausalConv {
    /// Tokens of one item.
    pub n_tokens: usize,
    /// Width of a token.
    pub n_channels: usize,
    /// Tokens that a result sees, itself included.
    pub n_taps: usize,
    /// From the last token to the first.
    pub reverse: bool,
}

impl CausalConv {
    /// The token that tap `tap` of token `token`'s result reads, counted over the whole batch.
    fn source(&self, token: usize, tap: usize) -> Option<usize> {
        let (within, back) = (token % self.n_tokens, self.n_taps - 1 - tap);
        if self.reverse {
            (within + back < self.n_tokens).then(|| token + back)
        } else {
            (within >= back).then(|| token - back)
        }
    }

    /// The weights of one tap after another, `(n_taps, n_channels)`.
    fn taps<T: Real>(&self, weight: &[T]) -> Vec<T> {
        assert_eq!(
            weight.len(),
            self.n_channels * self.n_taps,
            "a weight for each tap of a channel"
        );
        let tap = |tap| weight.iter().skip(tap).step_by(self.n_taps).copied();
        (0..self.n_taps).flat_map(tap).collect()
    }

    fn check<T>(&self, xs: &[T], ys: &[T]) {
        let item = self.n_tokens * self.n_channels;
        assert_eq!(xs.len(), ys.len(), "as many inputs as results");
        assert!(item > 0 && xs.len().is_multiple_of(item), "whole sequences");
    }

    /// Writes the result.
    pub fn forward<T: Real>(&self, xs: &[T], weight: &[T], bias: &[T], ys: &mut [T]) {
        self.check(xs, ys);
        let (taps, dim) = (self.taps(weight), self.n_channels);
        ys.par_chunks_mut(dim).with_min_len(8).enumerate().for_each(|(token, y)| {
            y.copy_from_slice(bias);
            for (tap, weight) in taps.chunks(dim).enumerate() {
                if let Some(source) = self.source(token, tap) {
                    add_products(y, weight, &xs[source * dim..][..dim]);
                }
            }
        });
    }

    /// Writes the input's gradient; returns those of weight and bias.
    pub fn backward<T: Real>(
        &self,
        xs: &[T],
        weight: &[T],
        dys: &[T],
        dxs: &mut [T],
    ) -> (Vec<T>, Vec<T>) {
        self.check(xs, dxs);
        self.check(xs, dys);
        let (taps, dim) = (self.taps(weight), self.n_channels);
        // the results that read a token lie as the tokens do that a turned convolution reads
        let turned = Self { reverse: !self.reverse, ..*self };
        dxs.par_chunks_mut(dim).with_min_len(8).enumerate().for_each(|(token, dx)| {
            dx.fill(T::ZERO);
            for (tap, weight) in taps.chunks(dim).enumerate() {
                if let Some(result) = turned.source(token, tap) {
                    add_products(dx, weight, &dys[result * dim..][..dim]);
                }
            }
        });
        let sums = sum_rows(xs.len() / dim, (self.n_taps + 1) * dim, |token, sums| {
            let dy = &dys[token * dim..][..dim];
            for (tap, sum) in sums.chunks_mut(dim).enumerate() {
                if tap == self.n_taps {
                    sum.iter_mut().zip(dy).for_each(|(s, &d)| *s += d);
                } else if let Some(source) = self.source(token, tap) {
                    add_products(sum, dy, &xs[source * dim..][..dim]);
                }
            }
        });
        let dweight = (0..dim * self.n_taps)
            .map(|at| sums[at % self.n_taps * dim + at / self.n_taps])
            .collect();
        (dweight, sums[self.n_taps * dim..].to_vec())
    }
}

fn add_products<T: Real>(sums: &mut [T], a: &[T], b: &[T]) {
    for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    #[test]
    fn four_taps_read_the_token_and_the_three_before_it() {
        let conv = CausalConv { n_tokens: 5, n_channels: 1, n_taps: 4, reverse: false };
        let (xs, weight) = ([1., 2., 3., 4., 5.], [1000., 100., 10., 1.]);
        let mut ys = [0f64; 5];
        conv.forward(&xs, &weight, &[0.5], &mut ys);
        assert_eq!(ys, [1.5, 12.5, 123.5, 1234.5, 2345.5]);
        CausalConv { reverse: true, ..conv }.forward(&xs, &weight, &[0.5], &mut ys);
        assert_eq!(ys, [4321.5, 5432.5, 543.5, 54.5, 5.5]);
    }

    #[test]
    fn gradients_are_those_of_a_bilinear_form() {
        for (n_tokens, reverse) in [(1, false), (3, true), (7, false), (7, true)] {
            let conv = CausalConv { n_tokens, n_channels: 3, n_taps: 4, reverse };
            let n = 2 * n_tokens * 3;
            let (xs, w, dys): (Vec<f64>, _, Vec<f64>) = (noise(1, n), noise(2, 12), noise(3, n));
            let along = |xs: &[f64], w: &[f64], b: &[f64]| -> f64 {
                let mut ys = vec![0.; n];
                conv.forward(xs, w, b, &mut ys);
                ys.iter().zip(&dys).map(|(y, d)| y * d).sum()
            };
            let mut dxs = vec![0.; n];
            let (dw, db) = conv.backward(&xs, &w, &dys, &mut dxs);
            let unit = |n: usize, at: usize| -> Vec<f64> {
                (0..n).map(|i| f64::from(u8::from(i == at))).collect()
            };
            for (at, dx) in dxs.iter().enumerate() {
                assert!((along(&unit(n, at), &w, &[0.; 3]) - dx).abs() < 1e-13, "x[{at}]");
            }
            for (at, dw) in dw.iter().enumerate() {
                assert!((along(&xs, &unit(12, at), &[0.; 3]) - dw).abs() < 1e-13, "w[{at}]");
            }
            for (at, db) in db.iter().enumerate() {
                assert!((along(&xs, &[0.; 12], &unit(3, at)) - db).abs() < 1e-13, "b[{at}]");
            }
        }
    }
}
