//! The two float types that the kernels are written for.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use crate::vector;

/// `f32` for work, `f64` for the tests that compare gradients with finite differences.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Sum
    + 'static
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The smallest finite value: what a masked score becomes.
    const LOWEST: Self;
    /// Rounds a constant to this type.
    fn of(value: f64) -> Self;
    /// Widens to `f64`.
    fn wide(self) -> f64;
    /// `e` to this power.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// `self · b + c`, in one rounding where `FMA`.
    fn madd<const FMA: bool>(self, b: Self, c: Self) -> Self;
    /// `e` to this power, in a form that compiles to vector instructions where there is one.
    fn exp_in_lane<const FMA: bool>(self) -> Self;
    /// `ln(1 + exp(x))`, likewise.
    fn softplus_in_lane<const FMA: bool>(self) -> Self;
    /// The normal distribution's mass below `-x`, for `x` from zero on, likewise.
    fn gauss_tail_in_lane<const FMA: bool>(self) -> Self;
    /// Replaces every `x` by `exp(x − shift)` and returns their sum.
    fn exp_minus(xs: &mut [Self], shift: Self) -> Self;
    /// The largest entry, at least the lowest finite number.
    fn largest(xs: &[Self]) -> Self;
}

macro_rules! real {
    ($t:ty, $lane:ident, $exp_minus:expr, $largest:expr) => {
        impl Real for $t {
            const ZERO: Self = 0.;
            const ONE: Self = 1.;
            const LOWEST: Self = <$t>::MIN;
            fn of(value: f64) -> Self {
                value as $t
            }
            fn wide(self) -> f64 {
                f64::from(self)
            }
            fn exp(self) -> Self {
                self.exp()
            }
            fn ln(self) -> Self {
                self.ln()
            }
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn madd<const FMA: bool>(self, b: Self, c: Self) -> Self {
                $lane::madd::<FMA>(self, b, c)
            }
            #[inline(always)]
            fn exp_in_lane<const FMA: bool>(self) -> Self {
                $lane::exp::<FMA>(self)
            }
            #[inline(always)]
            fn softplus_in_lane<const FMA: bool>(self) -> Self {
                $lane::softplus::<FMA>(self)
            }
            #[inline(always)]
            fn gauss_tail_in_lane<const FMA: bool>(self) -> Self {
                $lane::gauss_tail::<FMA>(self)
            }
            fn exp_minus(xs: &mut [Self], shift: Self) -> Self {
                $exp_minus(xs, shift)
            }
            fn largest(xs: &[Self]) -> Self {
                $largest(xs)
            }
        }
    };
}

/// The same in `f64`, one by one: for tests, where speed counts for nothing.
mod plain {
    pub(super) fn madd<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
        a * b + c
    }

    pub(super) fn exp<const FMA: bool>(x: f64) -> f64 {
        x.exp()
    }

    pub(super) fn softplus<const FMA: bool>(x: f64) -> f64 {
        x.max(0.) + (-x.abs()).exp().ln_1p()
    }

    pub(super) fn gauss_tail<const FMA: bool>(x: f64) -> f64 {
        libm::erfc(x * std::f64::consts::FRAC_1_SQRT_2) / 2.
    }

    pub(super) fn exp_minus(xs: &mut [f64], shift: f64) -> f64 {
        let mut total = 0.;
        for x in xs {
            *x = (*x - shift).exp();
            total += *x;
        }
        total
    }

    pub(super) fn largest(xs: &[f64]) -> f64 {
        xs.iter().fold(f64::MIN, |top, &x| if x > top { x } else { top })
    }
}

real!(f32, vector, vector::exp_minus, vector::largest);
real!(f64, plain, plain::exp_minus, plain::largest);
