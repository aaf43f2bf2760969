//! Pointwise non-linearities with their derivatives.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use rayon::prelude::*;

use crate::Real;
use crate::cpu::{Work, widest};

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
const TANH: f64 = 2. * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
/// `1 / √(2π)`.
const DENSITY: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2 / 2.;

impl Activation {
    /// Applies the function to every element.
    pub fn forward<T: Real>(self, xs: &[T], ys: &mut [T]) {
        let per_task = per_task(xs.len());
        xs.par_chunks(per_task)
            .zip(ys.par_chunks_mut(per_task))
            .for_each(|(xs, ys)| widest(Values { activation: self, xs, ys }));
    }

    /// `dx = dy · f'(x)`.
    pub fn backward<T: Real>(self, xs: &[T], dys: &[T], dxs: &mut [T]) {
        let per_task = per_task(xs.len());
        let dys = dys.par_chunks(per_task);
        xs.par_chunks(per_task)
            .zip(dys)
            .zip(dxs.par_chunks_mut(per_task))
            .for_each(|((xs, dys), dxs)| widest(Slopes { activation: self, xs, dys, dxs }));
    }

    /// Replaces every element by the function of it.
    pub(crate) fn in_place(self, xs: &mut [f32]) {
        xs.par_chunks_mut(per_task(xs.len())).for_each(|xs| widest(InPlace(self, xs)));
    }

    /// Writes the function of a number to its place, one by one.
    #[inline(always)]
    pub(crate) fn each<'a, T: Real, const FMA: bool>(
        self,
        each: impl Iterator<Item = (T, &'a mut T)>,
    ) {
        match self {
            Activation::Gelu => {
                for (x, y) in each {
                    *y = x * gauss_cdf::<T, FMA>(x);
                }
            }
            Activation::Silu => {
                for (x, y) in each {
                    *y = x * sigmoid::<T, FMA>(x);
                }
            }
            Activation::GeluTanh => {
                for (x, y) in each {
                    let inner = T::of(TANH) * x * (T::ONE + T::of(CUBIC) * x * x);
                    *y = x * sigmoid::<T, FMA>(inner);
                }
            }
            Activation::QuickGelu => {
                for (x, y) in each {
                    *y = x * sigmoid::<T, FMA>(T::of(QUICK) * x);
                }
            }
        }
    }
}

struct Values<'a, T> {
    activation: Activation,
    xs: &'a [T],
    ys: &'a mut [T],
}

impl<T: Real> Work for Values<'_, T> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.activation.each::<T, FMA>(self.xs.iter().copied().zip(self.ys));
    }
}

struct InPlace<'a>(Activation, &'a mut [f32]);

impl Work for InPlace<'_> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.0.each::<f32, FMA>(self.1.iter_mut().map(|x| (*x, x)));
    }
}

struct Slopes<'a, T> {
    activation: Activation,
    xs: &'a [T],
    dys: &'a [T],
    dxs: &'a mut [T],
}

impl<T: Real> Work for Slopes<'_, T> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let each = self.xs.iter().copied().zip(self.dys.iter().copied()).zip(self.dxs);
        match self.activation {
            Activation::Gelu => {
                for ((x, dy), dx) in each {
                    let density = (-(x * x) / T::of(2.)).exp_in_lane::<FMA>() * T::of(DENSITY);
                    *dx = dy * (gauss_cdf::<T, FMA>(x) + x * density);
                }
            }
            Activation::Silu => {
                for ((x, dy), dx) in each {
                    let s = sigmoid::<T, FMA>(x);
                    *dx = dy * s * (T::ONE + x * (T::ONE - s));
                }
            }
            Activation::GeluTanh => {
                for ((x, dy), dx) in each {
                    let square = T::of(CUBIC) * x * x;
                    let s = sigmoid::<T, FMA>(T::of(TANH) * x * (T::ONE + square));
                    let inner = T::of(TANH) * x * (T::ONE + T::of(3.) * square);
                    *dx = dy * s * (T::ONE + inner * (T::ONE - s));
                }
            }
            Activation::QuickGelu => {
                for ((x, dy), dx) in each {
                    let x = T::of(QUICK) * x;
                    let s = sigmoid::<T, FMA>(x);
                    *dx = dy * s * (T::ONE + x * (T::ONE - s));
                }
            }
        }
    }
}

/// Elements a task, of which all tasks have about as many.
fn per_task(n: usize) -> usize {
    n.div_ceil(n.div_ceil(GRAIN).max(1)).max(1)
}

/// The normal distribution's mass below `x`.
#[inline(always)]
fn gauss_cdf<T: Real, const FMA: bool>(x: T) -> T {
    let is_negative = x < T::ZERO;
    let tail = (if is_negative { -x } else { x }).gauss_tail_in_lane::<FMA>();
    if is_negative { tail } else { T::ONE - tail }
}

#[inline(always)]
fn sigmoid<T: Real, const FMA: bool>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp_in_lane::<FMA>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 4] =
        [Activation::Gelu, Activation::Silu, Activation::GeluTanh, Activation::QuickGelu];

    fn value(activation: Activation, x: f64) -> f64 {
        let mut y = [0.];
        activation.forward(&[x], &mut y);
        y[0]
    }

    fn slope(activation: Activation, x: f64) -> f64 {
        let mut dx = [0.];
        activation.backward(&[x], &[1.], &mut dx);
        dx[0]
    }

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
            let value = value(activation, x);
            assert!((value - expected).abs() < 1e-15, "{activation:?}({x}) = {value}");
        }
    }

    #[test]
    fn slopes_match_finite_differences() {
        for activation in ALL {
            for x in [-3., -0.7, 0., 0.4, 2.5f64] {
                let h = 1e-6;
                let rise = value(activation, x + h) - value(activation, x - h);
                assert!(
                    (slope(activation, x) - rise / (2. * h)).abs() < 1e-9,
                    "{activation:?} {x}"
                );
            }
        }
    }

    #[test]
    fn vector_instructions_give_what_double_precision_gives() {
        // a length that leaves a rest, and both tails
        let xs: Vec<f32> = (0..2_005).map(|i| (i as f32 - 1_000.) / 61.).collect();
        let wide: Vec<f64> = xs.iter().map(|&x| f64::from(x)).collect();
        for activation in ALL {
            let (mut ys, mut truth) = (vec![0f32; xs.len()], vec![0f64; xs.len()]);
            activation.forward(&xs, &mut ys);
            activation.forward(&wide, &mut truth);
            let (mut dxs, mut slopes) = (ys.clone(), truth.clone());
            activation.backward(&xs, &vec![1.; xs.len()], &mut dxs);
            activation.backward(&wide, &vec![1.; xs.len()], &mut slopes);
            for i in 0..xs.len() {
                let scale = f64::from(xs[i].abs()).max(1.);
                for (ours, truth, bound) in [(ys[i], truth[i], 3e-7), (dxs[i], slopes[i], 1e-6)] {
                    let gap = (f64::from(ours) - truth).abs();
                    assert!(gap < bound * scale, "{activation:?} at {}: {ours} {truth}", xs[i]);
                }
            }
        }
    }
}
