//! Rotary positions whose table is as long as the texts read so far.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor, bail};
use nn::Ops;

/// Rows of the first table that is needed.
const FIRST: usize = 256;

/// Rotations for every position up to a limit, shared by all blocks. A model that reads nothing has
/// no table, whatever limit its config claims; a longer text doubles it, which leaves the rows that
/// were there as they were.
#[derive(Clone, Debug)]
pub(crate) struct Rotary {
    shared: Arc<Shared>,
    magnitude: f64,
}

#[derive(Debug)]
struct Shared {
    frequencies: Vec<f64>,
    n_positions: usize,
    table: Mutex<Table>,
    ops: Ops,
}

#[derive(Debug)]
struct Table {
    rows: nn::Rotary,
    n_rows: usize,
}

impl Table {
    fn new(frequencies: &[f64], n_rows: usize, ops: Ops) -> Self {
        Self { rows: nn::Rotary::with_frequencies(frequencies, n_rows, ops), n_rows }
    }
}

impl Rotary {
    /// Angles `position · frequencies[i]` for positions below `n_positions`.
    pub(crate) fn new(frequencies: Vec<f64>, n_positions: usize, ops: Ops) -> Self {
        let table = Mutex::new(Table::new(&frequencies, 0, ops));
        let shared = Shared { frequencies, n_positions, table, ops };
        Self { shared: Arc::new(shared), magnitude: 1. }
    }

    /// The same rotations, their cosines and sines multiplied with `magnitude`.
    pub(crate) fn magnified(self, magnitude: f64) -> Self {
        Self { magnitude, ..self }
    }

    /// Rotates `(batch, n_heads, n_tokens, head_dim)` by `positions`, `(batch, n_tokens)` row by row.
    pub(crate) fn forward(&self, xs: &Tensor, positions: &Arc<Vec<u32>>) -> Result<Tensor> {
        let turned = self.reaching(positions)?.forward(xs, positions)?;
        if self.magnitude == 1. { Ok(turned) } else { turned * self.magnitude }
    }

    /// The table, made longer where one of `positions` lies beyond it.
    fn reaching(&self, positions: &[u32]) -> Result<nn::Rotary> {
        let Shared { frequencies, n_positions, table, ops } = &*self.shared;
        let needed = positions.iter().max().map_or(0, |&last| last as usize + 1);
        if needed > *n_positions {
            bail!("position {} lies beyond the model's {n_positions} positions", needed - 1)
        }
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        if needed > table.n_rows {
            let n_rows = needed.max(FIRST).next_power_of_two().min(*n_positions);
            *table = Table::new(frequencies, n_rows, *ops);
        }
        Ok(table.rows.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    const FREQUENCIES: [f64; 2] = [1., 0.01];

    fn rows(rotary: &Rotary) -> usize {
        rotary.shared.table.lock().unwrap().n_rows
    }

    fn turned(
        xs: &Tensor,
        by: impl Fn(&Tensor, &Arc<Vec<u32>>) -> Result<Tensor>,
        at: u32,
    ) -> Result<Vec<f64>> {
        by(xs, &Arc::new(vec![at]))?.flatten_all()?.to_vec1()
    }

    #[test]
    fn the_table_grows_with_the_positions_and_turns_as_the_whole_one() -> Result<()> {
        let xs = Tensor::new(&[1f64, 2., 3., 4.], &Device::Cpu)?.reshape((1, 1, 1, 4))?;
        let whole = nn::Rotary::with_frequencies(&FREQUENCIES, 1000, Ops::Kernels);
        let rotary = Rotary::new(FREQUENCIES.to_vec(), 1000, Ops::Kernels);
        let block = rotary.clone();
        assert_eq!(rows(&rotary), 0);
        for (at, n_rows) in [(0, 256), (255, 256), (256, 512), (3, 512), (999, 1000), (7, 1000)] {
            let expected = turned(&xs, |xs, at| whole.forward(xs, at), at)?;
            assert_eq!(turned(&xs, |xs, at| block.forward(xs, at), at)?, expected, "{at}");
            assert_eq!(rows(&rotary), n_rows, "{at}");
        }
        let error = turned(&xs, |xs, at| rotary.forward(xs, at), 1000).unwrap_err().to_string();
        assert!(error.contains("position 1000 lies beyond the model's 1000 positions"), "{error}");
        Ok(())
    }

    #[test]
    fn a_magnitude_scales_what_was_turned() -> Result<()> {
        let xs = Tensor::new(&[1f64, 2., 3., 4.], &Device::Cpu)?.reshape((1, 1, 1, 4))?;
        let plain = Rotary::new(FREQUENCIES.to_vec(), 10, Ops::Kernels);
        let scaled = plain.clone().magnified(1.5);
        let expected = turned(&xs, |xs, at| plain.forward(xs, at), 3)?;
        let expected: Vec<f64> = expected.into_iter().map(|value| 1.5 * value).collect();
        assert_eq!(turned(&xs, |xs, at| scaled.forward(xs, at), 3)?, expected);
        Ok(())
    }

    #[test]
    fn a_limit_that_no_memory_holds_costs_nothing_until_it_is_reached() -> Result<()> {
        let rotary = Rotary::new(FREQUENCIES.to_vec(), 1_000_000_000_000, Ops::Kernels);
        let xs = Tensor::zeros((1, 1, 2, 4), DType::F32, &Device::Cpu)?;
        rotary.forward(&xs, &Arc::new(vec![0, 1]))?;
        assert_eq!(rows(&rotary), 256);
        Ok(())
    }
}
