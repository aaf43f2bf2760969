//! A low-rank correction beside a frozen matrix: `LoRA` (Hu et al. 2022).

use candle_core::{Result, Tensor};

/// `x Aᵀ Bᵀ · scale`, added to what the frozen matrix gives; the frozen part is not scaled.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// `A`, `(rank, in)`.
    pub(crate) down: Tensor,
    /// `B`, `(out, rank)`.
    pub(crate) up: Tensor,
    /// `alpha / rank`.
    pub(crate) scale: f64,
}

impl LowRank {
    /// `(n, in)` to `(n, out)`.
    pub(crate) fn product(&self, xs: &Tensor) -> Result<Tensor> {
        xs.matmul(&self.down.t()?)?.matmul(&self.up.t()?)? * self.scale
    }
}
