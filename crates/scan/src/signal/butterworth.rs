//! The Butterworth filter of order five, run forwards and backwards.
//!
//! Source: nilearn 0.14 `signal.butterworth` over `scipy.signal.butter(5, output="sos")` and
//! `sosfiltfilt`. Poles of the analogue filter, frequency transform, bilinear transform, then
//! sections of two poles each: a cascade of short filters keeps its digits where one long one
//! would lose them.

use nalgebra::Complex;

use crate::error::{Error, Result};

const ORDER: usize = 5;

/// Frequencies at or above half the sampling rate are lowered to just below it.
const BELOW_NYQUIST: f64 = 1.0 - 10.0 * f32::EPSILON as f64;

/// b0, b1, b2 and a1, a2 of one section; a0 is 1.
type Section = [f64; 5];

/// A designed filter.
#[derive(Clone, Debug)]
pub(super) struct Butterworth {
    sections: Vec<Section>,
    /// Values added at either end, point-mirrored, before filtering.
    n_padded: usize,
}

impl Butterworth {
    /// Cut-offs in Hz: what is below `high_pass` and above `low_pass` goes.
    pub(super) fn new(t_r: f64, high_pass: Option<f64>, low_pass: Option<f64>) -> Result<Self> {
        for (field, found) in [("high_pass", high_pass), ("low_pass", low_pass)] {
            if let Some(found) = found.filter(|hz| !(hz.is_finite() && *hz > 0.0)) {
                return Err(Error::Setting { field, found, expected: "a frequency above 0 Hz" });
            }
        }
        let nyquist = 0.5 / t_r;
        let warped = |hz: f64| {
            let share = if hz >= nyquist { BELOW_NYQUIST } else { hz / nyquist };
            4.0 * (std::f64::consts::FRAC_PI_2 * share).tan()
        };
        let (zeros, poles, gain) = match (high_pass, low_pass) {
            (Some(high), Some(low)) if high >= low.min(nyquist) => {
                let expected = "below low_pass and below half the sampling rate";
                return Err(Error::Setting { field: "high_pass", found: high, expected });
            }
            (Some(high), Some(low)) => band_pass(warped(high), warped(low)),
            (Some(high), None) => analogue_high_pass(warped(high)),
            (None, Some(low)) => analogue_low_pass(warped(low)),
            (None, None) => (Vec::new(), Vec::new(), 1.0),
        };
        let sections = sections(zeros, poles, gain);
        let trivial = |slot: usize| sections.iter().filter(|s| s[slot] == 0.0).count();
        let n_taps = 2 * sections.len() + 1 - trivial(2).min(trivial(4));
        Ok(Self { sections, n_padded: 3 * n_taps })
    }

    /// Filters one series in place, forwards and backwards: nothing is delayed.
    pub(super) fn apply(&self, series: &mut [f64]) -> Result<()> {
        let (n, pad) = (series.len(), self.n_padded);
        if n <= pad {
            let task = "a Butterworth filter";
            return Err(Error::TooFewFrames { task, found: n, expected: pad + 1 });
        }
        let (first, last) = (series[0], series[n - 1]);
        let before = (1..=pad).rev().map(|i| 2.0 * first - series[i]);
        let after = (1..=pad).map(|i| 2.0 * last - series[n - 1 - i]);
        let mut padded: Vec<f64> = before.chain(series.iter().copied()).chain(after).collect();
        for _ in 0..2 {
            self.forward(&mut padded);
            padded.reverse();
        }
        series.copy_from_slice(&padded[pad..pad + n]);
        Ok(())
    }

    /// One pass, started as if the first value had always been there.
    fn forward(&self, series: &mut [f64]) {
        let mut level = series[0];
        for &[b0, b1, b2, a1, a2] in &self.sections {
            let answer = (b0 + b1 + b2) / (1.0 + a1 + a2);
            let mut state = [(answer - b0) * level, (b2 - a2 * answer) * level];
            level *= answer;
            for x in series.iter_mut() {
                let y = b0 * *x + state[0];
                state = [b1 * *x - a1 * y + state[1], b2 * *x - a2 * y];
                *x = y;
            }
        }
    }
}

type ZerosPolesGain = (Vec<f64>, Vec<Complex<f64>>, f64);

/// Poles of the low-pass of cut-off 1 rad/s.
fn prototype() -> impl Iterator<Item = Complex<f64>> {
    (0..ORDER).map(|k| {
        let angle = std::f64::consts::PI * (2.0 * k as f64 + 1.0 - ORDER as f64);
        -Complex::from_polar(1.0, angle / (2 * ORDER) as f64)
    })
}

fn analogue_low_pass(cut: f64) -> ZerosPolesGain {
    bilinear(0, prototype().map(|p| p * cut).collect(), cut.powi(ORDER as i32))
}

fn analogue_high_pass(cut: f64) -> ZerosPolesGain {
    bilinear(ORDER, prototype().map(|p| Complex::from(cut) / p).collect(), 1.0)
}

fn band_pass(low: f64, high: f64) -> ZerosPolesGain {
    let (width, middle) = (high - low, Complex::from(low * high));
    let halves = prototype().map(|p| p * (width / 2.0));
    let poles = halves.flat_map(|p| {
        let root = (p * p - middle).sqrt();
        [p + root, p - root]
    });
    bilinear(ORDER, poles.collect(), width.powi(ORDER as i32))
}

