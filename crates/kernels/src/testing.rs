//! What the tests of several kernels need.

use crate::Real;

/// Numbers in ±1 that look random and depend on the seed alone.
pub(crate) fn noise<T: Real>(seed: u64, n: usize) -> Vec<T> {
    let mut state = seed * 2 + 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        T::of((state >> 40) as f64 / f64::from(1 << 23) - 1.)
    };
    (0..n).map(|_| next()).collect()
}
