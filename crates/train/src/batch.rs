//! Pairs of scans and reports as padded ids with loss weights.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result as CandleResult, Tensor};
use flamingo::{Flamingo, Medium, Prompts, TextView, Vocabulary};

use crate::{Error, Result};

/// One scan and what is to be written of it.
#[derive(Clone, Debug)]
pub struct Example {
    /// What it is called where something is wrong with it, such as a row of a table: no person's name.
    pub name: String,
    /// One preprocessed scan each: a window `(n_frames, n_voxels)` with `margin` further frames on
    /// either side, or several windows or their tokens, `(n_windows, …)`.
    pub media: Vec<Arc<Medium>>,
    /// Frames before and after the window, for shifting it.
    pub margin: usize,
    /// The text before the report, one `<image>` a scan; not learned.
    pub prompt: String,
    /// The report.
    pub report: String,
    /// Byte ranges of the report whose tokens weigh more.
    pub weighted: Vec<Range<usize>>,
    /// What the auxiliary loss must tell apart.
    pub class: Option<usize>,
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
    pub(crate) fn new(example: &Example, vocabulary: &Vocabulary, weight: f64) -> Result<Self> {
        let mut ids = vocabulary.prompt(&example.prompt, example.media.len())?;
        let n_prompt = ids.len();
        let report = vocabulary.tokenizer.encode_rest(&example.report)?;
        if report.ids.is_empty() {
            return Err(Error::Data("a report is empty".to_owned()));
        }
        let hit = |token: &Range<usize>| {
            example.weighted.iter().any(|span| token.start < span.end && span.start < token.end)
        };
        let mut weights: Vec<f32> =
            report.ranges.iter().map(|token| if hit(token) { weight as f32 } else { 1. }).collect();
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
    Ok(Prompts::right_padded(ids, vocabulary.image).view(limit)?)
}

/// Weighted cross-entropy of the learned ids of some rows, whose hidden states `(batch, n_tokens, dim)` these are, over
/// `total`, a scalar: their mean where `total` is the sum of their weights.
///
/// The head runs only where a learned id is predicted.
pub(crate) fn text_loss(
    flamingo: &Flamingo,
    hidden: &Tensor,
    rows: &[&Row],
    total: f64,
) -> CandleResult<Tensor> {
    let (_, n_tokens, _) = hidden.dims3()?;
    let (mut places, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for (idx, row) in rows.iter().enumerate() {
        for (at, &weight) in (row.n_prompt..).zip(&row.weights) {
            places.push((idx * n_tokens + at - 1) as u32);
            targets.push(row.ids[at]);
            weights.push(weight);
        }
    }
    weighted_loss(hidden, places, targets, weights, total, |hidden| flamingo.head(hidden))
}

/// Weighted cross-entropy at some places of hidden states `(batch, n_tokens, dim)`, over `total`.
pub(crate) fn weighted_loss(
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
    (nn::cross_entropy(&head(&hidden)?, targets)? * weights)?.sum_all()? / total
}
