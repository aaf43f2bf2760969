//! Pillow's bicubic filter, to the bit.
//!
//! Two passes, each with fixed-point weights and rounded to 8 bits; when an image
//! shrinks the filter widens with it, which is what antialiases. Only the crop's pixels are computed.
//! Source: `src/libImaging/Resample.c` and `Geometry.c` of Pillow, for what is rounded and where.

use std::ops::Range;

/// Fraction bits of a weight: 32 less 8 of a sample and 2 for overshoot and sign.
const PRECISION: u32 = 22;

/// One axis of a resize: how many samples become how many, and which of those are wanted.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) n_in: usize,
    pub(super) n_out: usize,
    pub(super) wanted: Range<usize>,
}

/// The samples that make one output sample.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

impl Axis {
    fn scale(&self) -> f64 {
        self.n_in as f64 / self.n_out as f64
    }

    fn bicubic(&self) -> Vec<Taps> {
        let stretch = self.scale().max(1.);
        let support = 2. * stretch;
        let taps = |i| {
            let centre = (i as f64 + 0.5) * self.scale();
            let first = (centre - support + 0.5).max(0.) as usize;
            let end = ((centre + support + 0.5) as usize).min(self.n_in);
            let near: Vec<_> =
                (first..end).map(|j| cubic((j as f64 - centre + 0.5) * (1. / stretch))).collect();
            let sum: f64 = near.iter().sum();
            let fixed = |w: &f64| (w / sum * f64::from(1 << PRECISION)).round() as i32;
            Taps { first, weights: near.iter().map(fixed).collect() }
        };
        self.wanted.clone().map(taps).collect()
    }

    /// The sample under each output sample's centre; the centres are added up, as Pillow does.
    fn nearest(&self) -> Vec<usize> {
        let centres = std::iter::successors(Some(self.scale() * 0.5), |at| Some(at + self.scale()));
        let wanted = centres.skip(self.wanted.start).take(self.wanted.len());
        wanted.map(|at| (at as usize).min(self.n_in - 1)).collect()
    }
}

/// Keys' cubic convolution kernel with a = −0.5 (Keys 1981, equation 15).
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1. {
        ((A + 2.) * x - (A + 3.)) * x * x + 1.
    } else if x < 2. {
        (((x - 5.) * x + 8.) * x - 4.) * A
    } else {
        0.
    }
}

/// `(rows.n_in, columns.n_in, channels)` bytes to the wanted `(rows, columns, channels)`.
///
/// A picture more than twice as high as wide that shrinks is first resized downwards, as Pillow 13
/// does it; all others first across. The pass in between rounds, so the order shows.
pub(super) fn bicubic(bytes: &[u8], n_channels: usize, columns: &Axis, rows: &Axis) -> Vec<u8> {
    let (across, down) = (columns.bicubic(), rows.bicubic());
    if rows.n_in > 2 * columns.n_in && rows.n_out < rows.n_in {
        let low = lowered(bytes, columns.n_in * n_channels, 0, &down);
        return thin(low.chunks_exact(columns.n_in * n_channels), n_channels, &across);
    }
    let needed = |(first, last): (&Taps, &Taps)| first.first..last.first + last.weights.len();
    let needed = down.first().zip(down.last()).map_or(0..0, needed);
    let sources = bytes.chunks_exact(columns.n_in * n_channels);
    let sources = sources.skip(needed.start).take(needed.len());
    let thin = thin(sources, n_channels, &across);
    lowered(&thin, across.len() * n_channels, needed.start, &down)
}

/// Rows of bytes, each resized across.
fn thin<'a>(rows: impl Iterator<Item = &'a [u8]>, n_channels: usize, across: &[Taps]) -> Vec<u8> {
    match n_channels {
        1 => rows.flat_map(|row| thinned::<1>(row, across)).collect(),
        2 => rows.flat_map(|row| thinned::<2>(row, across)).collect(),
        3 => rows.flat_map(|row| thinned::<3>(row, across)).collect(),
        _ => rows.flat_map(|row| thinned::<4>(row, across)).collect(),
    }
}

/// Rows of `width` bytes, the first of them row `start` of the picture, resized downwards.
fn lowered(bytes: &[u8], width: usize, start: usize, down: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(down.len() * width);
    let mut sums = vec![0; width];
    for taps in down {
        sums.fill(0);
        let near = bytes[(taps.first - start) * width..].chunks_exact(width);
        for (row, weight) in near.zip(&taps.weights) {
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += i32::from(v) * weight);
        }
        out.extend(sums.iter().map(|&sum| rounded(sum)));
    }
    out
}

/// One row of pixels of `N` channels, resized.
fn thinned<const N: usize>(row: &[u8], across: &[Taps]) -> Vec<u8> {
    let (pixels, _) = row.as_chunks::<N>();
    let pixel = |taps: &Taps| {
        let mut sums = [0; N];
        for (pixel, weight) in pixels[taps.first..].iter().zip(&taps.weights) {
            sums.iter_mut().zip(pixel).for_each(|(sum, &v)| *sum += i32::from(v) * weight);
        }
        sums.map(rounded)
    };
    across.iter().flat_map(pixel).collect()
}

fn rounded(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}

/// The same shapes by nearest neighbour, one channel: for indices, which cannot be averaged.
pub(super) fn nearest(bytes: &[u8], columns: &Axis, rows: &Axis) -> Vec<u8> {
    let across = columns.nearest();
    let row = |y: usize| across.iter().map(move |x| bytes[y * columns.n_in + x]);
    rows.nearest().into_iter().flat_map(row).collect()
}
