//! Windows over a grid of three axes of space and one of time: which token lies where.
//!
//! Padding, shifting and dividing are one order of rows, so that they and their reverse are one
//! selection each.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use nn::{KeyMask, Mask};

/// How the tokens of a grid are divided into windows.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    /// Rows of the tokens, window by window; the row after the last token stands for padding.
    into: Arc<[u32]>,
    /// Where each token lies in the windows.
    back: Tensor,
    /// Whether windows reach beyond the grid.
    pads: bool,
    n_windows: usize,
    /// Tokens of a window.
    size: usize,
    /// Regions of the positions of all windows, where the shift brings strangers together.
    regions: Option<Vec<u32>>,
}

/// One axis: tokens, and the window and shift that are used for them.
#[derive(Clone, Copy)]
struct Axis {
    n: usize,
    window: usize,
    shift: usize,
}

impl Axis {
    /// A window that is not smaller than the axis is the axis, and does not move.
    fn new(n: usize, window: usize, shifts: bool) -> Self {
        if n <= window {
            return Self { n, window: n, shift: 0 };
        }
        Self { n, window, shift: if shifts { window / 2 } else { 0 } }
    }

    fn n_windows(self) -> usize {
        self.n.div_ceil(self.window)
    }

    fn padded(self) -> usize {
        self.n_windows() * self.window
    }

    /// What lies at a place of the shifted axis; `None` for padding.
    fn source(self, place: usize) -> Option<usize> {
        let at = (place + self.shift) % self.padded();
        (at < self.n).then_some(at)
    }

    /// Which part of the shifted axis a place belongs to: parts do not attend to each other.
    fn region(self, place: usize) -> u32 {
        let end = self.padded();
        match self.shift {
            0 => 0,
            _ if place < end - self.window => 0,
            shift if place < end - shift => 1,
            _ => 2,
        }
    }
}

impl Partition {
    /// Of a grid `(x, y, z, t)`; `shifts`: windows are moved by half their size.
    pub(super) fn new(
        grid: [usize; 4],
        window: [usize; 4],
        shifts: bool,
        place: &Device,
    ) -> Result<Self> {
        let axes: [Axis; 4] =
            std::array::from_fn(|axis| Axis::new(grid[axis], window[axis], shifts));
        let counts = axes.map(Axis::n_windows);
        let sides = axes.map(|axis| axis.window);
        let (n_windows, size) = (counts.iter().product::<usize>(), sides.iter().product::<usize>());
        let n_tokens: usize = grid.iter().product();
        let mut into = Vec::with_capacity(n_windows * size);
        let mut regions = Vec::with_capacity(n_windows * size);
        let mut back = vec![0u32; n_tokens];
        for of_window in 0..n_windows {
            let window = places(of_window, counts);
            for within in 0..size {
                let inside = places(within, sides);
                let at: [usize; 4] =
                    std::array::from_fn(|axis| window[axis] * sides[axis] + inside[axis]);
                let source: Option<usize> = (0..4)
                    .try_fold(0, |row, axis| Some(row * grid[axis] + axes[axis].source(at[axis])?));
                if let Some(row) = source {
                    back[row] = into.len() as u32;
                }
                into.push(source.unwrap_or(n_tokens) as u32);
                regions
                    .push((0..4).fold(0, |region, axis| 3 * region + axes[axis].region(at[axis])));
            }
        }
        let moved = axes.iter().any(|axis| axis.shift > 0);
        let rows = |rows: Vec<u32>| {
            let n = rows.len();
            Tensor::from_vec(rows, n, place)
        };
        Ok(Self {
            pads: into.len() > n_tokens,
            into: into.into(),
            back: rows(back)?,
            n_windows,
            size,
            regions: moved.then_some(regions),
        })
    }

    /// Which tokens of a window may see which, of a batch of so many grids.
    pub(super) fn mask(&self, batch: usize) -> Result<Option<Mask>> {
        let Some(regions) = &self.regions else { return Ok(None) };
        let mut allowed = Vec::with_capacity(batch * self.n_windows * self.size * self.size);
        for _ in 0..batch {
            for window in regions.chunks(self.size) {
                for query in window {
                    allowed.extend(window.iter().map(|key| key == query));
                }
            }
        }
        let (n_queries, n_keys) = (self.size, self.size);
        Ok(Some(Mask::new(KeyMask { allowed, rows: None, n_queries, n_keys })?))
    }

    /// The row of every token of every window, and the tokens of a window; rows are those of
    /// [`Partition::padded`].
    pub(super) fn order(&self) -> (&Arc<[u32]>, usize) {
        (&self.into, self.size)
    }

    /// Tokens `(batch, n_tokens, dim)`, and a row of zeros where windows reach beyond the grid.
    pub(super) fn padded(&self, tokens: &Tensor) -> Result<Tensor> {
        if self.pads { tokens.pad_with_zeros(1, 0, 1) } else { Ok(tokens.clone()) }
    }

    /// From `(batch · n_windows, size, dim)` back to the grid, without the padding.
    pub(super) fn join(&self, windows: &Tensor) -> Result<Tensor> {
        let (n, _, dim) = windows.dims3()?;
        let tokens = windows.reshape((n / self.n_windows, self.n_windows * self.size, dim))?;
        tokens.contiguous()?.index_select(&self.back, 1)
    }
}

/// The place of a number on four axes, the last one fastest.
fn places(mut at: usize, sides: [usize; 4]) -> [usize; 4] {
    let mut places = [0; 4];
    for axis in (0..4).rev() {
        places[axis] = at % sides[axis];
        at /= sides[axis];
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_to_their_places() -> Result<()> {
        let grid = [3, 2, 5, 4];
        let tokens = Tensor::arange(0f32, 240., &Device::Cpu)?.reshape((2, 120, 1))?;
        for shifts in [false, true] {
            let partition = Partition::new(grid, [2, 4, 3, 2], shifts, &Device::Cpu)?;
            let (order, size) = partition.order();
            assert_eq!((order.len(), size), (2 * 2 * 2 * 24, 24));
            let order = Tensor::new(&order[..], &Device::Cpu)?;
            let windows = partition.padded(&tokens)?.index_select(&order, 1)?;
            let windows = windows.reshape(((), size, 1))?;
            let back = partition.join(&windows)?;
            assert_eq!(
                back.flatten_all()?.to_vec1::<f32>()?,
                tokens.flatten_all()?.to_vec1::<f32>()?
            );
            assert_eq!(partition.mask(2)?.is_some(), shifts);
        }
        Ok(())
    }

    // one axis of 6 in windows of 4, by hand: padded to 8, moved by 2
    #[test]
    fn a_shifted_axis_is_cut_into_three_regions() {
        let axis = Axis::new(6, 4, true);
        let sources: Vec<_> = (0..8).map(|place| axis.source(place)).collect();
        let padding = None;
        assert_eq!(sources[..4], [Some(2), Some(3), Some(4), Some(5)]);
        assert_eq!(sources[4..], [padding, padding, Some(0), Some(1)]);
        let regions: Vec<_> = (0..8).map(|place| axis.region(place)).collect();
        assert_eq!(regions, [0, 0, 0, 0, 1, 1, 2, 2]);
        let still = Axis::new(4, 4, true);
        assert_eq!((still.window, still.shift, still.region(3)), (4, 0, 0));
    }
}
