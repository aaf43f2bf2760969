//! Beam search over ids and scores, as Hugging Face transformers 4.33 does it.
//!
//! ```text
//! log-probabilities of every beam + its sum ─ the best 2 · num_beams of a prompt
//!   ├─ the end, among the best num_beams: a finished text
//!   └─ else, in order: the next num_beams beams
//! ```
//! A prompt whose finished texts can no longer be beaten leaves the batch.

mod hypotheses;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};
use hypotheses::Hypotheses;
pub use hypotheses::Hypothesis;

/// The sum of every beam but a prompt's first: they hold the same text until the first step.
const UNBORN: f32 = -1e9;

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct BeamConfig {
    /// Texts followed at once.
    pub num_beams: usize,
    /// A text's sum of log-probabilities is divided by its length to this power.
    pub length_penalty: f64,
    /// What counts as a text's length.
    pub length: Length,
    /// When to stop.
    pub early_stopping: EarlyStopping,
}

/// What counts as a text's length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Length {
    /// Prompt and text without its end, as in transformers until 4.35.
    #[default]
    Whole,
    /// The written tokens alone, the end included, as in later versions.
    Generated,
}

/// When the search of a prompt is over, once `num_beams` texts have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EarlyStopping {
    /// As soon as the best open text, at its present length, is no better than the worst of them
    /// (`false` in Hugging Face's settings).
    #[default]
    Heuristic,
    /// At once (`true`).
    Full,
    /// When no open text can become better at any length (`never`).
    Never,
}

impl BeamConfig {
    /// Hugging Face's defaults.
    pub fn new(num_beams: usize) -> Self {
        Self {
            num_beams,
            length_penalty: 1.,
            length: Length::default(),
            early_stopping: EarlyStopping::default(),
        }
    }

    fn score(&self, sum: f64, length: usize) -> f64 {
        sum / (length as f64).powf(self.length_penalty)
    }
}

/// How the batch goes on: one entry for each row of the next step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// The row of the last step whose past this row continues.
    pub rows: Vec<u32>,
    /// The row of the last step that stood in this row's place, among the beams of its prompt.
    pub places: Vec<u32>,
    /// The id that it appends.
    pub ids: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Beam {
    ids: Vec<u32>,
    sum: f32,
}

/// The open and the finished texts of a batch of prompts.
///
/// The rows of a step are the beams of the first open prompt, then those of the next.
#[derive(Clone, Debug)]
pub struct Beams {
    config: BeamConfig,
    end: u32,
    longest: usize,
    n_new: usize,
    /// Finished texts, a list for each prompt.
    finished: Vec<Hypotheses>,
    /// What each prompt adds to the length.
    prompt_lengths: Vec<usize>,
    /// Prompts still searched.
    open: Vec<usize>,
    beams: Vec<Beam>,
}

impl Beams {
    /// A search from prompts of these lengths; texts end with `end` or after `longest` new tokens.
    pub fn new(config: &BeamConfig, prompt_lengths: &[usize], end: u32, longest: usize) -> Self {
        let first = |idx| Beam { ids: Vec::new(), sum: if idx == 0 { 0. } else { UNBORN } };
        let of_prompt = |length: &usize| match config.length {
            Length::Whole => *length,
            Length::Generated => 0,
        };
        Self {
            config: config.clone(),
            end,
            longest,
            n_new: 0,
            finished: vec![Hypotheses::new(); prompt_lengths.len()],
            prompt_lengths: prompt_lengths.iter().map(of_prompt).collect(),
            open: (0..prompt_lengths.len()).collect(),
            beams: prompt_lengths.iter().flat_map(|_| (0..config.num_beams).map(first)).collect(),
        }
    }

