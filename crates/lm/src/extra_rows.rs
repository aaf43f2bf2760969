//! Rows appended to a frozen vocabulary: the special tokens of Flamingo.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::CausalLm;

/// Embedding and output rows of the ids from `vocab_size` on, kept apart from the frozen matrix so
/// that only they train and only they are stored.
#[derive(Clone, Debug)]
pub struct ExtraRows {
    input: Tensor,
    output: Tensor,
    first: u32,
}

impl ExtraRows {
    /// Reads `special_rows` `(n_rows, dim)` and, for a model with an untied head,
    /// `special_output_rows`. New rows are drawn as Hugging Face draws them, N(0, 0.02).
    pub fn new(n_rows: usize, lm: &dyn CausalLm, vb: VarBuilder) -> Result<Self> {
        let init = Init::Randn { mean: 0., stdev: 0.02 };
        let input = vb.get_with_hints((n_rows, lm.dim()), "special_rows", init)?;
        let output = if lm.tied() {
            input.clone()
        } else {
            vb.get_with_hints((n_rows, lm.dim()), "special_output_rows", init)?
        };
        Ok(Self { input, output, first: lm.vocab_size() as u32 })
    }

    /// Ids `(batch, n_tokens)` of the whole vocabulary to tokens `(batch, n_tokens, dim)`.
    pub fn embed(&self, lm: &dyn CausalLm, ids: &Tensor) -> Result<Tensor> {
        let first = Tensor::full(self.first, ids.shape(), ids.device())?;
        let special = ids.ge(&first)?;
        let zeros = ids.zeros_like()?;
        let base = lm.embed(&special.where_cond(&zeros, ids)?)?;
        let rows = special.where_cond(&(ids.maximum(&first)? - &first)?, &zeros)?;
        let (batch, n_tokens) = ids.dims2()?;
        let extra = self.input.index_select(&rows.flatten_all()?, 0)?;
        let extra = extra.reshape((batch, n_tokens, lm.dim()))?;
        let special = special.unsqueeze(D::Minus1)?.to_dtype(DType::U8)?;
        special.broadcast_as(base.shape())?.where_cond(&extra, &base)
    }

    /// Normed tokens `(…, dim)` to logits over the whole vocabulary.
    pub fn head(&self, lm: &dyn CausalLm, xs: &Tensor) -> Result<Tensor> {
        let extra = xs.apply(&nn::Linear::tied(self.output.clone()))?;
        Tensor::cat(&[&lm.head(xs)?, &extra], D::Minus1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Llama, LlamaConfig, Step};
    use candle_core::Device;
    use nn::gradcheck::check;
    use nn::weights::Variables;

    #[test]
    fn base_ids_are_untouched_and_special_rows_get_the_gradient() -> Result<()> {
        let config = LlamaConfig::tiny(10);
        let frozen = Variables::default();
        let lm = Llama::new(&config, frozen.builder(1, DType::F64))?;
        let trained = Variables::default();
        let rows = ExtraRows::new(2, &lm, trained.builder(1, DType::F64))?;
        let ids = Tensor::new(&[[3u32, 11, 9, 10]], &Device::Cpu)?;
        let tokens = rows.embed(&lm, &ids)?;
        let plain = lm.embed(&Tensor::new(&[[3u32, 9]], &Device::Cpu)?)?;
        for (at, expected) in [(0, plain.get_on_dim(1, 0)?), (2, plain.get_on_dim(1, 1)?)] {
            let gap = (tokens.get_on_dim(1, at)? - expected)?.abs()?.max_all()?;
            assert_eq!(gap.to_scalar::<f64>()?, 0.);
        }
        let (name, var) = trained.all().remove(0);
        let step = Step::plain(1, 4)?;
        check(&[(&name, &var)], || {
            let mut xs = rows.embed(&lm, &ids)?;
            for idx in 0..lm.n_blocks() {
                xs = lm.block(idx, &xs, &step, None)?;
            }
            let logits = rows.head(&lm, &lm.norm(&xs)?)?;
            assert_eq!(logits.dims(), [1, 4, 12]);
            nn::cross_entropy(&logits.squeeze(0)?, vec![11, 9, 10, 2])?.sum_all()
        })
    }
}
