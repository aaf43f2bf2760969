//! How likely the model finds a given text.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use serde::Serialize;

use crate::{Medium, Model, Prompts, Result};

/// A text and what it continues.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The text so far, one `<image>` for each of `media`.
    pub prompt: String,
    /// The text whose likelihood is asked.
    pub continuation: String,
    /// Preprocessed windows, one a scan.
    pub media: Vec<Arc<Medium>>,
}

/// The likelihood of a continuation, in natural logarithms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LogLikelihood {
    /// Sum over the continuation's tokens.
    pub sum: f64,
    /// The continuation's tokens.
    pub n_tokens: usize,
}

impl LogLikelihood {
    /// Mean negative log-likelihood of a token, in nats.
    pub fn nll(&self) -> f64 {
        -self.sum / self.n_tokens.max(1) as f64
    }
}

impl Model {
    /// Scores each item, in the given order.
    pub fn log_likelihood(
        &self,
        items: &[Scored],
        batch_size: usize,
    ) -> Result<Vec<LogLikelihood>> {
        let mut scores = Vec::with_capacity(items.len());
        for batch in items.chunks(batch_size.max(1)) {
            scores.extend(self.score_batch(batch)?);
        }
        Ok(scores)
    }

    fn score_batch(&self, items: &[Scored]) -> Result<Vec<LogLikelihood>> {
        let vocabulary = &self.vocabulary;
        let (mut rows, mut starts) = (Vec::new(), Vec::new());
        for item in items {
            let mut ids = vocabulary.prompt(&item.prompt, item.media.len())?;
            starts.push(ids.len());
            ids.extend(vocabulary.tokenizer.encode_rest(&item.continuation)?.ids);
            rows.push(ids);
        }
        let media: Vec<_> = items.iter().map(|item| item.media.as_slice()).collect();
        let media = self.look(&media)?;
        let view = Prompts::right_padded(rows.clone(), vocabulary.image)
            .view(self.flamingo.lm().n_positions())?;
        let hidden = self.flamingo.hidden(&view, media.as_ref(), None)?;

        // the head runs only where a continuation's token is predicted
        let (_, n_tokens, dim) = hidden.dims3()?;
        let (mut places, mut targets) = (Vec::new(), Vec::new());
        for (row, (ids, &start)) in rows.iter().zip(&starts).enumerate() {
            for (at, &id) in ids.iter().enumerate().skip(start.max(1)) {
                places.push((row * n_tokens + at - 1) as u32);
                targets.push(id);
            }
        }
        let mut losses = Vec::new();
        if !places.is_empty() {
            let n_places = places.len();
            let places = Tensor::from_vec(places, n_places, hidden.device())?;
            let hidden = hidden.reshape(((), dim))?.index_select(&places, 0)?;
            let loss = nn::cross_entropy(&self.flamingo.head(&hidden)?, targets)?;
            losses = loss.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        }
        let mut losses = losses.into_iter();
        Ok(rows
            .iter()
            .zip(&starts)
            .map(|(ids, &start)| {
                let n_tokens = ids.len() - start.max(1).min(ids.len());
                let sum = -losses.by_ref().take(n_tokens).sum::<f64>();
                LogLikelihood { sum, n_tokens }
            })
            .collect())
    }
}
