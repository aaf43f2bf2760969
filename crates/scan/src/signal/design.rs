//! The frequency responses that are used, from the poles of analogue filters.
//!
//! Source: `scipy.signal.butter` and `cheby1`: prototype, frequency transform, bilinear transform.
//! The Butterworth filter is nilearn's (order five); the Chebyshev filter is the one that
//! `scipy.signal.decimate` and the wrappers of several encoders put before a lower sampling rate.

use nalgebra::Complex;

use super::sos::{Cascade, Padding, ZerosPolesGain};
use crate::error::{Error, Result};

const BUTTERWORTH_ORDER: usize = 5;
const CHEBYSHEV_ORDER: usize = 8;
/// Ripple of the pass band, in decibels.
const CHEBYSHEV_RIPPLE: f64 = 0.05;

/// An analogue low-pass of cut-off 1 rad/s without zeros.
struct Prototype {
    poles: Vec<Complex<f64>>,
    gain: f64,
}

/// Order five; cut-offs in Hz: what is below `high_pass` and above `low_pass` goes.
pub(super) fn butterworth(
    t_r: f64,
    high_pass: Option<f64>,
    low_pass: Option<f64>,
) -> Result<Cascade> {
    for (field, found) in [("high_pass", high_pass), ("low_pass", low_pass)] {
        if let Some(found) = found.filter(|hz| !(hz.is_finite() && *hz > 0.0)) {
            return Err(Error::Setting { field, found, expected: "a frequency above 0 Hz" });
        }
    }
    let nyquist = 1.0 / t_r * 0.5;
    let warped = |hz: f64| warped((if hz >= nyquist { just_below(nyquist) } else { hz }) / nyquist);
    let poles = angles(BUTTERWORTH_ORDER).map(|angle| -Complex::from_polar(1.0, angle));
    let prototype = Prototype { poles: poles.collect(), gain: 1.0 };
    let design = match (high_pass, low_pass) {
        (Some(high), Some(low)) if high >= low.min(nyquist) => {
            let expected = "below low_pass and below half the sampling rate";
            return Err(Error::Setting { field: "high_pass", found: high, expected });
        }
        (Some(high), Some(low)) => band_pass(prototype, warped(high), warped(low)),
        (Some(high), None) => high_pass_of(prototype, warped(high)),
        (None, Some(low)) => low_pass_of(prototype, warped(low)),
        (None, None) => ZerosPolesGain { zeros: Vec::new(), poles: Vec::new(), gain: 1.0 },
    };
    Ok(Cascade::new(design, Padding::Odd))
}

/// A low-pass of order eight that ripples by 0.05 dB, at a share of half the sampling rate.
pub(crate) fn anti_alias(share_of_nyquist: f64) -> Cascade {
    let order = CHEBYSHEV_ORDER;
    let ripple = (10_f64.powf(0.1 * CHEBYSHEV_RIPPLE) - 1.0).sqrt();
    let mu = (1.0 / ripple).asinh() / order as f64;
    let poles: Vec<_> = angles(order).map(|angle| -Complex::new(mu, angle).sinh()).collect();
    let product: Complex<f64> = poles.iter().map(|p| -p).product();
    // The ripple of an even order is below 1 at frequency 0.
    let gain = product.re / (1.0 + ripple * ripple).sqrt();
    let design = low_pass_of(Prototype { poles, gain }, warped(share_of_nyquist));
    Cascade::new(design, Padding::Even)
}

/// What cut-offs at or above half the sampling rate are lowered to. nilearn reckons it in 32 bits,
/// and a filter so near to the edge shows every digit of it.
fn just_below(nyquist: f64) -> f64 {
    f64::from(nyquist as f32 - (nyquist * 10.0) as f32 * f32::EPSILON)
}

/// The analogue frequency that the bilinear transform puts at a share of half the sampling rate.
fn warped(share_of_nyquist: f64) -> f64 {
    4.0 * (std::f64::consts::FRAC_PI_2 * share_of_nyquist).tan()
}

fn angles(order: usize) -> impl Iterator<Item = f64> {
    let unit = std::f64::consts::PI / (2 * order) as f64;
    (0..order).map(move |k| unit * (2.0 * k as f64 + 1.0 - order as f64))
}

fn low_pass_of(prototype: Prototype, cut: f64) -> ZerosPolesGain {
    let gain = prototype.gain * cut.powi(prototype.poles.len() as i32);
    bilinear(0, prototype.poles.into_iter().map(|p| p * cut).collect(), gain)
}

