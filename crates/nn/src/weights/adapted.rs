//! Frozen weights with low-rank corrections beside their matrices.

use std::sync::Arc;

use candle_core::{DType, Result, Shape, Tensor};
use candle_nn::Init;

use super::{
    Builder, Source,
    lora::{DOWN, UP},
};
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
    scale: f64,
    adapts: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Adapted {
    /// Corrections of a rank, each times `scale`, come from `corrections`: variables under training, or what a
    /// training left.
    pub fn new(
        weights: impl Source + 'static,
        corrections: impl Source + 'static,
        (rank, scale): (usize, f64),
        adapts: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            weights: Arc::new(weights),
            corrections: Arc::new(corrections),
            rank,
            scale,
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
        let down = vb.get((self.rank, dim_in), DOWN, fan_in(dim_in))?;
        let up = vb.get((dim_out, self.rank), UP, Init::Const(0.))?;
        Ok(Some(LowRank::new(down, up, self.scale)))
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
        let (rank, scale) = (2, 3.);
        let adapted =
            Adapted::new(Drawn::new(1), variables.drawn(1), (rank, scale), |path| path == "a");
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
        // by the formula: the frozen part stays, A and B come in times the scale
        named[1].1.set(&*sample("B", (3, 2))?)?;
        let product = xs.matmul(&named[0].1.t()?)?.matmul(&named[1].1.t()?)?;
        let expected = (plain.forward(&xs)? + (product * scale)?)?;
        let gap = (layer.forward(&xs)? - expected)?.abs()?.max_all()?.to_scalar::<f64>()?;
        assert!(gap < 1e-14, "{gap}");
        check(&[("x", &xs), ("A", &named[0].1), ("B", &named[1].1)], || {
            layer.forward(&xs)?.sqr()?.sum_all()
        })
    }

    #[test]
    fn layers_that_one_matrix_holds_are_corrected_by_themselves() -> Result<()> {
        let variables = Variables::default();
        let adapts = |path: &str| path != "attn.k";
        let adapted = Adapted::new(Drawn::new(1), variables.drawn(1), (2, 0.5), adapts);
        let vb = adapted.builder(DType::F64).pp("attn");
        let weight = sample("W", (6, 4))?.as_detached_tensor();
        let packed = Linear::tied(weight.clone().into()).of_layers(&["q", "k", "v"], &vb)?;
        let named = variables.all();
        for (name, var) in &named {
            var.set(&*sample(name, var.shape())?)?;
        }
        let xs = sample("x", (5, 4))?;
        let alone = |at: usize, name: &str| {
            let layer = Linear::tied(weight.narrow(0, 2 * at, 2)?.into());
            layer.of_layers(&[name], &vb)?.forward(&xs)
        };
        let each = [alone(0, "q")?, alone(1, "k")?, alone(2, "v")?];
        let gap = (packed.forward(&xs)? - Tensor::cat(&each, 1)?)?.abs()?.max_all()?;
        assert!(gap.to_scalar::<f64>()? < 1e-14 && variables.all().len() == 4);
        let vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
        check(&[&vars[..], &[("x", &xs)]].concat(), || packed.forward(&xs)?.sqr()?.sum_all())
    }
}