/// The left half plane to the unit disc at a sampling rate of 2; `n_zeros` zeros are at 0.
fn bilinear(n_zeros: usize, poles: Vec<Complex<f64>>, gain: f64) -> ZerosPolesGain {
    let four = Complex::from(4.0);
    let bent: Complex<f64> = poles.iter().map(|p| four - p).product();
    let gain = gain * (Complex::from(4_f64.powi(n_zeros as i32)) / bent).re;
    let mut zeros = vec![1.0; n_zeros];
    zeros.resize(poles.len(), -1.0);
    (zeros, poles.into_iter().map(|p| (four + p) / (four - p)).collect(), gain)
}

/// Sections of two poles with the zeros nearest to them; the pole nearest to the unit circle last.
fn sections(mut zeros: Vec<f64>, mut poles: Vec<Complex<f64>>, gain: f64) -> Vec<Section> {
    if poles.len() % 2 == 1 {
        // The section of one pole gets a second pole and zero that do nothing.
        zeros.push(0.0);
        poles.push(Complex::from(0.0));
    }
    let is_real = |p: &Complex<f64>| p.im.abs() <= 1e-10 * p.norm().max(1e-3);
    let mut sections = Vec::new();
    while !poles.is_empty() {
        let one = poles.swap_remove(least(&poles, |p| (1.0 - p.norm()).abs()));
        let two = if is_real(&one) {
            let distance = |p: &Complex<f64>| {
                if is_real(p) { (1.0 - p.norm()).abs() } else { f64::INFINITY }
            };
            poles.swap_remove(least(&poles, distance))
        } else {
            poles.swap_remove(least(&poles, |p| (p - one.conj()).norm()))
        };
        let mut zero = || zeros.swap_remove(least(&zeros, |z| (one - z).norm()));
        let (first, second) = (zero(), zero());
        let sum = one + two;
        sections.push([1.0, -first - second, first * second, -sum.re, (one * two).re]);
    }
    sections.reverse();
    if let Some(first) = sections.first_mut() {
        first[..3].iter_mut().for_each(|b| *b *= gain);
    }
    sections
}

fn least<T>(items: &[T], cost: impl Fn(&T) -> f64) -> usize {
    let costs = items.iter().map(cost).enumerate();
    costs.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f64, t_r: f64) -> Vec<f64> {
        (0..600).map(|t| (std::f64::consts::TAU * hz * f64::from(t) * t_r).sin()).collect()
    }

    fn amplitude(series: &[f64]) -> f64 {
        series[200..400].iter().fold(0.0, |peak, x| x.abs().max(peak))
    }

    #[test]
    fn a_band_keeps_what_is_inside_and_takes_what_is_outside() {
        let filter = Butterworth::new(0.8, Some(0.02), Some(0.1)).unwrap();
        assert_eq!((filter.sections.len(), filter.n_padded), (5, 33));
        for (hz, low, high) in [(0.05, 0.98, 1.02), (0.004, 0.0, 1e-3), (0.3, 0.0, 1e-2)] {
            let mut series = sine(hz, 0.8);
            filter.apply(&mut series).unwrap();
            assert!((low..high).contains(&amplitude(&series)), "{hz} Hz: {}", amplitude(&series));
        }
        assert_eq!(Butterworth::new(0.8, None, Some(0.1)).unwrap().n_padded, 18);
    }

    // scipy 1.17.1: butter(5, 0.1, fs=1.25, output="sos")
    #[test]
    fn sections_agree_with_scipy() {
        let filter = Butterworth::new(0.8, None, Some(0.1)).unwrap();
        let expected = [
            [4.894_360_861_346_697e-4, 9.788_721_722_693_394e-4, 4.894_360_861_346_697e-4]
                .into_iter()
                .chain([-0.591_398_351_399_471_2, 0.0]),
            [1.0, 2.0, 1.0].into_iter().chain([-1.261_102_541_886_747, 0.439_110_953_511_871_4]),
            [1.0, 1.0, 0.0].into_iter().chain([-1.525_510_501_310_650_7, 0.740_840_890_582_154_1]),
        ];
        assert_eq!(filter.sections.len(), expected.len());
        for (found, expected) in filter.sections.iter().zip(expected) {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            }
        }
    }

    #[test]
    fn a_constant_goes_through_a_low_pass_unchanged() {
        let mut series = vec![7.25; 40];
        Butterworth::new(2.0, None, Some(0.1)).unwrap().apply(&mut series).unwrap();
        assert!(series.iter().all(|x| (x - 7.25).abs() < 1e-9));
    }

    #[test]
    fn short_series_and_crossed_cut_offs_are_refused() {
        let filter = Butterworth::new(2.0, Some(0.01), Some(0.1)).unwrap();
        let error = filter.apply(&mut [0.0; 33]).unwrap_err().to_string();
        assert_eq!(error, "a Butterworth filter needs at least 34 frames, found 33");
        assert!(Butterworth::new(2.0, Some(0.1), Some(0.1)).is_err());
        assert!(Butterworth::new(2.0, Some(0.3), Some(0.4)).is_err());
        assert!(Butterworth::new(2.0, None, Some(f64::NAN)).is_err());
        assert!(Butterworth::new(2.0, None, Some(0.7)).is_ok());
    }
}
