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
    /// `n_latents`. What is not `present` of a row's images is seen by none of its tokens.
    pub(crate) fn mask(
        self,
        text_time: &[Vec<usize>],
        n_media: usize,
        n_latents: usize,
        present: Option<&[Vec<bool>]>,
    ) -> Result<Mask> {
        let n_queries = text_time.first().map_or(0, Vec::len);
        let sees = |place: usize, time: usize| match self {
            Self::Latest => place == time,
            Self::AllBefore | Self::AllBeforeOrEvery => place <= time,
        };
        let n_keys = n_media * n_latents;
        let is_there = |row: usize, place: usize| present.is_none_or(|it| it[row][place]);
        let rows = || text_time.iter().enumerate();
        let allowed = rows()
            .flat_map(|(row, times)| times.iter().map(move |&time| (row, time)))
            .flat_map(|(row, time)| {
                (0..n_keys).map(move |key| {
                    let place = key / n_latents;
                    sees(place + 1, time) && is_there(row, place)
                })
            })
            .collect();
        let kind = |(row, time): (usize, usize)| {
            let mut seen = (0..n_media).filter(|place| sees(place + 1, time)).peekable();
            match self {
                Self::Latest | Self::AllBefore if time == 0 => RowKind::Silent,
                // all that it would see is missing
                _ if seen.peek().is_some() && !seen.any(|place| is_there(row, place)) => {
                    RowKind::Silent
                }
                _ => RowKind::Scored,
            }
        };
        let times = rows().flat_map(|(row, times)| times.iter().map(move |&time| (row, time)));
        let rows = Some(times.map(kind).collect());
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
        let mask = rule.mask(&[vec![0, 1, 2, 3]], 2, 2, None)?;
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

    #[test]
    fn a_missing_image_is_seen_by_no_token_and_one_that_sees_nothing_else_gets_nothing()
    -> Result<()> {
        let queries = Tensor::zeros((2, 1, 3, 1), DType::F64, &Device::Cpu)?;
        let values = Tensor::new(&[1f64, 1., 3., 3., 5., 5., 7., 7.], &Device::Cpu)?;
        let values = values.reshape((2, 1, 4, 1))?;
        let times = [vec![0, 1, 2], vec![0, 1, 2]];
        let present = [vec![false, true], vec![true, false]];
        let of = |rule: MediaRule| {
            let mask = rule.mask(&times, 2, 2, Some(&present))?;
            nn::attention(nn::Ops::Kernels, &queries, &values, &values, 1., Some(&mask))?
                .flatten_all()?
                .to_vec1::<f64>()
        };
        assert_eq!(of(MediaRule::AllBefore)?, [0., 0., 3., 0., 5., 5.]);
        assert_eq!(of(MediaRule::Latest)?, [0., 0., 3., 0., 5., 0.]);
        Ok(())
    }
}
