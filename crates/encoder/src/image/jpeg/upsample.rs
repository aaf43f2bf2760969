//! Components of half the size to the size of the image, as libjpeg does it.
//!
//! A half-size sample is centred between two full-size ones, so each of these takes 3/4 of the near
//! sample and 1/4 of the far one; halves are rounded down and up in turn, so that nothing drifts.
//! Source: `jdsample.c` of libjpeg-turbo ("fancy upsampling").

use super::idct::Plane;

/// A component's samples, and how many times the image is as large.
pub(super) struct Samples {
    pub(super) plane: Plane,
    /// Width and height that are not padding.
    pub(super) size: (usize, usize),
    /// Times across and down.
    pub(super) times: (usize, usize),
}

impl Samples {
    fn row(&self, y: usize) -> &[u8] {
        &self.plane.samples[y * self.plane.n_row..][..self.size.0]
    }

    /// Three times the row under the image's row `y`, plus the one that is next nearest.
    fn between(&self, y: usize) -> impl Iterator<Item = u16> {
        let near = y / 2;
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
        let far = self.row(far.min(self.size.1 - 1));
        self.row(near).iter().zip(far).map(|(&near, &far)| 3 * u16::from(near) + u16::from(far))
    }

    /// Row `y` of the image: `width` samples, or a few more.
    pub(super) fn enlarged(&self, y: usize) -> Vec<u8> {
        // libjpeg repeats the samples of a component that is narrower than three.
        let smooth = self.size.0 > 2;
        let values = || self.row(y).iter().map(|&v| u16::from(v));
        match self.times {
            (1, 2) => {
                let half = 1 + (y % 2) as u16;
                self.between(y).map(|sum| ((sum + half) >> 2) as u8).collect()
            }
            (2, 1) if smooth => widened(&values().collect::<Vec<_>>(), 2, [1, 2]),
            (2, 2) if smooth => widened(&self.between(y).collect::<Vec<_>>(), 4, [8, 7]),
            (across, down) => {
                let row = self.row(y / down).iter();
                row.flat_map(|&v| std::iter::repeat_n(v, across)).collect()
            }
        }
    }
}

/// Twice as many samples; `halves` is what rounds the left and the right one of a pair.
fn widened(row: &[u16], shift: u32, halves: [u16; 2]) -> Vec<u8> {
    let last = row.len() - 1;
    let pair = |i: usize| {
        let far = [row[i.saturating_sub(1)], row[(i + 1).min(last)]];
        [0, 1].map(|side| ((3 * row[i] + far[side] + halves[side]) >> shift) as u8)
    };
    (0..row.len()).flat_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enlarged(samples: &[u8], n_row: usize, times: (usize, usize)) -> Vec<Vec<u8>> {
        let size = (n_row, samples.len() / n_row);
        let plane = Plane { samples: samples.to_vec(), n_row };
        let samples = Samples { plane, size, times };
        (0..size.1 * times.1).map(|y| samples.enlarged(y)).collect()
    }

    #[test]
    fn new_samples_lie_between_the_old_ones() {
        // by hand: 3/4 and 1/4, halves down on the left and up on the right
        assert_eq!(enlarged(&[0, 10, 20], 3, (2, 1)), [[0, 3, 7, 13, 17, 20]]);
        assert_eq!(enlarged(&[0, 10], 1, (1, 2)), [[0], [3], [7], [10]]);
        let four = enlarged(&[0, 0, 0, 16, 16, 16], 3, (2, 2));
        assert_eq!(four, [[0; 6], [4; 6], [12; 6], [16; 6]]);
    }

    #[test]
    fn other_sizes_and_narrow_components_are_repeated() {
        assert_eq!(enlarged(&[1, 9], 2, (2, 1)), [[1, 1, 9, 9]]);
        assert_eq!(enlarged(&[1, 9, 5], 3, (1, 1)), [[1, 9, 5]]);
        assert_eq!(enlarged(&[1, 2, 3], 3, (4, 2)), [[1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]; 2]);
    }
}
