//! Writing: prefill once, then one cached token at a time.

use std::sync::Arc;

use lm::{Cache, greedy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Medium, Model, Prompts, Result};

/// How to write. Decoding is greedy over the whole vocabulary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateConfig {
    /// A text that has not ended by then is cut.
    pub max_new_tokens: usize,
    /// Texts written side by side; changes the speed, not the texts.
    pub batch_size: usize,
}

/// A text to continue.
#[derive(Clone, Debug)]
pub struct Request {
    /// The text so far, one `<image>` for each of `media`.
    pub prompt: String,
    /// Preprocessed windows, one a scan; none: the text is written without a scan.
    pub media: Vec<Arc<Medium>>,
}

/// What the model wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Generated {
    /// The new text, without special tokens.
    pub text: String,
    /// Tokens written, the end-of-chunk token included.
    pub n_tokens: usize,
    /// Whether the model ended the text itself.
    pub stopped: bool,
}

impl Model {
    /// Writes each request's continuation, in the given order.
    pub fn generate(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
    ) -> Result<Vec<Generated>> {
        let mut written = Vec::with_capacity(requests.len());
        for batch in requests.chunks(config.batch_size.max(1)) {
            written.extend(self.generate_batch(batch, config.max_new_tokens)?);
        }
        Ok(written)
    }

    fn generate_batch(&self, requests: &[Request], max_new: usize) -> Result<Vec<Generated>> {
        let vocabulary = &self.vocabulary;
        let rows = requests
            .iter()
            .map(|request| vocabulary.prompt(&request.prompt, request.media.len()))
            .collect::<Result<Vec<_>>>()?;
        let limit = self.flamingo.lm().n_positions();
        let mut prompts = Prompts::left_padded(rows, vocabulary.image);
        let longest = prompts.n_tokens() + max_new;
        if longest > limit {
            return Err(Error::TooLong { found: longest, limit });
        }
        let media: Vec<_> = requests.iter().map(|request| request.media.as_slice()).collect();
        let media = self.look(&media)?;

        let mut cache = Cache::new(self.flamingo.lm().n_blocks());
        let mut view = prompts.view(limit)?;
        let mut written: Vec<Vec<u32>> = vec![Vec::new(); requests.len()];
        let mut stopped = vec![false; requests.len()];
        for _ in 0..max_new {
            let hidden = self.flamingo.hidden(&view, media.as_ref(), Some(&mut cache))?;
            let last = hidden.narrow(1, hidden.dim(1)? - 1, 1)?.squeeze(1)?;
            let next = greedy(&self.flamingo.head(&last)?, &vocabulary.banned)?;
            for ((written, stopped), &id) in written.iter_mut().zip(&mut stopped).zip(&next) {
                if !*stopped {
                    written.push(id);
                    *stopped = id == vocabulary.end_of_chunk;
                }
            }
            if stopped.iter().all(|&stopped| stopped) {
                break;
            }
            view = prompts.push(&next)?;
        }
        written
            .iter()
            .zip(stopped)
            .map(|(ids, stopped)| {
                let text = vocabulary.tokenizer.decode(ids)?;
                Ok(Generated { text, n_tokens: ids.len(), stopped })
            })
            .collect()
    }
}
