//! `e` to a power in `f32`, by a polynomial that the compiler turns into vector instructions.

/// Within 2 units in the last place of the exact value between −87 and 88; below, 2⁻¹²⁶ or less.
///
/// `e^x = 2^n · e^r` with `|r| ≤ ln 2 / 2`, the second factor by the polynomial of Cephes' `expf`.
#[expect(clippy::inline_always, reason = "vectorised only inside its loop")]
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding it and taking it away again rounds to whole numbers.
    const ROUND: f32 = 12_582_912.;
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.3, 88.);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + coefficient;
    }
    let power = f32::from_bits(((n as i32 + 127) << 23) as u32);
    (p * r * r + r + 1.) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exponential() {
        for i in -87_000..88_000 {
            let x = i as f32 / 1000.;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.).abs() < 2.4e-7, "{x}");
        }
        assert_eq!(exp(0.), 1.);
        assert!(exp(-1e30) < 2e-38 && exp(f32::MIN) < 2e-38);
    }
}
