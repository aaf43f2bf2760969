//! One pass over text and media: features, latents, every layer, logits.

use anyhow::Result;
use candle_core::{DType, Tensor};
use encoder::MediaEncoder;
use flamingo::{After, Flamingo, MediaView, TextView};
use lm::Step;

use super::case::Case;
use super::compare::{gap, size};
use crate::checks::Worst;

/// Absolute, on numbers of the size of logits.
pub(super) const TOLERANCE: f64 = 1e-4;

/// Ids, padding and media places of a part of the case.
pub(super) fn text(case: &Case, part: &str) -> Result<TextView> {
    let ids = case.rows(&format!("{part}.input_ids"))?;
    let real: Vec<Vec<bool>> = case
        .rows(&format!("{part}.attention_mask"))?
        .iter()
        .map(|row| row.iter().map(|&flag| flag != 0).collect())
        .collect();
    let n_tokens = ids[0].len();
    let media = i64::from(case.spec.media_token_id);
    let times = ids.iter().map(|row| {
        let seen = row.iter().scan(0, |seen, &id| {
            *seen += usize::from(id == media);
            Some(*seen)
        });
        seen.collect()
    });
    Ok(TextView {
        ids: case.get(&format!("{part}.input_ids"))?.to_dtype(DType::U32)?,
        step: Step::new(&real, n_tokens)?,
        text_time: times.collect(),
    })
}

/// Logits of the part `fwd`, `(batch, n_tokens, vocab_size)`.
pub(super) fn logits(
    flamingo: &Flamingo,
    text: &TextView,
    media: &MediaView,
    watch: &mut dyn FnMut(usize, After, &Tensor),
) -> Result<Tensor> {
    Ok(flamingo.head(&flamingo.watched(text, Some(media), None, watch)?)?)
}

/// Compares everything but the gradients.
pub(super) fn run(case: &Case, worst: &mut Worst) -> Result<()> {
    let (flamingo, _) = case.build()?;
    let tokens = flamingo.encoder().encode(&case.media("fwd")?)?;
    // features that are stored as factors are not stored twice
    if case.io.contains_key("fwd.vision_features") || case.io.contains_key("fwd.vision_x") {
        let features = case.get("fwd.vision_features")?;
        let found = tokens.values.reshape(features.shape())?;
        worst.add("features", gap(&found, features, None)?, TOLERANCE);
    }
    if let (Some(pooled), MediaEncoder::Clip(clip)) =
        (case.io.get("fwd.vision_pooled"), flamingo.encoder())
    {
        let found = clip.pooled(&case.media("fwd")?.values.flatten_to(2)?)?;
        worst.add("embedding", gap(&found, pooled, None)?, TOLERANCE);
    }
    let media = flamingo.look_at(&tokens)?;
    worst.add("resampler", gap(media.latents(), case.get("fwd.perceiver")?, None)?, TOLERANCE);

    let text = text(case, "fwd")?;
    let real = case.get("fwd.attention_mask")?;
    let mut seen = Vec::new();
    let logits = logits(&flamingo, &text, &media, &mut |idx, after, xs| {
        let place = if after == After::Gate { "xattn_out" } else { "out" };
        seen.push((format!("fwd.layer{idx}.{place}"), xs.clone()));
    })?;
    for (name, found) in seen {
        let expected = case.get(&name)?;
        let scale = size(expected)?.max(1.);
        worst.add(&name, gap(&found, expected, Some(real))? / scale, TOLERANCE);
    }
    worst.add("logits", gap(&logits, case.get("fwd.logits")?, Some(real))?, TOLERANCE);
    Ok(())
}