fn high_pass_of(prototype: Prototype, cut: f64) -> ZerosPolesGain {
    let n = prototype.poles.len();
    let product: Complex<f64> = prototype.poles.iter().map(|p| -p).product();
    let poles = prototype.poles.into_iter().map(|p| Complex::from(cut) / p).collect();
    bilinear(n, poles, prototype.gain / product.re)
}

fn band_pass(prototype: Prototype, low: f64, high: f64) -> ZerosPolesGain {
    let (width, middle) = (high - low, Complex::from(low * high));
    let n = prototype.poles.len();
    let poles = prototype.poles.into_iter().flat_map(|p| {
        let half = p * (width / 2.0);
        let root = (half * half - middle).sqrt();
        [half + root, half - root]
    });
    bilinear(n, poles.collect(), prototype.gain * width.powi(n as i32))
}

/// The left half plane to the unit disc at a sampling rate of 2; `n_zeros` zeros are at 0.
fn bilinear(n_zeros: usize, poles: Vec<Complex<f64>>, gain: f64) -> ZerosPolesGain {
    let four = Complex::from(4.0);
    let bent: Complex<f64> = poles.iter().map(|p| four - p).product();
    let gain = gain * (Complex::from(4_f64.powi(n_zeros as i32)) / bent).re;
    let mut zeros = vec![1.0; n_zeros];
    zeros.resize(poles.len(), -1.0);
    let poles = poles.into_iter().map(|p| (four + p) / (four - p)).collect();
    ZerosPolesGain { zeros, poles, gain }
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
        let filter = butterworth(0.8, Some(0.02), Some(0.1)).unwrap();
        assert_eq!((filter.sections.len(), filter.n_padded), (5, 33));
        for (hz, low, high) in [(0.05, 0.98, 1.02), (0.004, 0.0, 1e-3), (0.3, 0.0, 1e-2)] {
            let mut series = sine(hz, 0.8);
            filter.apply(&mut series).unwrap();
            assert!((low..high).contains(&amplitude(&series)), "{hz} Hz: {}", amplitude(&series));
        }
        assert_eq!(butterworth(0.8, None, Some(0.1)).unwrap().n_padded, 18);
    }

    // nilearn 0.14.1: `_check_wn("low", 1.0, nyq) / nyq`
    #[test]
    fn the_edge_is_where_nilearn_puts_it() {
        for (t_r, expected) in [(0.8, 0.999_998_855_590_820_4), (0.72, 0.999_998_760_223_387_9)] {
            let nyquist = 1.0 / t_r * 0.5;
            let found = just_below(nyquist) / nyquist;
            assert!((found - expected).abs() < 1e-15, "{t_r} s: {found}");
        }
    }

    // scipy 1.17.1: butter(5, 0.1, fs=1.25, output="sos")
    #[test]
    fn sections_agree_with_scipy() {
        let filter = butterworth(0.8, None, Some(0.1)).unwrap();
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
        butterworth(2.0, None, Some(0.1)).unwrap().apply(&mut series).unwrap();
        assert!(series.iter().all(|x| (x - 7.25).abs() < 1e-9));
    }

    // scipy 1.17.1: sosfiltfilt(cheby1(8, 0.05, 0.8 / 2.5, output="sos"), x, padtype="even")
    #[test]
    fn the_filter_before_a_lower_rate_agrees_with_scipy() {
        let mut series: Vec<f64> = (0..80_u32).map(|t| f64::from(t * t * 7 % 23)).collect();
        anti_alias(0.8 / 2.5).apply(&mut series).unwrap();
        let sum: f64 = series.iter().map(|x| x.abs()).sum();
        let expected = [2.227_466_308_988_26, 18.964_459_796_729_606, 1_097.405_293_570_087_5];
        for (found, expected) in [series[0], series[40], sum].into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn short_series_and_crossed_cut_offs_are_refused() {
        let filter = butterworth(2.0, Some(0.01), Some(0.1)).unwrap();
        let error = filter.apply(&mut [0.0; 33]).unwrap_err().to_string();
        assert_eq!(error, "a filter that runs both ways needs at least 34 frames, found 33");
        assert!(butterworth(2.0, Some(0.1), Some(0.1)).is_err());
        assert!(butterworth(2.0, Some(0.3), Some(0.4)).is_err());
        assert!(butterworth(2.0, None, Some(f64::NAN)).is_err());
        assert!(butterworth(2.0, None, Some(0.7)).is_ok());
    }
}
