//! How likely the model finds a given text, and which of several it finds likeliest.

mod classify;
mod ids;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, Medium, Model, Prompts, Result, Stop, flamingo::NEVER};
pub use classify::{Classified, RankBy, classified};
pub use ids::CachedPrompts;

/// A text and what it continues.
#[derive(Clone, Debug)]
pub struct Scored {
    /// The text so far, one `<image>` for each of `media`.
    pub prompt: String,
    /// The text whose likelihood is asked: at least one token, and no `<image>`.
    pub continuation: String,
    /// Preprocessed windows, one a scan.
    pub media: Vec<Arc<Medium>>,
}

/// The likelihood of a continuation, in natural logarithms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLikelihood {
    /// Sum over the continuation's tokens.
    pub sum: f64,
    /// The continuation's tokens.
    pub n_tokens: usize,
}

impl LogLikelihood {
    /// That of tokens with these log-probabilities.
    pub fn of(log_probs: &[f64]) -> Self {
        Self { sum: log_probs.iter().sum(), n_tokens: log_probs.len() }
    }

    /// Mean over the continuation's tokens.
    pub fn mean(&self) -> f64 {
        self.sum / self.n_tokens.max(1) as f64
    }

    /// Mean negative log-likelihood of a token, in nats.
    pub fn nll(&self) -> f64 {
        -self.mean()
    }
}

impl Model {
    /// Scores each item, in the given order. Items of one prompt and the same scans, wherever they
    /// stand, share the work on these: it is read once, and never more than `batch_size`
    /// continuations after it at a time.
    ///
    /// # Errors
    /// Where a continuation has no tokens or holds an `<image>`, beside what a prompt may lack.
    pub fn log_likelihood(
        &self,
        items: &[Scored],
        batch_size: usize,
    ) -> Result<Vec<LogLikelihood>> {
        self.log_likelihood_until(items, batch_size, NEVER)
    }

    /// The same, ending before the next block with [`Error::Stopped`] once `stop` says so.
    pub fn log_likelihood_until(
        &self,
        items: &[Scored],
        batch_size: usize,
        stop: Stop<'_>,
    ) -> Result<Vec<LogLikelihood>> {
        self.scored(items, batch_size, n_together, stop)
    }

    /// The same with all prompts read side by side, however many continuations they have: where padding counts, as
    /// in the evaluation of OpenFlamingo, what stands beside a prompt decides.
    pub fn log_likelihood_beside(
        &self,
        items: &[Scored],
        batch_size: usize,
        stop: Stop<'_>,
    ) -> Result<Vec<LogLikelihood>> {
        self.scored(items, batch_size, |prompts, _| prompts.len(), stop)
    }

    fn scored(
        &self,
        items: &[Scored],
        batch_size: usize,
        n_together: impl Fn(&[Prompt<'_>], usize) -> usize,
        stop: Stop<'_>,
    ) -> Result<Vec<LogLikelihood>> {
        let batch_size = batch_size.max(1);
        let continuations = items.iter().map(|it| self.vocabulary.continuation(&it.continuation));
        let continuations = continuations.collect::<Result<Vec<_>>>()?;
        let prompts = self.by_prompt(items)?;
        let mut rest = prompts.as_slice();
        let mut scores = vec![LogLikelihood::of(&[]); items.len()];
        while !rest.is_empty() {
            if stop() {
                return Err(Error::Stopped);
            }
            let (batch, after) = rest.split_at(n_together(rest, batch_size));
            self.score_batch(batch, &continuations, batch_size, &mut scores, stop)?;
            rest = after;
        }
        Ok(scores)
    }

    /// The items' prompts, each once, in the order of their first items.
    fn by_prompt<'a>(&self, items: &'a [Scored]) -> Result<Vec<Prompt<'a>>> {
        let mut prompts: Vec<Prompt<'a>> = Vec::new();
        let mut known: HashMap<_, usize> = HashMap::new();
        for (idx, item) in items.iter().enumerate() {
            // the same scans are one and the same in memory
            let media: Vec<_> = item.media.iter().map(Arc::as_ptr).collect();
            match known.entry((item.prompt.as_str(), media)) {
                Entry::Occupied(place) => prompts[*place.get()].items.push(idx),
                Entry::Vacant(place) => {
                    place.insert(prompts.len());
                    let (ids, encoders) = self.writer().prompt(&item.prompt, item.media.len())?;
                    if ids.is_empty() {
                        return Err(Error::NoLastToken);
                    }
                    prompts.push(Prompt { ids, media: &item.media, encoders, items: vec![idx] });
                }
            }
        }
        Ok(prompts)
    }

    /// Scores the continuations of these prompts, which are read once.
    fn score_batch(
        &self,
        prompts: &[Prompt<'_>],
        continuations: &[Vec<u32>],
        batch_size: usize,
        scores: &mut [LogLikelihood],
        stop: Stop<'_>,
    ) -> Result<()> {
        let image = self.vocabulary.image;
        let media: Vec<_> = prompts.iter().map(|it| (it.media, it.encoders.clone())).collect();
        let media = self.writer().encode_media(&media)?;
        // each item with the place of its prompt
        let owned = prompts.iter().enumerate();
        let owned = owned.flat_map(|(row, prompt)| prompt.items.iter().map(move |&idx| (row, idx)));
        let owned: Vec<(usize, usize)> = owned.collect();

        let shared = prompts.len() < owned.len();
        let cached = if shared {
            let rows = prompts.iter().map(|prompt| prompt.ids.clone()).collect();
            let rows = Prompts::left_padded(rows, image);
            Some(self.flamingo.cache_prompts_until(rows, media.as_ref(), stop)?)
        } else {
            None
        };
        for some in owned.chunks(batch_size) {
            let found = if let Some(cached) = &cached {
                let rest = |&(row, idx): &(usize, usize)| (row, continuations[idx].as_slice());
                cached.log_probs(&some.iter().map(rest).collect::<Vec<_>>())?
            } else {
                let ids = |row: usize| prompts[row].ids.as_slice();
                let whole = some.iter().map(|&(row, idx)| [ids(row), &continuations[idx]].concat());
                let starts: Vec<usize> = some.iter().map(|&(row, _)| ids(row).len()).collect();
                let (rows, media) = (whole.collect(), media.as_ref());
                self.flamingo.log_probs_until(rows, &starts, media, image, stop)?
            };
            for (&(_, idx), log_probs) in some.iter().zip(found) {
                scores[idx] = LogLikelihood::of(&log_probs);
            }
        }
        Ok(())
    }
}

/// A prompt, and which items continue it.
struct Prompt<'a> {
    ids: Vec<u32>,
    media: &'a [Arc<Medium>],
    /// Who reads each of them.
    encoders: Vec<usize>,
    items: Vec<usize>,
}

/// How many of these prompts are read side by side: those with no more than a batch of
/// continuations between them, and one at least.
fn n_together(prompts: &[Prompt<'_>], batch_size: usize) -> usize {
    let mut n_items = 0;
    let fit = prompts.iter().take_while(|prompt| {
        n_items += prompt.items.len();
        n_items <= batch_size
    });
    fit.count().max(1)
}
