//! Rows beyond a frozen vocabulary: the special tokens of Flamingo.

use candle_core::{D, DType, Result, Tensor, bail};
use candle_nn::Init;
use nn::{Builder, Linear, Matrix, Ops};

use crate::CausalLm;

/// Embedding and output rows of the ids from `first` on, kept apart from the frozen matrix so that
/// only they train and only they are stored.
///
/// The whole vocabulary ends with them, as after OpenFlamingo's resize: a matrix that was padded
/// beyond its tokenizer loses its spare rows, one without spare rows grows.
#[derive(Clone, Debug)]
pub struct ExtraRows {
    rows: Option<(Tensor, Tensor)>,
    first: usize,
    ops: Ops,
}

impl ExtraRows {
    /// Reads `special_rows` `(n_rows, embedding_dim)` and, for a model with an untied head,
    /// `special_output_rows`; both belong to the ids from `first` on. New rows are drawn as Hugging
    /// Face draws them, N(0, 0.02).
    pub fn new(first: usize, n_rows: usize, lm: &dyn CausalLm, vb: Builder) -> Result<Self> {
        if first > lm.shape().vocab_size {
            bail!(
                "special ids begin at {first}, but the embedding has {} rows",
                lm.shape().vocab_size
            )
        }
        let init = Init::Randn { mean: 0., stdev: 0.02 };
        let shape = (n_rows, lm.shape().embedding_dim);
        let read = |name| vb.get(shape, name, init);
        let rows = match (n_rows, lm.shape().tied) {
            (0, _) => None,
            (_, true) => read("special_rows").map(|rows| Some((rows.clone(), rows)))?,
            (_, false) => Some((read("special_rows")?, read("special_output_rows")?)),
        };
        Ok(Self { rows, first, ops: vb.ops() })
    }

    /// Ids `(batch, n_tokens)` of the whole vocabulary to tokens `(batch, n_tokens, embedding_dim)`.
    pub fn embed(&self, lm: &dyn CausalLm, ids: &Tensor) -> Result<Tensor> {
        let Some((input, _)) = &self.rows else { return lm.embed(ids) };
        let first = Tensor::full(self.first as u32, ids.shape(), ids.device())?;
        let special = ids.ge(&first)?;
        let zeros = ids.zeros_like()?;
        let base = lm.embed(&special.where_cond(&zeros, ids)?)?;
        let rows = special.where_cond(&(ids.maximum(&first)? - &first)?, &zeros)?;
        let extra = input.index_select(&rows.flatten_all()?, 0)?.reshape(base.shape())?;
        let special = special.unsqueeze(D::Minus1)?.to_dtype(DType::U8)?;
        special.broadcast_as(base.shape())?.where_cond(&extra, &base)
    }

    /// Normed tokens `(…, embedding_dim)` to logits over the whole vocabulary.
    pub fn head(&self, lm: &dyn CausalLm, xs: &Tensor) -> Result<Tensor> {
        let base = lm.head(xs)?;
        let base = if self.first < lm.shape().vocab_size {
            base.narrow(D::Minus1, 0, self.first)?
        } else {
            base
        };
        let Some((_, output)) = &self.rows else { return Ok(base) };
        let extra = xs.apply(&Linear::tied(Matrix::from(output.clone()).with(self.ops)))?;
        Tensor::cat(&[&base, &extra], D::Minus1)
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
        let rows = ExtraRows::new(10, 2, &lm, trained.builder(1, DType::F64))?;
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
            for idx in 0..lm.shape().n_blocks {
                xs = lm.block(idx, &xs, &step, None)?;
            }
            let logits = rows.head(&lm, &lm.norm(&xs)?)?;
            assert_eq!(logits.dims(), [1, 4, 12]);
            nn::cross_entropy(Ops::Kernels, &logits.squeeze(0)?, vec![11, 9, 10, 2])?.sum_all()
        })
    }

    #[test]
    fn spare_rows_of_a_padded_embedding_are_dropped() -> Result<()> {
        let lm = Llama::new(&LlamaConfig::tiny(10), Variables::default().builder(1, DType::F64))?;
        let trained = Variables::default();
        let rows = ExtraRows::new(7, 2, &lm, trained.builder(1, DType::F64))?;
        let xs = lm.embed(&Tensor::new(&[[3u32, 6]], &Device::Cpu)?)?;
        let logits = rows.head(&lm, &xs)?;
        assert_eq!(logits.dims(), [1, 2, 9]);
        let special = &trained.tensors()["special_rows"];
        let tokens = rows.embed(&lm, &Tensor::new(&[[8u32]], &Device::Cpu)?)?;
        let gap = (tokens.flatten_all()? - special.get(1)?)?.abs()?.max_all()?;
        assert_eq!(gap.to_scalar::<f64>()?, 0.);
        assert!(ExtraRows::new(11, 2, &lm, trained.builder(1, DType::F64)).is_err());
        Ok(())
    }
}
