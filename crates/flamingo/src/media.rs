//! Which scans each text token may see.
//!
//! `text_time` counts the `<image>` tokens up to and including a position; the image whose place in
//! the text equals it is the latest one (Alayrac et al. 2022, section 3.1.3; OpenFlamingo's
//! `MaskedCrossAttention`). Text after a surplus `<image>`, one that has no image, may see none of
//! them and so looks at all alike.

use candle_core::Result;
use nn::{KeyMask, Mask, RowKind};

/// Which of the images before it a text token sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaRule {
    /// The latest. Text before any image sees nothing, and its attention is exactly zero.
    Latest,
    /// All of them. Text before any image sees nothing.
    AllBefore,
    /// All of them; text before any image looks at every image alike, at later ones too, as in
    /// OpenFlamingo.
    AllBeforeOrEvery,
}

impl MediaRule {
    /// The mask of one pass: rows of `text_time`, one per token, against `n_media` images of
    /// `n_latents`.
    pub(crate) fn mask(
        self,
        text_time: &[Vec<usize>],
        n_media: usize,
        n_latents: usize,
    ) -> Result<Mask> {
        let n_queries = text_time.first().map_or(0, Vec::len);
        let times = || text_time.iter().flatten().copied();
        let sees = |place: usize, time: usize| match self {
            Self::Latest => place == time,
            Self::AllBefore | Self::AllBeforeOrEvery => place <= time,
        };
        let n_keys = n_media * n_latents;
        let allowed = times()
            .flat_map(|time| (0..n_keys).map(move |key| sees(key / n_latents + 1, time)))
            .collect();
        let kind = |time| match self {
            Self::Latest | Self::AllBefore if time == 0 => RowKind::Silent,
            _ => RowKind::Scored,
        };
        let rows = Some(times().map(kind).collect());
        Mask::new(KeyMask { allowed, rows, n_queries, n_keys })
    }
}

/// `text_time` of every position of a row.
pub(crate) fn text_time(ids: &[u32], image: u32) -> Vec<usize> {
    ids.iter()
        .scan(0, |seen, &id| {
            *seen += usize::from(id == image);
            Some(*seen)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Tensor};

    #[test]
    fn an_image_token_already_sees_its_own_scan() {
        assert_eq!(text_time(&[5, 9, 6, 9, 9, 7], 9), vec![0, 1, 1, 2, 3, 3]);
    }

    /// What a token of each time gets of two images whose latents are worth 1 and 3.
    fn seen(rule: MediaRule) -> Result<Vec<f64>> {
        let queries = Tensor::zeros((1, 1, 4, 1), DType::F64, &Device::Cpu)?;
        let values = Tensor::new(&[1f64, 1., 3., 3.], &Device::Cpu)?.reshape((1, 1, 4, 1))?;
        let mask = rule.mask(&[vec![0, 1, 2, 3]], 2, 2)?;
        nn::attention(nn::Ops::Kernels, &queries, &values, &values, 1., Some(&mask))?
            .flatten_all()?
            .to_vec1()
    }

    #[test]
    fn each_rule_shows_what_it_says() -> Result<()> {
        assert_eq!(seen(MediaRule::Latest)?, [0., 1., 3., 2.]);
        assert_eq!(seen(MediaRule::AllBefore)?, [0., 1., 2., 2.]);
        assert_eq!(seen(MediaRule::AllBeforeOrEvery)?, [2., 1., 2., 2.]);
        Ok(())
    }
}