    /// One step: `log_probs` are those of the next id, a row for each beam.
    ///
    /// # Errors
    /// When all ids are forbidden before a prompt has any text.
    pub fn advance(&mut self, log_probs: &[Vec<f32>]) -> Result<Next> {
        let width = self.config.num_beams;
        self.n_new += 1;
        let (mut next, mut beams, mut open) = (Next::default(), Vec::new(), Vec::new());
        for (at, prompt) in std::mem::take(&mut self.open).into_iter().enumerate() {
            let first = at * width;
            let rows = first..first + width;
            let best = candidates(&self.beams[rows.clone()], &log_probs[rows], 2 * width);
            let Some(top) = best.first() else {
                if self.finished[prompt].is_empty() {
                    return Err(Error::NothingAllowed);
                }
                continue;
            };
            let kept = self.finish_ended(prompt, first, &best);
            let length = self.prompt_lengths[prompt] + self.n_new;
            let longest = self.prompt_lengths[prompt] + self.longest;
            let sum = f64::from(top.sum);
            if self.finished[prompt].are_final(sum, length, longest, &self.config) {
                continue;
            }
            open.push(prompt);
            for place in 0..width {
                // where rules leave fewer ways on than beams, a dead beam repeats the first
                let dead = Candidate { sum: f32::NEG_INFINITY, beam: 0, id: self.end };
                let Candidate { sum, beam, id } = *kept.get(place).unwrap_or(&dead);
                next.rows.push((first + beam) as u32);
                next.places.push((first + place) as u32);
                next.ids.push(id);
                let ids = [&*self.beams[first + beam].ids, &[id]].concat();
                beams.push(Beam { ids, sum });
            }
        }
        (self.beams, self.open) = (beams, open);
        Ok(next)
    }

    /// Takes the ended texts among a prompt's candidates and returns those that go on.
    fn finish_ended(&mut self, prompt: usize, first: usize, best: &[Candidate]) -> Vec<Candidate> {
        let width = self.config.num_beams;
        let mut kept = Vec::with_capacity(width);
        for (rank, candidate) in best.iter().enumerate() {
            if kept.len() == width {
                break;
            }
            if candidate.id != self.end {
                kept.push(*candidate);
            } else if rank < width {
                let ids = [&*self.beams[first + candidate.beam].ids, &[self.end]].concat();
                let length = match self.config.length {
                    Length::Whole => self.prompt_lengths[prompt] + self.n_new - 1,
                    Length::Generated => self.n_new,
                };
                let score = self.config.score(f64::from(candidate.sum), length);
                let text = Hypothesis { ids, score, stopped: true };
                self.finished[prompt].add(text, &self.config);
            }
        }
        kept
    }

    /// Whether every prompt's texts are final.
    pub fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// The best `n` texts of each prompt, best first; texts still open are cut where they are.
    pub fn finish(mut self, n: usize) -> Vec<Vec<Hypothesis>> {
        let width = self.config.num_beams;
        for (&prompt, beams) in self.open.iter().zip(self.beams.chunks_mut(width)) {
            let length = self.prompt_lengths[prompt] + self.n_new;
            for beam in beams {
                let ids = std::mem::take(&mut beam.ids);
                let score = self.config.score(f64::from(beam.sum), length);
                let text = Hypothesis { ids, score, stopped: false };
                self.finished[prompt].add(text, &self.config);
            }
        }
        self.finished.into_iter().map(|finished| finished.best(n)).collect()
    }
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    sum: f32,
    beam: usize,
    id: u32,
}

/// The best `n` allowed ways on, best first; of equals the earlier beam, then the lower id.
fn candidates(beams: &[Beam], log_probs: &[Vec<f32>], n: usize) -> Vec<Candidate> {
    let mut best: Vec<Candidate> = Vec::with_capacity(n + 1);
    for (beam, (Beam { sum, .. }, row)) in beams.iter().zip(log_probs).enumerate() {
        for (id, &log_prob) in row.iter().enumerate() {
            let sum = sum + log_prob;
            if sum == f32::NEG_INFINITY || (best.len() == n && sum <= best[n - 1].sum) {
                continue;
            }
            let rank = best.partition_point(|candidate| candidate.sum >= sum);
            best.insert(rank, Candidate { sum, beam, id: id as u32 });
            best.truncate(n);
        }
    }
    best
}
