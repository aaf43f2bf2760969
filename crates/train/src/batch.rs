//! Pairs of scans and reports as padded ids with loss weights.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result as CandleResult, Tensor};
use flamingo::{Flamingo, Medium, NamedMedia, Prompts, TextView, Vocabulary};
use nn::Ops;

use crate::{Error, Result, augment::crop};

/// One scan and what is to be written of it.
#[derive(Clone, Debug)]
pub struct Example {
    /// What it is called where something is wrong with it, such as a row of a table: no person's name.
    pub name: String,
    /// One preprocessed scan each: a window `(n_frames, n_voxels)` with `margin` further frames on
    /// either side, or several windows or their tokens, `(n_windows, …)`. Of several media of a report one each, in the
    /// order of the prompt; `(0, …)` is a missing one.
    pub media: Vec<Arc<Medium>>,
    /// Which of them are scans: these are varied, and have the margin.
    pub scans: Vec<usize>,
    /// Frames before and after the window, for shifting it.
    pub margin: usize,
    /// The text before the report, one `<image>` a scan, with its name where there are several media; not learned.
    pub prompt: String,
    /// The report.
    pub report: String,
    /// Byte ranges of the report with the weight of their tokens; all others weigh 1.
    pub weighted: Vec<(Range<usize>, f64)>,
    /// What examples are balanced by, where they are; of those without it a value of its own.
    pub stratum: Option<usize>,
    /// What the auxiliary loss must tell apart.
    pub class: Option<usize>,
}

impl Example {
    /// Its media without margins.
    pub(crate) fn shown(&self) -> Vec<Medium> {
        let media = self.media.iter().enumerate().map(|(place, medium)| {
            let margin = if self.scans.contains(&place) { self.margin } else { 0 };
            crop(medium, margin, 0)
        });
        media.collect()
    }
}

/// An example as ids: prompt, report, end of chunk.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    ids: Vec<u32>,
    /// Ids of the prompt; what follows is learned.
    n_prompt: usize,
    /// Weight of each learned id.
    weights: Vec<f32>,
}

impl Row {
    pub(crate) fn new(
        example: &Example,
        vocabulary: &Vocabulary,
        named: &NamedMedia,
    ) -> Result<Self> {
        let (prompt, _) = named.read(&example.prompt)?;
        let mut ids = vocabulary.prompt(&prompt, example.media.len())?;
        let n_prompt = ids.len();
        let report = vocabulary.tokenizer.encode_rest(&example.report)?;
        if report.ids.is_empty() {
            return Err(Error::Data("a report is empty".to_owned()));
        }
        let weight = |token: &Range<usize>| {
            let mut spans = example.weighted.iter();
            let hit = spans.find(|(span, _)| token.start < span.end && span.start < token.end);
            hit.map_or(1., |(_, weight)| *weight as f32)
        };
        let mut weights: Vec<f32> = report.ranges.iter().map(weight).collect();
        weights.push(1.);
        ids.extend(report.ids);
        ids.push(vocabulary.end_of_chunk);
        Ok(Self { ids, n_prompt, weights })
    }

    /// Ids in the row.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Sum of the weights of its learned ids.
    pub(crate) fn weight(&self) -> f64 {
        self.weights.iter().map(|&weight| f64::from(weight)).sum()
    }
}

/// Some rows as one pass, without their last ids, which predict nothing.
pub(crate) fn text_view(
    flamingo: &Flamingo,
    rows: &[&Row],
    vocabulary: &Vocabulary,
) -> Result<TextView> {
    let ids = rows.iter().map(|row| row.ids[..row.ids.len() - 1].to_vec()).collect();
    let limit = flamingo.lm().shape().n_positions;
    Ok(Prompts::right_padded(ids, vocabulary.image).view(limit, flamingo.device())?)
}

/// Numbers of logits that are in memory at once where activations are not kept: 64 MiB in f32.
const MOST_LOGITS: usize = 1 << 24;

/// Ids that are learned, with the places in hidden states `(batch · n_tokens, dim)` that predict them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Predicted {
    places: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
}

