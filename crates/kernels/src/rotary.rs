//! Rotary position embedding (Su et al. 2021), half-split pairs as Hugging Face's LLaMA stores them.

use crate::Real;
use crate::rows::map_rows;

/// Cosines and sines for every position, `(n_positions, head_dim / 2)` each.
#[derive(Clone, Debug)]
pub struct RotaryTable {
    cos: Vec<f64>,
    sin: Vec<f64>,
    half: usize,
}

impl RotaryTable {
    /// Angles `position · inverse_frequency[i]`; pair `i` is entries `i` and `i + head_dim / 2`.
    pub fn new(inverse_frequencies: &[f64], n_positions: usize) -> Self {
        let angles = (0..n_positions)
            .flat_map(|position| inverse_frequencies.iter().map(move |f| position as f64 * f));
        let (sin, cos) = angles.map(f64::sin_cos).unzip();
        Self { cos, sin, half: inverse_frequencies.len() }
    }

    /// Cosines and sines of one position, one a pair.
    pub fn row(&self, position: u32) -> (&[f64], &[f64]) {
        let at = position as usize * self.half;
        (&self.cos[at..at + self.half], &self.sin[at..at + self.half])
    }

    /// Positions covered.
    pub fn n_positions(&self) -> usize {
        self.cos.len() / self.half
    }
}

/// Rotates rows of `head_dim` entries laid out as `(batch, n_heads, n_tokens, head_dim)`.
///
/// `positions` is `(batch, n_tokens)`. With `inverse` the rotation goes backwards, which is also
/// the gradient of the forward rotation.
pub fn rotate<T: Real>(
    xs: &[T],
    table: &RotaryTable,
    positions: &[u32],
    n_heads: usize,
    n_tokens: usize,
    inverse: bool,
    ys: &mut [T],
) {
    let half = table.half;
    let sign = if inverse { -1. } else { 1. };
    map_rows(xs, ys, 2 * half, |row, x, y| {
        let token = row % n_tokens;
        let batch = row / n_tokens / n_heads;
        let (cos, sin) = table.row(positions[batch * n_tokens + token]);
        for i in 0..half {
            let (cos, sin) = (T::of(cos[i]), T::of(sign * sin[i]));
            y[i] = x[i] * cos - x[half + i] * sin;
            y[half + i] = x[half + i] * cos + x[i] * sin;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotating_forth_and_back_is_the_identity_and_position_zero_does_nothing() {
        let table = RotaryTable::new(&[1., 0.1], 8);
        let xs: Vec<f64> = (0..8).map(f64::from).collect();
        let (mut there, mut back) = (vec![0.; 8], vec![0.; 8]);
        rotate(&xs, &table, &[0, 5], 1, 2, false, &mut there);
        assert_eq!(&there[..4], &xs[..4]);
        assert!((there[4] - (4. * 5f64.cos() - 6. * 5f64.sin())).abs() < 1e-12);
        rotate(&there, &table, &[0, 5], 1, 2, true, &mut back);
        for (b, x) in back.iter().zip(&xs) {
            assert!((b - x).abs() < 1e-12);
        }
    }
}
