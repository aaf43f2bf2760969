//! Rotary position embedding.

use std::sync::{Arc, OnceLock};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Result, Shape, Tensor, bail};
use kernels::RotaryTable;

use crate::Ops;
use crate::op::{by_dtype, slice};

/// Rotations for every position up to a limit (Su et al. 2021), half-split pairs.
#[derive(Clone, Debug)]
pub struct Rotary {
    table: Arc<RotaryTable>,
    ops: Ops,
    /// Cosines and sines `(n_positions, head_dim / 2)` on the device of the first pass.
    on_device: Arc<OnceLock<[Tensor; 2]>>,
}

impl Rotary {
    /// Frequencies `base^(−2i / head_dim)` for `i` in `0..head_dim / 2`.
    pub fn new(head_dim: usize, base: f64, n_positions: usize, ops: Ops) -> Self {
        let frequencies: Vec<f64> =
            (0..head_dim / 2).map(|i| base.powf(-2. * i as f64 / head_dim as f64)).collect();
        Self::with_frequencies(&frequencies, n_positions, ops)
    }

    /// The given inverse frequencies, for models that rescale them.
    pub fn with_frequencies(frequencies: &[f64], n_positions: usize, ops: Ops) -> Self {
        let table = Arc::new(RotaryTable::new(frequencies, n_positions));
        Self { table, ops, on_device: Arc::default() }
    }

    /// Rotates `(batch, n_heads, n_tokens, head_dim)` by `positions`, `(batch, n_tokens)` row by row.
    pub fn forward(&self, xs: &Tensor, positions: &Arc<Vec<u32>>) -> Result<Tensor> {
        let (batch, _, n_tokens, _) = xs.dims4()?;
        if positions.len() != batch * n_tokens {
            bail!("{} positions for {batch} × {n_tokens} tokens", positions.len())
        }
        if let Some(&last) = positions.iter().max()
            && last as usize >= self.table.n_positions()
        {
            bail!("position {last} lies beyond the model's {} positions", self.table.n_positions())
        }
        if !self.ops.are_kernels(xs) {
            return self.composed(xs, positions);
        }
        let op =
            RotateOp { table: self.table.clone(), positions: positions.clone(), inverse: false };
        xs.contiguous()?.apply_op1(op)
    }

    fn composed(&self, xs: &Tensor, positions: &[u32]) -> Result<Tensor> {
        let (batch, _, n_tokens, head_dim) = xs.dims4()?;
        let rows = Tensor::from_slice(positions, positions.len(), xs.device())?;
        let [cos, sin] = self.tables(head_dim / 2, xs.device())?.map(|table| {
            let rows = table.index_select(&rows, 0)?.to_dtype(xs.dtype())?;
            rows.reshape((batch, 1, n_tokens, head_dim / 2))
        });
        let (cos, sin) = (cos?, sin?);
        let halves = xs.chunk(2, D::Minus1)?;
        let (a, b) = (&halves[0], &halves[1]);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Tensor::cat(&[first, second], D::Minus1)
    }

    fn tables(&self, half: usize, place: &Device) -> Result<[Tensor; 2]> {
        if let Some(tables) = self.on_device.get() {
            return Ok(tables.clone());
        }
        let n_positions = self.table.n_positions();
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for position in 0..n_positions {
            let (cos_row, sin_row) = self.table.row(position as u32);
            cos.extend_from_slice(cos_row);
            sin.extend_from_slice(sin_row);
        }
        let table = |values: Vec<f64>| Tensor::from_vec(values, (n_positions, half), place);
        let tables = [table(cos)?, table(sin)?];
        Ok(self.on_device.get_or_init(|| tables).clone())
    }
}

#[derive(Clone)]
struct RotateOp {
    table: Arc<RotaryTable>,
    positions: Arc<Vec<u32>>,
    inverse: bool,
}

impl CustomOp1 for RotateOp {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, n_heads, n_tokens, _) = layout.shape().dims4()?;
        let out = by_dtype!(xs.dtype(), T => {
            let xs = slice::<T>(xs, layout)?;
            let mut ys = vec![0. as T; xs.len()];
            let Self { table, positions, inverse } = self;
            kernels::rotate(xs, table, positions, n_heads, n_tokens, *inverse, &mut ys);
            <T as candle_core::WithDType>::to_cpu_storage_owned(ys)
        });
        Ok((out, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, dys: &Tensor) -> Result<Option<Tensor>> {
        let op = Self { inverse: !self.inverse, ..self.clone() };
        Ok(Some(dys.contiguous()?.apply_op1_no_bwd(&op)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, same_on_both, sample};
    use candle_core::DType;

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let (xs, target) = (sample("x", (2, 2, 3, 4))?, sample("t", (2, 2, 3, 4))?);
        let rotary = Rotary::new(4, 100., 16, Ops::Kernels);
        let positions = Arc::new(vec![0, 1, 2, 5, 6, 7]);
        check(&[("x", &xs)], || (rotary.forward(&xs, &positions)? * target.as_tensor())?.sum_all())
    }

    #[test]
    fn the_kernel_equals_the_composed_form() -> Result<()> {
        let xs = sample("x", (2, 2, 3, 4))?;
        let positions = Arc::new(vec![0, 1, 2, 5, 6, 7]);
        same_on_both(&[&xs], 1e-14, |ops| {
            let rotary = Rotary::new(4, 100., 16, ops);
            rotary.forward(&xs, &positions)?;
            // from the table that the first pass left
            rotary.forward(&xs, &positions)
        })
    }

    #[test]
    fn products_of_rotated_vectors_depend_on_the_distance_alone() -> Result<()> {
        let (q, k) = (sample("q", (1, 1, 1, 8))?, sample("k", (1, 1, 1, 8))?);
        let rotary = Rotary::new(8, 10_000., 64, Ops::Kernels);
        let product = |at: u32, to: u32| -> Result<f64> {
            let q = rotary.forward(&q, &Arc::new(vec![at]))?;
            let k = rotary.forward(&k, &Arc::new(vec![to]))?;
            (q * k)?.sum_all()?.to_scalar()
        };
        assert!((product(3, 7)? - product(40, 44)?).abs() < 1e-12);
        assert!((product(3, 7)? - product(3, 8)?).abs() > 1e-6);
        Ok(())
    }

    #[test]
    fn a_position_beyond_the_table_is_an_error() -> Result<()> {
        let xs = sample("x", (1, 1, 1, 4))?.to_dtype(DType::F32)?;
        assert!(Rotary::new(4, 100., 8, Ops::Kernels).forward(&xs, &Arc::new(vec![8])).is_err());
        Ok(())
    }
}
