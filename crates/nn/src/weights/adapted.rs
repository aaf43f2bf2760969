//! Frozen weights with low-rank corrections beside their matrices.

use std::sync::Arc;

use candle_core::{DType, Result, Shape, Tensor};
use candle_nn::Init;

use super::{Builder, Source};
use crate::linear::fan_in;
use crate::{LowRank, Matrix};

/// Other weights, and beside each linear layer that `adapts` names a correction of low rank, which
/// starts at zero where it is drawn (Hu et al. 2022): `A` random, `B` zero.
///
/// Names are those of PEFT: `lora_A.weight` `(rank, in)` and `lora_B.weight` `(out, rank)` below the
/// layer's.
#[derive(Clone)]
pub struct Adapted {
    weights: Arc<dyn Source>,
    corrections: Arc<dyn Source>,
    rank: usize,
    alpha: f64,
    adapts: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Adapted {
    /// Corrections come from `corrections`: variables under training, or what a training left.
    pub fn new(
        weights: impl Source + 'static,
        corrections: impl Source + 'static,
        (rank, alpha): (usize, f64),
        adapts: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            weights: Arc::new(weights),
            corrections: Arc::new(corrections),
            rank,
            alpha,
            adapts: Arc::new(adapts),
        }
    }

    /// A builder that hands out the weights in `dtype`.
    pub fn builder(&self, dtype: DType) -> Builder {
        Builder::new(self.clone(), dtype)
    }
}

impl Source for Adapted {
    fn tensor(&self, name: &str, shape: Shape, init: Init, dtype: DType) -> Result<Tensor> {
        self.weights.tensor(name, shape, init, dtype)
    }

    fn matrix(
        &self,
        name: &str,
        shape: (usize, usize),
        init: Init,
        dtype: DType,
    ) -> Result<Matrix> {
        self.weights.matrix(name, shape, init, dtype)
    }

    fn low_rank(
        &self,
        path: &str,
        (dim_out, dim_in): (usize, usize),
        dtype: DType,
    ) -> Result<Option<LowRank>> {
        if !(self.adapts)(path) {
            return Ok(None);
        }
        let vb = Builder::new(self.corrections.clone(), dtype).pp(path);
        let down = vb.get((self.rank, dim_in), "lora_A.weight", fan_in(dim_in))?;
        let up = vb.get((dim_out, self.rank), "lora_B.weight", Init::Const(0.))?;
        Ok(Some(LowRank { down, up, scale: self.alpha / self.rank as f64 }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Linear;
    use crate::gradcheck::{check, sample};
    use crate::weights::{Drawn, Variables};
    use candle_core::Module;

    #[test]
    fn a_correction_starts_at_zero_and_only_it_moves_and_is_scaled() -> Result<()> {
        let variables = Variables::default();
        let (rank, alpha) = (2, 6.);
        let adapted =
            Adapted::new(Drawn::new(1), variables.drawn(1), (rank, alpha), |path| path == "a");
        let vb = adapted.builder(DType::F64);
        let layer = Linear::with_bias(4, 3, vb.pp("a"))?;
        Linear::with_bias(4, 3, vb.pp("b"))?;
        let named = variables.all();
        let names: Vec<_> = named.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.lora_A.weight", "a.lora_B.weight"]);

        let xs = sample("x", (5, 4))?;
        let plain = Linear::with_bias(4, 3, Drawn::new(1).builder(DType::F64).pp("a"))?;
        let gap = (layer.forward(&xs)? - plain.forward(&xs)?)?.abs()?.max_all()?;
        assert_eq!(gap.to_scalar::<f64>()?, 0.);
        // by the formula: the frozen part stays, A and B come in times alpha / rank
        named[1].1.set(&*sample("B", (3, 2))?)?;
        let product = xs.matmul(&named[0].1.t()?)?.matmul(&named[1].1.t()?)?;
        let expected = (plain.forward(&xs)? + (product * (alpha / rank as f64))?)?;
        let gap = (layer.forward(&xs)? - expected)?.abs()?.max_all()?.to_scalar::<f64>()?;
        assert!(gap < 1e-14, "{gap}");
        check(&[("x", &xs), ("A", &named[0].1), ("B", &named[1].1)], || {
            layer.forward(&xs)?.sqr()?.sum_all()
        })
    }
}
