//! The selective scan of Mamba (Gu and Dao 2023, algorithm 2).
//!
//! Sixteen channels go together, in the lanes of a vector; their sixteen states stay in registers and
//! in the first cache while the tokens pass. The backward pass keeps the states at every
//! [`CHUNK`]-th token and makes those between again.

mod backward;
mod forward;
#[cfg(test)]
mod tests;

use crate::Real;

/// States of a channel.
const STATES: usize = 16;
/// Channels in the lanes of a vector.
const LANES: usize = 16;
/// Channels of a task: what lies together in memory is read together.
const WIDTH: usize = 64;
/// Tokens between two kept states.
const CHUNK: usize = 64;

/// One number for each lane.
type Lanes<T> = [T; LANES];
/// The states, or the decays, of the channels of all lanes.
type States<T> = [Lanes<T>; STATES];

/// A scan of tokens `(batch, n_tokens, n_channels)` with sixteen states a channel.
///
/// With `Δ = softplus(delta + delta_bias)`, `h_t = exp(Δ A) h_(t−1) + Δ x_t B_t` and
/// `y_t = h_t · C_t + D x_t`; `h` is zero before the first token. Where `reverse`, the tokens are
/// taken from the last to the first.
#[derive(Clone, Copy, Debug)]
pub struct SelectiveScan<'a, T> {
    /// Tokens of one item.
    pub n_tokens: usize,
    /// `(batch, n_tokens, n_channels)`.
    pub xs: Band<'a, T>,
    /// Step sizes as they come from their projection, shaped as `xs`.
    pub deltas: Band<'a, T>,
    /// What a token writes to the states and reads from them: `B` then `C`,
    /// `(batch, n_tokens, 2 · 16)`.
    pub inputs: &'a [T],
    /// `(n_channels, 16)`, negative.
    pub a: &'a [T],
    /// `(n_channels)`.
    pub d: &'a [T],
    /// `(n_channels)`.
    pub delta_bias: &'a [T],
    /// From the last token to the first.
    pub reverse: bool,
}

/// Neighbouring columns of a row-major matrix.
#[derive(Clone, Copy, Debug)]
pub struct Band<'a, T> {
    /// The matrix.
    pub data: &'a [T],
    /// Its columns.
    pub stride: usize,
    /// The first of those meant.
    pub first: usize,
}

impl<'a, T> Band<'a, T> {
    /// All columns.
    pub fn whole(data: &'a [T], n_columns: usize) -> Self {
        Self { data, stride: n_columns, first: 0 }
    }

    /// Columns from `at` on, `n` of them, of a row.
    fn row(&self, row: usize, at: usize, n: usize) -> &'a [T] {
        &self.data[row * self.stride + self.first + at..][..n]
    }
}

/// Gradients of a scan.
#[derive(Clone, Debug)]
pub struct Scanned<T> {
    /// `(batch, n_tokens, n_channels)`.
    pub xs: Vec<T>,
    /// `(batch, n_tokens, n_channels)`.
    pub deltas: Vec<T>,
    /// `(batch, n_tokens, 2 · 16)`.
    pub inputs: Vec<T>,
    /// `(n_channels, 16)`.
    pub a: Vec<T>,
    /// `(n_channels)`.
    pub d: Vec<T>,
    /// `(n_channels)`.
    pub delta_bias: Vec<T>,
}

impl<T: Real> SelectiveScan<'_, T> {
    /// Channels.
    pub fn n_channels(&self) -> usize {
        self.d.len()
    }

    /// Tokens of all items.
    fn n_rows(&self) -> usize {
        self.inputs.len() / (2 * STATES)
    }

    fn check(&self) {
        let n = self.n_channels();
        assert!(self.n_tokens > 0 && self.inputs.len().is_multiple_of(2 * STATES * self.n_tokens));
        for band in [&self.xs, &self.deltas] {
            assert_eq!(band.data.len(), self.n_rows() * band.stride, "a row for each token");
            assert!(band.first + n <= band.stride, "a column for each channel");
        }
        assert_eq!(self.a.len(), n * STATES, "a decay for each state");
        assert_eq!(self.delta_bias.len(), n, "a bias for each channel");
    }

    /// The rows of an item in the order of the scan.
    fn order(&self, item: usize) -> impl Fn(usize) -> usize + use<T> {
        let (n, reverse) = (self.n_tokens, self.reverse);
        move |step| item * n + if reverse { n - 1 - step } else { step }
    }

    /// What a token writes to the states, and reads from them.
    fn inputs_of(&self, row: usize) -> (&Lanes<T>, &Lanes<T>) {
        let both = self.inputs[row * 2 * STATES..][..2 * STATES].as_chunks().0;
        (&both[0], &both[1])
    }

    /// The decays of a group of channels, one state after the other.
    fn decays(&self, group: &Group) -> States<T> {
        let mut decays = [[T::ZERO; LANES]; STATES];
        for (state, lanes) in decays.iter_mut().enumerate() {
            for (lane, decay) in lanes.iter_mut().enumerate().take(group.n) {
                *decay = self.a[(group.first + lane) * STATES + state];
            }
        }
        decays
    }
}

/// Channels that share a vector.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: usize,
    n: usize,
}

/// The groups of the channels `first .. first + width`.
fn groups(first: usize, width: usize) -> impl Iterator<Item = Group> {
    let start = move |at| Group { first: first + at, n: LANES.min(width - at) };
    (0..width).step_by(LANES).map(start)
}

/// The numbers of a group, zero in the lanes beyond it.
#[inline(always)]
fn load<T: Real>(xs: &[T]) -> Lanes<T> {
    if let Some(lanes) = xs.first_chunk() {
        return *lanes;
    }
    let mut lanes = [T::ZERO; LANES];
    lanes[..xs.len()].copy_from_slice(xs);
    lanes
}
