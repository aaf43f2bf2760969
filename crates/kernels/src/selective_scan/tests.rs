use super::*;
use crate::testing::noise;

struct Case<T> {
    n_tokens: usize,
    reverse: bool,
    /// Inputs, step sizes, `B` and `C`, `A`, `D`, bias.
    parts: [Vec<T>; 6],
}

impl<T: Real> Case<T> {
    /// Two items; channels that are no multiple of the lanes.
    fn new(n_tokens: usize, n_channels: usize, reverse: bool) -> Self {
        let n = 2 * n_tokens * n_channels;
        let mut a = noise::<T>(4, n_channels * STATES);
        a.iter_mut().for_each(|a| *a = T::of(-(a.wide() * 2.).exp()));
        let (inputs, d, bias) =
            (noise(3, 2 * n_tokens * 2 * STATES), noise(5, n_channels), noise(6, n_channels));
        Self { n_tokens, reverse, parts: [noise(1, n), noise(2, n), inputs, a, d, bias] }
    }

    fn scan(&self) -> SelectiveScan<'_, T> {
        let [xs, deltas, inputs, a, d, delta_bias] = &self.parts;
        let (xs, deltas) = (Band::whole(xs, d.len()), Band::whole(deltas, d.len()));
        let (n_tokens, reverse) = (self.n_tokens, self.reverse);
        SelectiveScan { n_tokens, xs, deltas, inputs, a, d, delta_bias, reverse }
    }

    fn out(&self) -> Vec<T> {
        let mut ys = vec![T::ZERO; self.parts[0].len()];
        self.scan().forward(&mut ys);
        ys
    }

    /// By the definition, in `f64`.
    fn plain(&self) -> Vec<f64> {
        let [xs, deltas, inputs, a, d, bias] =
            self.parts.each_ref().map(|part| part.iter().map(|x| x.wide()).collect::<Vec<_>>());
        let n = d.len();
        let mut ys = vec![0.; xs.len()];
        for item in 0..2 {
            for channel in 0..n {
                let mut h = [0.; STATES];
                for step in 0..self.n_tokens {
                    let token = if self.reverse { self.n_tokens - 1 - step } else { step };
                    let row = item * self.n_tokens + token;
                    let x = xs[row * n + channel];
                    let step = (deltas[row * n + channel] + bias[channel]).exp().ln_1p();
                    let mut y = d[channel] * x;
                    for (s, h) in h.iter_mut().enumerate() {
                        let (b, c) = (inputs[row * 32 + s], inputs[row * 32 + 16 + s]);
                        *h = (step * a[channel * STATES + s]).exp() * *h + step * x * b;
                        y += *h * c;
                    }
                    ys[row * n + channel] = y;
                }
            }
        }
        ys
    }
}

fn gap<T: Real>(a: &[T], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a.wide() - b).abs()).fold(0., f64::max)
}

#[test]
fn the_scan_is_that_of_the_definition() {
    for (n_tokens, n_channels) in [(1, 1), (3, 16), (150, 70)] {
        for reverse in [false, true] {
            let wide = Case::<f64>::new(n_tokens, n_channels, reverse);
            assert!(gap(&wide.out(), &wide.plain()) < 1e-13);
            let narrow = Case::<f32>::new(n_tokens, n_channels, reverse);
            let plain = narrow.plain();
            assert!(gap(&narrow.out(), &plain) < 1e-5, "{}", gap(&narrow.out(), &plain));
        }
    }
}

#[test]
fn the_code_for_this_cpu_equals_the_plain_one() {
    let case = Case::<f32>::new(100, 20, true);
    let out = case.out();
    let mut plain = vec![0f32; out.len()];
    for (item, ys) in plain.chunks_mut(100 * 20).enumerate() {
        let mut rows: Vec<&mut [f32]> = ys.chunks_mut(20).collect();
        forward::tokens::<f32, false>(&case.scan(), item, 0, &mut rows);
    }
    let wide: Vec<f64> = plain.iter().map(|&y| f64::from(y)).collect();
    assert!(gap(&out, &wide) < 1e-5);
}

#[test]
fn gradients_match_finite_differences() {
    for reverse in [false, true] {
        let mut case = Case::<f64>::new(150, 18, reverse);
        let dys: Vec<f64> = noise(7, case.parts[0].len());
        let Scanned { xs, deltas, inputs, a, d, delta_bias } = case.scan().backward(&dys);
        for (part, gradient) in [xs, deltas, inputs, a, d, delta_bias].iter().enumerate() {
            let largest = gradient.iter().fold(0f64, |top, g| top.max(g.abs()));
            for probe in 0..12 {
                let at = probe * (gradient.len() - 1) / 11;
                let mut moved = |step: f64| -> f64 {
                    case.parts[part][at] += step;
                    case.plain().iter().zip(&dys).map(|(y, d)| y * d).sum()
                };
                let slope = (moved(1e-5) - moved(-2e-5)) / 2e-5;
                moved(1e-5);
                let error = (slope - gradient[at]).abs() / largest;
                assert!(error < 1e-7, "part {part} [{at}]: {} {slope}", gradient[at]);
            }
        }
    }
}

#[test]
fn channels_within_wider_rows_are_read_in_place() {
    let case = Case::<f64>::new(5, 4, false);
    let mut rows = Vec::new();
    for row in case.parts[0].chunks(4).zip(case.parts[1].chunks(4)) {
        rows.push(9.);
        rows.extend(row.0);
        rows.extend(row.1);
    }
    let band = |first| Band { data: &rows, stride: 9, first };
    let mut ys = vec![0.; 40];
    SelectiveScan { xs: band(1), deltas: band(5), ..case.scan() }.forward(&mut ys);
    assert_eq!(ys, case.out());
}