impl Predicted {
    /// The learned ids of some rows in a pass of so many tokens each.
    pub(crate) fn of_rows(rows: &[&Row], n_tokens: usize) -> Self {
        let mut all = Self::default();
        for (idx, row) in rows.iter().enumerate() {
            for (at, &weight) in (row.n_prompt..).zip(&row.weights) {
                all.push(idx * n_tokens + at - 1, row.ids[at], weight);
            }
        }
        all
    }

    pub(crate) fn push(&mut self, place: usize, target: u32, weight: f32) {
        self.places.push(place as u32);
        self.targets.push(target);
        self.weights.push(weight);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The same ids in parts, whose losses add up: each has few enough that its logits are held at once.
    pub(crate) fn parts(&self, n_ids: usize) -> Vec<Self> {
        self.parts_of((MOST_LOGITS / n_ids.max(1)).max(1))
    }

    fn parts_of(&self, n: usize) -> Vec<Self> {
        let part = |first: usize| {
            let part = first..(first + n).min(self.targets.len());
            Self {
                places: self.places[part.clone()].to_vec(),
                targets: self.targets[part.clone()].to_vec(),
                weights: self.weights[part].to_vec(),
            }
        };
        (0..self.targets.len()).step_by(n).map(part).collect()
    }

    /// Weighted cross-entropy of hidden states `(batch, n_tokens, dim)` over `total`, a scalar: the mean where `total`
    /// is the sum of the weights. The head runs only where a learned id is predicted.
    pub(crate) fn loss(
        self,
        flamingo: &Flamingo,
        hidden: &Tensor,
        total: f64,
    ) -> CandleResult<Tensor> {
        let Self { places, targets, weights } = self;
        let ops = flamingo.device().ops();
        weighted_loss(ops, hidden, places, targets, weights, total, |hidden| flamingo.head(hidden))
    }
}

/// Weighted cross-entropy at some places of hidden states `(batch, n_tokens, dim)`, over `total`.
pub(crate) fn weighted_loss(
    ops: Ops,
    hidden: &Tensor,
    places: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
    total: f64,
    head: impl FnOnce(&Tensor) -> CandleResult<Tensor>,
) -> CandleResult<Tensor> {
    let n = places.len();
    let places = Tensor::from_vec(places, n, hidden.device())?;
    let weights = Tensor::from_vec(weights, n, hidden.device())?.to_dtype(hidden.dtype())?;
    let hidden = hidden.flatten_to(1)?.index_select(&places, 0)?;
    (nn::cross_entropy(ops, &head(&hidden)?, targets)? * weights)?.sum_all()? / total
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_losses_of_parts_add_up_to_that_of_the_whole() -> CandleResult<()> {
        let mut all = Predicted::default();
        for (place, target) in [(0, 2), (2, 1), (3, 0), (5, 2), (4, 4)] {
            all.push(place, target, 1. + place as f32);
        }
        let values: Vec<f32> = (0..30).map(|i| (i as f32 * 0.7).sin()).collect();
        let hidden = Tensor::from_vec(values, (2, 3, 5), &Device::Cpu)?;
        let loss = |it: Predicted| {
            let Predicted { places, targets, weights } = it;
            weighted_loss(Ops::Kernels, &hidden, places, targets, weights, 3., |xs| Ok(xs.clone()))?
                .to_scalar::<f32>()
        };
        let whole = loss(all.clone())?;
        let parts = all.parts_of(2);
        assert_eq!(parts.iter().map(|it| it.targets.len()).collect::<Vec<_>>(), [2, 2, 1]);
        let sum: f32 = parts.into_iter().map(loss).sum::<CandleResult<f32>>()?;
        assert!((whole - sum).abs() < 1e-5 * whole, "{whole} {sum}");
        // a vocabulary of 128,256 ids leaves 130 places at once
        assert_eq!((MOST_LOGITS / 128_256, all.parts(10).len()), (130, 1));
        Ok(())
    }
}
