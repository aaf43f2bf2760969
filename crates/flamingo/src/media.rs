//! Which scan each text token may see.
//!
//! `text_time` counts the `<image>` tokens up to and including a position. A token sees the scan
//! whose place in the text equals its `text_time`: the latest one. Text before any `<image>` sees
//! nothing, and its attention is exactly zero (Alayrac et al. 2022, section 3.1.3; OpenFlamingo's
//! `MaskedCrossAttention`).

use candle_core::Result;
use nn::{KeyMask, Mask, RowKind};

/// The mask of one pass: rows of `text_time`, one per token, against `n_media` scans of `n_latents`.
pub(crate) fn mask(text_time: &[Vec<usize>], n_media: usize, n_latents: usize) -> Result<Mask> {
    let n_queries = text_time.first().map_or(0, Vec::len);
    let times = text_time.iter().flatten();
    let silent = |&time: &usize| if time == 0 { RowKind::Silent } else { RowKind::Scored };
    let rows = Some(times.clone().map(silent).collect());
    let allowed = times
        .flat_map(|&time| (0..n_media * n_latents).map(move |key| key / n_latents + 1 == time))
        .collect();
    Mask::new(KeyMask { allowed, rows, n_queries, n_keys: n_media * n_latents })
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

    #[test]
    fn an_image_token_already_sees_its_own_scan() {
        assert_eq!(text_time(&[5, 9, 6, 9, 9, 7], 9), vec![0, 1, 1, 2, 3, 3]);
    }
}
