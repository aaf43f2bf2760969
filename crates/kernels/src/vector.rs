//! The exponential and its kin, in the widest instructions that the CPU has.
//!
//! The exponent is taken off as a whole power of two, and what is left, at most ln 2 / 2, goes
//! through the Taylor series up to the seventh power, whose rest is below 6e-9.

use crate::Real;
use crate::cpu::{Work, widest};

/// Numbers that are worked on together.
const LANES: usize = 16;
/// Below it the result, 1.2e-38, is no longer a normal number and becomes zero.
const LOWEST: f32 = -87.33;
/// Above it the power of two no longer fits, and the result is infinite.
const HIGHEST: f32 = 88.37;
/// Adding it to a number below 2²² leaves the rounded number in the lowest bits.
const ROUND: f32 = 12_582_912.;

/// `a b + c`, in one rounding where the CPU has it.
#[inline(always)]
pub(crate) fn madd<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `e` to the power of `x`, without a branch, to two units in the last place.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    let shifted = madd::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // ln 2 in two parts, of which the first times any `n` is exact
    let r = madd::<FMA>(n, -0.693_359_4, x);
    let r = madd::<FMA>(n, 2.121_944_4e-4, r);
    let mut y = 1. / 5040.;
    for factor in [1. / 720., 1. / 120., 1. / 24., 1. / 6., 1. / 2., 1., 1.] {
        y = madd::<FMA>(y, r, factor);
    }
    let y = y * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    let y = if x > HIGHEST { f32::INFINITY } else { y };
    if x < LOWEST { 0. } else { y }
}

/// `ln(1 + exp(x))`, to four units in the last place.
///
/// The logarithm of 1 + e for e up to 1 is twice the inverse hyperbolic tangent of e / (2 + e), of
/// which the series up to the thirteenth power is exact to 2e-8.
#[inline(always)]
pub(crate) fn softplus<const FMA: bool>(x: f32) -> f32 {
    let e = exp::<FMA>(if x > 0. { -x } else { x });
    let s = e / (2. + e);
    let square = s * s;
    let mut y = 1. / 13.;
    for factor in [1. / 11., 1. / 9., 1. / 7., 1. / 5., 1. / 3., 1.] {
        y = madd::<FMA>(y, square, factor);
    }
    madd::<FMA>(2. * s, y, if x > 0. { x } else { 0. })
}

/// The normal distribution's mass below `-x`, for `x` from zero on.
///
/// That mass times `exp(x²/2)` is, in `1 / (1 + 0.26 x)`, a polynomial of the ninth degree up to
/// 6e-9 of it, fitted by reweighted least squares for the smallest largest error.
#[inline(always)]
pub(crate) fn gauss_tail<const FMA: bool>(x: f32) -> f32 {
    const FIT: [f32; 10] = [
        0.033_913_303,
        -0.170_446_11,
        0.290_804_03,
        -0.200_562_13,
        0.199_899_17,
        0.031_331_874,
        0.109_435_73,
        0.101_725_99,
        0.103_905_24,
        -7.089_481_6e-6,
    ];
    let t = 1. / madd::<FMA>(x, 0.26, 1.);
    let mut y = 0.;
    for factor in FIT {
        y = madd::<FMA>(y, t, factor);
    }
    y * exp::<FMA>(-0.5 * x * x)
}

#[inline(always)]
pub(crate) fn exp_minus_with<const FMA: bool>(xs: &mut [f32], shift: f32) -> f32 {
    let mut sums = [0.; LANES];
    let (lanes, rest) = xs.as_chunks_mut::<LANES>();
    for lanes in lanes {
        for i in 0..LANES {
            lanes[i] = exp::<FMA>(lanes[i] - shift);
            sums[i] += lanes[i];
        }
    }
    let mut total = 0.;
    for sum in sums {
        total += sum;
    }
    for x in rest {
        *x = exp::<FMA>(*x - shift);
        total += *x;
    }
    total
}

#[inline(always)]
pub(crate) fn largest_with(xs: &[f32]) -> f32 {
    let mut tops = [f32::MIN; LANES];
    let (lanes, rest) = xs.as_chunks::<LANES>();
    for lanes in lanes {
        for i in 0..LANES {
            tops[i] = if lanes[i] > tops[i] { lanes[i] } else { tops[i] };
        }
    }
    let mut top = f32::MIN;
    for x in tops.iter().chain(rest) {
        top = if *x > top { *x } else { top };
    }
    top
}

