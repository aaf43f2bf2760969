//! A depthwise convolution along tokens, one kernel a head: the skip path of Nyström attention
//! (Xiong et al. 2021), which adds neighbouring values to what attention gathers.

use rayon::prelude::*;

use crate::Real;

/// Tokens of one parallel task.
const BLOCK: usize = 64;

/// The sizes of values `(batch, n_heads, n_tokens, head_dim)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSizes {
    /// Heads, one kernel each.
    pub n_heads: usize,
    /// Tokens along which the kernel slides.
    pub n_tokens: usize,
    /// Channels of a head, which share its kernel.
    pub head_dim: usize,
}

impl TokenSizes {
    fn head(&self) -> usize {
        self.n_tokens * self.head_dim
    }
}

/// `y[t] = Σₖ taps[h, k] · v[t + k − n_taps / 2]`, zeros outside; an odd number of taps.
///
/// Values and result `(batch, n_heads, n_tokens, head_dim)`, taps `(n_heads, n_taps)`.
pub fn token_convolution<T: Real>(values: &[T], taps: &[T], sizes: TokenSizes, ys: &mut [T]) {
    slide(values, taps, sizes, false, ys);
}

/// Gradient of [`token_convolution`] for the values: the same with the kernel turned round.
pub fn token_convolution_values<T: Real>(dys: &[T], taps: &[T], sizes: TokenSizes, dvs: &mut [T]) {
    slide(dys, taps, sizes, true, dvs);
}

fn slide<T: Real>(xs: &[T], taps: &[T], sizes: TokenSizes, turned: bool, ys: &mut [T]) {
    let (n_taps, dim) = (taps.len() / sizes.n_heads, sizes.head_dim);
    let reach = n_taps / 2;
    let heads = ys.chunks_mut(sizes.head()).zip(xs.chunks(sizes.head())).enumerate();
    let tasks: Vec<_> = heads
        .flat_map(|(idx, (ys, xs))| {
            let taps = &taps[idx % sizes.n_heads * n_taps..][..n_taps];
            let blocks = ys.chunks_mut(BLOCK * dim).enumerate();
            blocks.map(move |(block, ys)| (taps, xs, block * BLOCK, ys))
        })
        .collect();
    tasks.into_par_iter().for_each(|(taps, xs, first, ys)| {
        for (i, y) in ys.chunks_exact_mut(dim).enumerate() {
            y.fill(T::ZERO);
            let token = first + i;
            let from = reach.saturating_sub(token);
            let to = n_taps.min(sizes.n_tokens + reach - token);
            for k in from..to {
                let tap = if turned { taps[n_taps - 1 - k] } else { taps[k] };
                let x = &xs[(token + k - reach) * dim..][..dim];
                for (y, &x) in y.iter_mut().zip(x) {
                    *y += tap * x;
                }
            }
        }
    });
}

/// Gradient of [`token_convolution`] for the taps, `(n_heads, n_taps)`, summed in a fixed order.
pub fn token_convolution_taps<T: Real>(
    values: &[T],
    dys: &[T],
    n_taps: usize,
    sizes: TokenSizes,
) -> Vec<T> {
    let reach = n_taps / 2;
    let tap = |at: usize| {
        let (head, k) = (at / n_taps, at % n_taps);
        let mut sum = T::ZERO;
        let all = values.chunks(sizes.head()).zip(dys.chunks(sizes.head()));
        for (values, dys) in all.skip(head).step_by(sizes.n_heads) {
            // tokens t for which t + k − reach is one too
            let from = reach.saturating_sub(k);
            let to = sizes.n_tokens.min((sizes.n_tokens + reach).saturating_sub(k));
            for token in from..to {
                let v = &values[(token + k - reach) * sizes.head_dim..][..sizes.head_dim];
                let dy = &dys[token * sizes.head_dim..][..sizes.head_dim];
                sum += v.iter().zip(dy).map(|(&v, &dy)| v * dy).sum::<T>();
            }
        }
        sum
    };
    (0..sizes.n_heads * n_taps).into_par_iter().map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_looks_both_ways_and_sees_zeros_outside() {
        let sizes = TokenSizes { n_heads: 2, n_tokens: 3, head_dim: 1 };
        let mut ys = [0f64; 6];
        // by hand: y[t] = a v[t−1] + b v[t] + c v[t+1]
        token_convolution(&[1., 2., 3., 1., 2., 3.], &[100., 10., 1., 0., 1., 0.], sizes, &mut ys);
        assert_eq!(ys, [12., 123., 230., 1., 2., 3.]);
    }

    #[test]
    fn the_blocks_do_not_show() {
        let sizes = TokenSizes { n_heads: 1, n_tokens: 3 * BLOCK + 5, head_dim: 2 };
        let values: Vec<f64> = (0..sizes.head()).map(|i| (i as f64 * 0.7).sin()).collect();
        let taps: Vec<f64> = (0..65).map(|k| (f64::from(k) * 0.3).cos()).collect();
        let mut ys = vec![0.; values.len()];
        token_convolution(&values, &taps, sizes, &mut ys);
        for token in 0..sizes.n_tokens {
            let sum: f64 = (0..65)
                .filter_map(|k| (token + k).checked_sub(32).map(|t| (k, t)))
                .filter(|&(_, t)| t < sizes.n_tokens)
                .map(|(k, t)| taps[k] * values[2 * t + 1])
                .sum();
            assert!((ys[2 * token + 1] - sum).abs() < 1e-12, "{token}");
        }
    }
}
