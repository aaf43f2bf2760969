//! Layer norm (Ba et al. 2016) and RMS norm (Zhang and Sennrich 2019) over rows of `dim` entries.

use crate::Real;
use crate::cpu::{Work, widest};
use crate::rows::{map_rows, sum_rows};
use crate::vector::sum_of;

/// `(mean, 1 / sqrt(variance + eps))` of a row; the variance is the biased one, as PyTorch's.
#[inline(always)]
fn moments<T: Real>(x: &[T], eps: T) -> (T, T) {
    let n = T::of(x.len() as f64);
    let mean = sum_of(x, |v| v) / n;
    let variance = sum_of(x, |v| (v - mean) * (v - mean)) / n;
    (mean, T::ONE / (variance + eps).sqrt())
}

#[inline(always)]
fn inverse_rms<T: Real>(x: &[T], eps: T) -> T {
    let n = T::of(x.len() as f64);
    T::ONE / (sum_of(x, |v| v * v) / n + eps).sqrt()
}

/// `y = (x − mean) / sqrt(var + eps) · weight + bias`, row by row.
pub fn layer_norm<T: Real>(xs: &[T], weight: &[T], bias: &[T], eps: f64, ys: &mut [T]) {
    map_rows(xs, ys, weight.len(), |_, x, y| widest(LayerNorm { x, weight, bias, eps, y }));
}

/// A row of [`layer_norm`].
struct LayerNorm<'a, T> {
    x: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
    eps: f64,
    y: &'a mut [T],
}

impl<T: Real> Work for LayerNorm<'_, T> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { x, weight, bias, eps, y } = self;
        let (mean, rstd) = moments(x, T::of(eps));
        for (((y, &x), &weight), &bias) in y.iter_mut().zip(x).zip(weight).zip(bias) {
            *y = (x - mean) * rstd * weight + bias;
        }
    }
}

/// Gradients of [`layer_norm`]: writes `dx` and, when asked for, returns `(dweight, dbias)`.
pub fn layer_norm_backward<T: Real>(
    xs: &[T],
    weight: &[T],
    dys: &[T],
    eps: f64,
    dxs: &mut [T],
    with_parameters: bool,
) -> Option<(Vec<T>, Vec<T>)> {
    let dim = weight.len();
    let n = T::of(dim as f64);
    map_rows(xs, dxs, dim, |row, x, dx| {
        let dy = &dys[row * dim..(row + 1) * dim];
        let (mean, rstd) = moments(x, T::of(eps));
        let mut sum = T::ZERO;
        let mut dot = T::ZERO;
        for i in 0..dim {
            let g = dy[i] * weight[i];
            sum += g;
            dot += g * (x[i] - mean) * rstd;
        }
        for i in 0..dim {
            let xhat = (x[i] - mean) * rstd;
            dx[i] = rstd * (dy[i] * weight[i] - sum / n - xhat * dot / n);
        }
    });
    with_parameters.then(|| {
        let both = sum_rows(xs.len() / dim, 2 * dim, |row, sum| {
            let x = &xs[row * dim..(row + 1) * dim];
            let dy = &dys[row * dim..(row + 1) * dim];
            let (mean, rstd) = moments(x, T::of(eps));
            for i in 0..dim {
                sum[i] += dy[i] * (x[i] - mean) * rstd;
                sum[dim + i] += dy[i];
            }
        });
        (both[..dim].to_vec(), both[dim..].to_vec())
    })
}

/// `y = x / sqrt(mean(x²) + eps) · weight`, row by row.
pub fn rms_norm<T: Real>(xs: &[T], weight: &[T], eps: f64, ys: &mut [T]) {
    map_rows(xs, ys, weight.len(), |_, x, y| widest(RmsNorm { x, weight, eps, y }));
}

/// A row of [`rms_norm`].
struct RmsNorm<'a, T> {
    x: &'a [T],
    weight: &'a [T],
    eps: f64,
    y: &'a mut [T],
}

impl<T: Real> Work for RmsNorm<'_, T> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { x, weight, eps, y } = self;
        let r = inverse_rms(x, T::of(eps));
        for ((y, &x), &weight) in y.iter_mut().zip(x).zip(weight) {
            *y = x * r * weight;
        }
    }
}

/// Gradients of [`rms_norm`]: writes `dx` and, when asked for, returns `dweight`.
pub fn rms_norm_backward<T: Real>(
    xs: &[T],
    weight: &[T],
    dys: &[T],
    eps: f64,
    dxs: &mut [T],
    with_parameters: bool,
) -> Option<Vec<T>> {
    let dim = weight.len();
    let n = T::of(dim as f64);
    map_rows(xs, dxs, dim, |row, x, dx| {
        let dy = &dys[row * dim..(row + 1) * dim];
        let r = inverse_rms(x, T::of(eps));
        let dot = (0..dim).map(|i| dy[i] * weight[i] * x[i]).sum::<T>() * r * r / n;
        for i in 0..dim {
            dx[i] = r * (dy[i] * weight[i] - x[i] * dot);
        }
    });
    with_parameters.then(|| {
        sum_rows(xs.len() / dim, dim, |row, sum| {
            let x = &xs[row * dim..(row + 1) * dim];
            let r = inverse_rms(x, T::of(eps));
            for i in 0..dim {
                sum[i] += dys[row * dim + i] * x[i] * r;
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_normed_row_has_the_mean_and_spread_of_bias_and_weight() {
        let xs = [1., 2., 3., 6., -4., 0., 0.5, 9.];
        let mut ys = [0f64; 8];
        layer_norm(&xs, &[2.; 4], &[0.5; 4], 0., &mut ys);
        for y in ys.chunks(4) {
            let mean = y.iter().sum::<f64>() / 4.;
            let std = (y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4.).sqrt();
            assert!((mean - 0.5).abs() < 1e-12 && (std - 2.).abs() < 1e-12, "{mean} {std}");
        }
    }

    #[test]
    fn an_rms_normed_row_has_unit_mean_square() {
        let mut ys = [0f64; 3];
        rms_norm(&[3., -4., 12.], &[1.; 3], 0., &mut ys);
        assert!((ys.iter().map(|v| v * v).sum::<f64>() / 3. - 1.).abs() < 1e-12);
        assert!((ys[1] / ys[0] + 4. / 3.).abs() < 1e-12);
    }
}
