//! How likely the model finds a given text, and which of several it finds likeliest.

mod classify;
mod ids;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::Serialize;

use crate::{Error, Medium, Model, Prompts, Result};
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

impl Scored {
    /// Whether two continuations are of one and the same prompt.
    fn shares_prompt(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<Medium>, &Arc<Medium>)| Arc::ptr_eq(a, b);
        self.prompt == other.prompt
            && self.media.len() == other.media.len()
            && self.media.iter().zip(&other.media).all(same)
    }
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
    /// Scores each item, in the given order. Items side by side that share their prompt and scans
    /// share the work on them.
    ///
    /// # Errors
    /// Where a continuation has no tokens or holds an `<image>`, beside what a prompt may lack.
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

    /// Ids of a continuation; none, or an `<image>` that no scan belongs to, is refused.
    fn continuation(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.vocabulary.tokenizer.encode_rest(text)?.ids;
        let refuse = |found| Err(Error::Continuation { continuation: text.to_owned(), found });
        if ids.is_empty() {
            return refuse("no tokens");
        }
        if ids.contains(&self.vocabulary.image) {
            return refuse("an `<image>`");
        }
        Ok(ids)
    }

    fn score_batch(&self, items: &[Scored]) -> Result<Vec<LogLikelihood>> {
        let vocabulary = &self.vocabulary;
        // items by prompt: the first item of each, and each item's prompt
        let mut firsts: Vec<&Scored> = Vec::new();
        let mut owners = Vec::with_capacity(items.len());
        for item in items {
            let known = firsts.iter().position(|first| first.shares_prompt(item));
            owners.push(known.unwrap_or(firsts.len()));
            if known.is_none() {
                firsts.push(item);
            }
        }
        let rows = firsts
            .iter()
            .map(|item| vocabulary.prompt(&item.prompt, item.media.len()))
            .collect::<Result<Vec<_>>>()?;
        let continuations = items
            .iter()
            .map(|item| self.continuation(&item.continuation))
            .collect::<Result<Vec<_>>>()?;
        let media: Vec<_> = firsts.iter().map(|item| item.media.as_slice()).collect();
        let media = self.look(&media)?;

        let shared = firsts.len() < items.len();
        let found = if shared && !rows.iter().any(Vec::is_empty) {
            let prompts = Prompts::left_padded(rows, vocabulary.image);
            let cached = self.flamingo.cache_prompts(prompts, media.as_ref())?;
            let continuations: Vec<_> =
                owners.into_iter().zip(continuations.iter().map(Vec::as_slice)).collect();
            cached.log_probs(&continuations)?
        } else {
            let starts: Vec<usize> = owners.iter().map(|&owner| rows[owner].len()).collect();
            let whole = owners.iter().zip(&continuations);
            let whole = whole.map(|(&owner, rest)| [&*rows[owner], rest].concat()).collect();
            let owners: Vec<u32> = owners.iter().map(|&owner| owner as u32).collect();
            let media = match media {
                Some(media) if shared => Some(media.select(&owners)?),
                media => media,
            };
            self.flamingo.log_probs(whole, &starts, media.as_ref(), vocabulary.image)?
        };
        Ok(found.iter().map(|log_probs| LogLikelihood::of(log_probs)).collect())
    }
}
