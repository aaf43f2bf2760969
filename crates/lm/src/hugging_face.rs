//! What Hugging Face's classes make of padding, bit by bit: needed only to repeat recorded numbers.
//!
//! A token that is padding has no text to see, and what it computes is nobody's business, until
//! OpenFlamingo's cached likelihoods drop the attention mask and later tokens see it. Hugging Face
//! (transformers 4.33) adds the lowest number to a score for the causal mask and once more for the
//! padding mask, so a padded token ends up with all scores equal where it should have none.

use std::sync::Arc;

use candle_core::Result;
use nn::{KeyMask, Mask, RowKind};

use crate::Step;

/// What a padded token with nothing to see attends to, in a model's Hugging Face class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaddedRows {
    /// To all keys that one of the two masks forbids, alike; both together make −∞. Positions are
    /// plain indices (LLaMA, GPT-NeoX).
    OneMask,
    /// To all keys alike. Positions count real tokens, as ours do (OPT; MPT has none).
    All,
}

impl Step {
    /// A pass over whole rows without past, the padded tokens as in Hugging Face's `forward`; those
    /// of `real` tokens are as in [`Step::new`].
    pub fn as_hugging_face(real: &[Vec<bool>], padded: PaddedRows) -> Result<Self> {
        let n_tokens = real.first().map_or(0, Vec::len);
        let ours = Self::new(real, n_tokens)?;
        let (mut allowed, mut rows) =
            (Vec::with_capacity(real.len() * n_tokens * n_tokens), vec![]);
        for row in real {
            for query in 0..n_tokens {
                let sees_text = row[..=query].contains(&true);
                rows.push(if sees_text { RowKind::Scored } else { RowKind::Uniform });
                allowed.extend((0..n_tokens).map(|key| {
                    let (past, text) = (key <= query, row[key]);
                    if sees_text { past && text } else { padded == PaddedRows::All || past != text }
                }));
            }
        }
        let mask = KeyMask { allowed, rows: Some(rows), n_queries: n_tokens, n_keys: n_tokens };
        let positions = match padded {
            PaddedRows::OneMask => {
                Arc::new((0..real.len()).flat_map(|_| 0..n_tokens as u32).collect())
            }
            PaddedRows::All => ours.positions,
        };
        Ok(Self { positions, real: ours.real, mask: Mask::new(mask)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Tensor};
    use nn::attention;

    /// Positions, and six times what each query of three gets of values 1, 2 and 4, all scores 0.
    fn seen(real: [bool; 3], padded: PaddedRows) -> Result<(Vec<u32>, Vec<f64>)> {
        let step = Step::as_hugging_face(&[real.to_vec()], padded)?;
        let zeros = Tensor::zeros((1, 1, 3, 2), DType::F64, &Device::Cpu)?;
        let values = Tensor::new(&[[[[1f64], [2.], [4.]]]], &Device::Cpu)?;
        let out = attention(nn::Ops::Kernels, &zeros, &zeros, &values, 1., Some(&step.mask))?;
        let out: Vec<f64> = out.flatten_all()?.to_vec1()?;
        Ok((step.positions.to_vec(), out.iter().map(|mean| (6. * mean).round()).collect()))
    }

    #[test]
    fn padding_on_the_left_sees_what_one_mask_forbids_or_everything() -> Result<()> {
        let real = [false, false, true];
        // the first token: itself (padded) and the last (future); the second: all three
        let (positions, found) = seen(real, PaddedRows::OneMask)?;
        assert_eq!((positions, found), (vec![0, 1, 2], vec![15., 14., 24.]));
        let (positions, found) = seen(real, PaddedRows::All)?;
        assert_eq!((positions, found), (vec![0, 0, 0], vec![14., 14., 24.]));
        Ok(())
    }

    #[test]
    fn padding_on_the_right_sees_the_text_before_it() -> Result<()> {
        for padded in [PaddedRows::OneMask, PaddedRows::All] {
            assert_eq!(seen([true, true, false], padded)?.1, [6., 9., 9.]);
        }
        Ok(())
    }

    #[test]
    fn rows_without_padding_are_as_ever() -> Result<()> {
        for padded in [PaddedRows::OneMask, PaddedRows::All] {
            assert_eq!(seen([true; 3], padded)?, (vec![0, 1, 2], vec![6., 9., 14.]));
        }
        Ok(())
    }
}
