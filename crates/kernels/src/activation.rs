//! Pointwise non-linearities with their derivatives.

use rayon::prelude::*;

use crate::Real;

/// Most elements of a task: below it a thread costs more than it saves.
const GRAIN: usize = 4096;

/// A pointwise non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x · Φ(x)` with the exact error function (Hendrycks and Gimpel 2016).
    Gelu,
    /// `x · sigmoid(x)`.
    Silu,
    /// `x · sigmoid(2 √(2/π) (x + 0.044715 x³))`, the approximation with the hyperbolic tangent.
    GeluTanh,
    /// `x · sigmoid(1.702 x)`, the approximation of GELU that CLIP was trained with.
    QuickGelu,
}

/// The slope of [`Activation::QuickGelu`]'s sigmoid.
const QUICK: f64 = 1.702;
/// The cubic term of [`Activation::GeluTanh`].
const CUBIC: f64 = 0.044_715;
/// `2 √(2/π)`.
const TANH: f64 = 2. * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;

impl Activation {
    /// The value at `x`.
    pub fn value<T: Real>(self, x: T) -> T {
        match self {
            Self::Gelu => x * gauss_cdf(x),
            Self::Silu => x * sigmoid(x),
            Self::GeluTanh => x * sigmoid(T::of(TANH) * x * (T::ONE + T::of(CUBIC) * x * x)),
            Self::QuickGelu => x * sigmoid(T::of(QUICK) * x),
        }
    }

    /// The derivative at `x`.
    pub fn slope<T: Real>(self, x: T) -> T {
        match self {
            Self::Gelu => {
                let density =
                    (-(x * x) / T::of(2.)).exp() * T::of(1. / (2. * std::f64::consts::PI).sqrt());
                gauss_cdf(x) + x * density
            }
            Self::Silu => {
                let s = sigmoid(x);
                s * (T::ONE + x * (T::ONE - s))
            }
            Self::GeluTanh => {
                let square = T::of(CUBIC) * x * x;
                let s = sigmoid(T::of(TANH) * x * (T::ONE + square));
                let inner = T::of(TANH) * x * (T::ONE + T::of(3.) * square);
                s * (T::ONE + inner * (T::ONE - s))
            }
            Self::QuickGelu => {
                let x = T::of(QUICK) * x;
                let s = sigmoid(x);
                s * (T::ONE + x * (T::ONE - s))
            }
        }
    }

    /// Applies the function to every element.
    pub fn forward<T: Real>(self, xs: &[T], ys: &mut [T]) {
        let per_task = per_task(xs.len());
        xs.par_chunks(per_task).zip(ys.par_chunks_mut(per_task)).for_each(|(xs, ys)| {
            xs.iter().zip(ys).for_each(|(&x, y)| *y = self.value(x));
        });
    }

    /// `dx = dy · f'(x)`.
    pub fn backward<T: Real>(self, xs: &[T], dys: &[T], dxs: &mut [T]) {
        let per_task = per_task(xs.len());
        let dys = dys.par_chunks(per_task);
        xs.par_chunks(per_task).zip(dys).zip(dxs.par_chunks_mut(per_task)).for_each(
            |((xs, dys), dxs)| {
                let inputs = xs.iter().zip(dys);
                inputs.zip(dxs).for_each(|((&x, &dy), dx)| *dx = dy * self.slope(x));
            },
        );
    }
}

/// Elements a task, of which all tasks have about as many.
fn per_task(n: usize) -> usize {
    n.div_ceil(n.div_ceil(GRAIN).max(1)).max(1)
}

fn gauss_cdf<T: Real>(x: T) -> T {
    (T::ONE + (x * T::of(std::f64::consts::FRAC_1_SQRT_2)).erf()) / T::of(2.)
}

fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_match_pytorch() {
        // torch.nn.functional.gelu and silu in float64 at 1.0 and -0.5
        for (activation, x, expected) in [
            (Activation::Gelu, 1., 0.841_344_746_068_542_9),
            (Activation::Gelu, -0.5, -0.154_268_769_362_993_45),
            (Activation::GeluTanh, 1., 0.841_191_990_608_276_9),
            (Activation::GeluTanh, -0.5, -0.154_285_990_174_856_06),
            (Activation::Silu, 1., 0.731_058_578_630_004_9),
            (Activation::Silu, -0.5, -0.188_770_334_399_072_7),
        ] {
            let value: f64 = activation.value(x);
            assert!((value - expected).abs() < 1e-15, "{activation:?}({x}) = {value}");
        }
    }

    #[test]
    fn slopes_match_finite_differences() {
        for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Silu] {
            for x in [-3., -0.7, 0., 0.4, 2.5f64] {
                let h = 1e-6;
                let rise = activation.value(x + h) - activation.value(x - h);
                assert!((activation.slope(x) - rise / (2. * h)).abs() < 1e-9, "{activation:?} {x}");
            }
        }
    }
}
