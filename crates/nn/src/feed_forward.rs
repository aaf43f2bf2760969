//! The feed-forward of the resampler and the gated blocks.

use crate::Builder;
use candle_core::{Result, Tensor};

use crate::{Activation, LayerNorm, Linear};

/// Norm, widen, GELU, narrow; no biases (Alayrac et al. 2022, appendix A.1.1).
///
/// Tensor names are OpenFlamingo's positions in its `nn.Sequential`: `0` norm, `1` and `3` linear.
#[derive(Clone, Debug)]
pub struct FeedForward {
    norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl FeedForward {
    /// `mult` times `dim` hidden units.
    pub fn new(dim: usize, mult: usize, vb: Builder) -> Result<Self> {
        Ok(Self {
            norm: LayerNorm::new(dim, 1e-5, vb.pp(0))?,
            widen: Linear::new(dim, dim * mult, vb.pp(1))?,
            narrow: Linear::new(dim * mult, dim, vb.pp(3))?,
        })
    }
}

impl FeedForward {
    /// `xs` and what the layer gives, `(…, dim)`.
    pub fn added(&self, xs: &Tensor) -> Result<Tensor> {
        self.narrow.added(&self.hidden(xs)?, xs)
    }

    /// The same, of what the layer gives times `factor` `(1)`.
    pub fn added_times(&self, xs: &Tensor, factor: &Tensor) -> Result<Tensor> {
        self.narrow.added_times(&self.hidden(xs)?, factor, xs)
    }

    fn hidden(&self, xs: &Tensor) -> Result<Tensor> {
        self.widen.activated(&xs.apply(&self.norm)?, Activation::Gelu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradcheck::{check, sample};
    use crate::weights::Variables;
    use candle_core::DType;

    #[test]
    fn gradients_match_finite_differences() -> Result<()> {
        let variables = Variables::default();
        let layer = FeedForward::new(4, 2, variables.builder(1, DType::F64))?;
        let xs = sample("x", (3, 4))?;
        let mut vars = vec![("x", &xs)];
        let named = variables.all();
        vars.extend(named.iter().map(|(name, var)| (name.as_str(), var)));
        assert_eq!(vars.len(), 5);
        check(&vars, || layer.added(&xs)?.sqr()?.sum_all())
    }
}