/// The sum of `f` of every entry, as sixteen sums side by side, which vector instructions can add.
#[inline(always)]
pub(crate) fn sum_of<T: Real>(xs: &[T], f: impl Fn(T) -> T) -> T {
    let mut sums = [T::ZERO; LANES];
    let (lanes, rest) = xs.as_chunks::<LANES>();
    for lanes in lanes {
        for i in 0..LANES {
            sums[i] += f(lanes[i]);
        }
    }
    sums.into_iter().sum::<T>() + rest.iter().map(|&x| f(x)).sum::<T>()
}

struct ExpMinus<'a>(&'a mut [f32], f32);

impl Work for ExpMinus<'_> {
    type Out = f32;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> f32 {
        exp_minus_with::<FMA>(self.0, self.1)
    }
}

struct Largest<'a>(&'a [f32]);

impl Work for Largest<'_> {
    type Out = f32;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> f32 {
        largest_with(self.0)
    }
}

/// Replaces every `x` by `exp(x − shift)` and returns their sum.
pub(crate) fn exp_minus(xs: &mut [f32], shift: f32) -> f32 {
    widest(ExpMinus(xs, shift))
}

/// The largest entry, at least the lowest finite number; what is not a number counts for nothing.
pub(crate) fn largest(xs: &[f32]) -> f32 {
    widest(Largest(xs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_two_units_in_the_last_place() {
        let xs: Vec<f32> = (-87_000..80_000).map(|i| i as f32 / 1000. + 3e-4).collect();
        for kind in [exp_minus, exp_minus_with::<true>, exp_minus_with::<false>] {
            let mut ys = xs.clone();
            let total = kind(&mut ys, 0.);
            for (&x, &y) in xs.iter().zip(&ys) {
                let truth = f64::from(x).exp();
                let error = (f64::from(y) - truth).abs() / truth;
                assert!(error < 2. * f64::from(f32::EPSILON), "exp({x}) = {y}, off by {error:e}");
            }
            let sum: f64 = ys.iter().map(|&y| f64::from(y)).sum();
            assert!((f64::from(total) / sum - 1.).abs() < 1e-5, "{total} {sum}");
        }
    }

    #[test]
    fn the_softplus_is_right_at_both_ends() {
        for i in -8600..9000 {
            let x = i as f32 / 100. + 3e-3;
            let truth = f64::from(x).exp().ln_1p();
            for y in [softplus::<true>(x), softplus::<false>(x)] {
                let error = (f64::from(y) - truth).abs() / truth;
                assert!(error < 4. * f64::from(f32::EPSILON), "softplus({x}) = {y}: {error:e}");
            }
        }
        assert!(softplus::<true>(f32::NAN).is_nan());
    }

    #[test]
    fn the_tail_of_the_normal_distribution_is_right_as_far_as_its_exponent_is_rounded() {
        for i in 0..13_000 {
            let x = i as f32 / 1000. + 3e-5;
            let truth = libm::erfc(f64::from(x) * std::f64::consts::FRAC_1_SQRT_2) / 2.;
            for y in [gauss_tail::<true>(x), gauss_tail::<false>(x)] {
                let error = (f64::from(y) - truth).abs() / truth;
                let bound = f64::from(f32::EPSILON * (3. + x * x / 2.));
                assert!(error < bound, "the tail at {x} = {y}: {error:e}");
            }
        }
        assert_eq!(gauss_tail::<true>(f32::INFINITY), 0.);
        assert!(gauss_tail::<true>(f32::NAN).is_nan());
    }

    #[test]
    fn the_ends_are_zero_infinite_and_no_number() {
        let mut ys = [f32::MIN, f32::NEG_INFINITY, -90., 89., f32::INFINITY, f32::NAN];
        exp_minus(&mut ys, 0.);
        assert_eq!(ys[..5], [0., 0., 0., f32::INFINITY, f32::INFINITY]);
        assert!(ys[5].is_nan());
    }

    #[test]
    fn the_largest_of_any_length() {
        let xs: Vec<f32> = (0..37).map(|i| ((i * 23) % 37) as f32 - 40.).collect();
        for n in 1..=xs.len() {
            let top = xs[..n].iter().copied().fold(f32::MIN, f32::max);
            assert_eq!(largest(&xs[..n]), top);
        }
        assert_eq!(largest(&[]), f32::MIN);
    }
}
