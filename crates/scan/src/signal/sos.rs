//! Filters as a cascade of short sections, run forwards and backwards.
//!
//! Source: `scipy.signal.zpk2sos` and `sosfiltfilt`. A cascade of two poles each keeps its digits
//! where one long filter would lose them.

use nalgebra::Complex;

use crate::error::{Error, Result};

/// b0, b1, b2 and a1, a2 of one section; a0 is 1.
type Section = [f64; 5];

/// How a series goes on beyond its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Mirrored at the point of the end.
    Odd,
    /// Mirrored at the line of the end.
    Even,
}

/// A digital filter by its zeros, poles and gain.
pub(super) struct ZerosPolesGain {
    pub(super) zeros: Vec<f64>,
    pub(super) poles: Vec<Complex<f64>>,
    pub(super) gain: f64,
}

/// A designed filter.
#[derive(Clone, Debug)]
pub(crate) struct Cascade {
    pub(crate) sections: Vec<Section>,
    /// Values added at either end before filtering.
    pub(crate) n_padded: usize,
    padding: Padding,
}

impl Cascade {
    pub(super) fn new(design: ZerosPolesGain, padding: Padding) -> Self {
        let sections = sections(design);
        let trivial = |slot: usize| sections.iter().filter(|s| s[slot] == 0.0).count();
        let n_taps = 2 * sections.len() + 1 - trivial(2).min(trivial(4));
        Self { sections, n_padded: 3 * n_taps, padding }
    }

    /// Refuses series that are too short to be padded.
    pub(super) fn check_length(&self, n_frames: usize) -> Result<()> {
        if n_frames > self.n_padded {
            return Ok(());
        }
        let (task, expected) = ("a filter that runs both ways", self.n_padded + 1);
        Err(Error::TooFewFrames { task, found: n_frames, expected })
    }

    /// Filters one series in place, forwards and backwards: nothing is delayed.
    pub(crate) fn apply(&self, series: &mut [f64]) -> Result<()> {
        self.check_length(series.len())?;
        let (n, pad) = (series.len(), self.n_padded);
        let (first, last) = (series[0], series[n - 1]);
        let beyond = |edge: f64, x: f64| match self.padding {
            Padding::Odd => 2.0 * edge - x,
            Padding::Even => x,
        };
        let before = (1..=pad).rev().map(|i| beyond(first, series[i]));
        let after = (1..=pad).map(|i| beyond(last, series[n - 1 - i]));
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

/// Sections of two poles with the zeros nearest to them; the pole nearest to the unit circle last.
fn sections(design: ZerosPolesGain) -> Vec<Section> {
    let ZerosPolesGain { mut zeros, mut poles, gain } = design;
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
