//! The exponential over slices, in the widest instructions that the CPU has.
//!
//! One source, compiled three times: for AVX-512, for AVX2 and for any CPU. The exponent is taken
//! off as a whole power of two, and what is left, at most ln 2 / 2, goes through the Taylor series
//! up to the seventh power, whose rest is below 6e-9.

use crate::cpu;

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

#[inline(always)]
fn exp_minus_with<const FMA: bool>(xs: &mut [f32], shift: f32) -> f32 {
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
fn largest_with(xs: &[f32]) -> f32 {
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

/// Compiles a function for each kind of CPU, and chooses when it is called.
macro_rules! dispatch {
    ($(#[$doc:meta])* $name:ident, ($($arg:ident: $t:ty),*) -> $out:ty, $fast:expr, $plain:expr) => {
        $(#[$doc])*
        #[allow(unsafe_code, reason = "calls into code for this CPU")]
        pub(crate) fn $name($($arg: $t),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($arg: $t),*) -> $out {
                    $fast($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $t),*) -> $out {
                    $fast($($arg),*)
                }
                if cpu::has_avx512() {
                    // SAFETY: the CPU has what the function was compiled for
                    return unsafe { avx512($($arg),*) };
                }
                if cpu::has_avx2() {
                    // SAFETY: as above
                    return unsafe { avx2($($arg),*) };
                }
            }
            $plain($($arg),*)
        }
    };
}

dispatch! {
    /// Replaces every `x` by `exp(x − shift)` and returns their sum.
    exp_minus, (xs: &mut [f32], shift: f32) -> f32, exp_minus_with::<true>, exp_minus_with::<false>
}
dispatch! {
    /// The largest entry, at least the lowest finite number; what is no number counts for nothing.
    largest, (xs: &[f32]) -> f32, largest_with, largest_with
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
