//! Writing: prompts and scans in, text out.
//!
//! ```text
//! GenerateConfig ─ Decoding ─┐
//! Requests ─ ids, scans ─────┴─ Flamingo::generate_ids ─ ids ─ text
//! ```
//! A call holds all its state: calls on one model cannot touch each other, and an error leaves
//! nothing behind.

mod batch;
mod config;
mod guided;
mod ids;
mod number;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use lm::decode::TextStream;
use serde::{Deserialize, Serialize};

use crate::{Medium, Model, Prompts, Result, Stop, flamingo::NEVER};
pub use config::{Constrain, GenerateConfig};
pub use guided::{Guide, Next};
pub use ids::{Choice, Chosen, Decoding, Forced, Listener, Sequence};
pub use number::NumberRange;

/// A text to continue.
#[derive(Clone, Debug)]
pub struct Request {
    /// The text so far, one `<image>` for each of `media`.
    pub prompt: String,
    /// Preprocessed windows, one a scan; none: the text is written without a scan.
    pub media: Vec<Arc<Medium>>,
    /// Names the random numbers that tokens are drawn by; absent: the place among the requests.
    pub stream: Option<u64>,
}

/// What the model wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generated {
    /// The new text, without special tokens.
    pub text: String,
    /// Tokens written, the end-of-chunk token included.
    pub n_tokens: usize,
    /// Whether the model ended the text itself.
    pub stopped: bool,
    /// What beam search ranks by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

impl Model {
    /// Writes each request's continuation, in the given order; `num_return_sequences` for each,
    /// best first, one after the other.
    pub fn generate(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
    ) -> Result<Vec<Generated>> {
        self.generate_streaming(requests, config, &mut |_, _| ())
    }

    /// The same, telling `piece` the place in the result and some more text as soon as it is
    /// certain: complete characters, after each token or, with beams, at the end.
    pub fn generate_streaming(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
        piece: &mut dyn FnMut(usize, &str),
    ) -> Result<Vec<Generated>> {
        self.write(requests, config, piece, NEVER)
    }

    /// [`Self::generate`], ending before the next block with [`Error::Stopped`](crate::Error::Stopped)
    /// once `stop` says so.
    pub fn generate_until(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
        stop: Stop<'_>,
    ) -> Result<Vec<Generated>> {
        self.write(requests, config, &mut |_, _| (), stop)
    }

    fn write(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
        piece: &mut dyn FnMut(usize, &str),
        stop: Stop<'_>,
    ) -> Result<Vec<Generated>> {
        config.check_free()?;
        let mut written = Vec::with_capacity(requests.len() * config.n_texts());
        for (batch, requests) in requests.chunks(config.batch_size).enumerate() {
            let before = written.len();
            let named = requests.iter().zip(batch * config.batch_size..);
            let streams = named.map(|(it, place)| it.stream.unwrap_or(place as u64)).collect();
            let mut piece = |sequence: usize, text: &str| {
                if !text.is_empty() {
                    piece(before + sequence, text);
                }
            };
            written.extend(self.generate_batch(requests, config, streams, &mut piece, stop)?);
        }
        Ok(written)
    }

    fn generate_batch(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
        streams: Vec<u64>,
        piece: &mut dyn FnMut(usize, &str),
        stop: Stop<'_>,
    ) -> Result<Vec<Generated>> {
        let vocabulary = &self.vocabulary;
        let rows = requests
            .iter()
            .map(|request| vocabulary.prompt(&request.prompt, request.media.len()))
            .collect::<Result<Vec<_>>>()?;
        let prompts = Prompts::left_padded(rows, vocabulary.image);
        let media: Vec<_> = requests.iter().map(|request| request.media.as_slice()).collect();
        let media = self.encode_media(&media)?;
        let decoding = config.decoding(vocabulary, self.flamingo.compat(), streams);

        let n_texts = requests.len() * config.n_texts();
        let mut texts = vec![TextStream::new(&vocabulary.tokenizer); n_texts];
        let mut listener = |chosen: Chosen<'_>| {
            piece(chosen.sequence, &texts[chosen.sequence].push(chosen.id)?);
            Ok(())
        };
        let found = self.flamingo.generate_ids_until(
            prompts,
            media.as_ref(),
            &decoding,
            &mut listener,
            stop,
        )?;
        let found: Vec<Sequence> = found.into_iter().flatten().collect();
        if matches!(decoding.choice, Choice::Beams(_)) {
            for (idx, sequence) in found.iter().enumerate() {
                piece(idx, &vocabulary.tokenizer.decode(&sequence.ids)?);
            }
        } else {
            for (idx, text) in texts.into_iter().enumerate() {
                piece(idx, &text.finish()?);
            }
        }
        found
            .into_iter()
            .map(|Sequence { ids, score, stopped }| {
                let text = vocabulary.tokenizer.decode(&ids)?;
                Ok(Generated { text, n_tokens: ids.len(), stopped, score })
            })
            .collect()
    }
}
