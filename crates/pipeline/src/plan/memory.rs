//! Whether the machine could hold what is worked on at once. Reckoned is the least that it takes, so that
//! nothing is refused that could run: a batch beyond that would end the program, after everything before.
use std::path::Path;

use engine::memory_of_machine;
use report::counted;
use train::PretrainConfig;

use crate::{Error, Result};

/// Bytes of a number while a model computes.
const NUMBER: u64 = 4;
/// Tensors of the width of a token that a block keeps for its gradient, at least: what it reads, normed,
/// queries, keys, values, what attention gives, and the same twice around the feed-forward.
const KEPT_A_BLOCK: u64 = 8;
/// A trained number: itself, its gradient, and two moments of the optimizer.
const TRAINED: u64 = 4;

/// The language model's sizes that decide what a text takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Width of a token.
    pub(super) dim: usize,
    pub(super) n_blocks: usize,
    /// Ids of the vocabulary: one number each wherever a token is predicted.
    pub(super) n_ids: usize,
}

/// Texts that are worked on side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts {
    /// Of the longest.
    pub(super) n_tokens: usize,
    /// Tokens that are predicted of the shortest at once.
    pub(super) n_predicted: usize,
    /// What is kept of every block for the gradient.
    pub(super) kept: Kept,
}

/// What of a block outlasts it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    /// Nothing: no gradient is asked for.
    Nothing,
    /// What goes into it; one block at a time keeps all of its own on the way back.
    Inputs,
    /// All that its gradient asks for.
    All,
}

impl Sizes {
    /// The least bytes that one of the texts takes.
    fn bytes_of(self, texts: Texts) -> u64 {
        let [dim, n_blocks, n_ids] = [self.dim, self.n_blocks, self.n_ids].map(|n| n as u64);
        let [n_tokens, n_predicted] = [texts.n_tokens, texts.n_predicted].map(|n| n as u64);
        let kept = match texts.kept {
            Kept::Nothing => 1,
            // the block at work reads one of them
            Kept::Inputs => KEPT_A_BLOCK.saturating_add(n_blocks.saturating_sub(1)),
            Kept::All => KEPT_A_BLOCK.saturating_mul(n_blocks),
        };
        let tokens = n_tokens.saturating_mul(dim).saturating_mul(kept);
        // scores and their logarithms; of a part of the tokens at a time where activations are not kept
        let scores = match texts.kept {
            Kept::Inputs => 0,
            _ => n_predicted.saturating_mul(n_ids).saturating_mul(2),
        };
        NUMBER.saturating_mul(tokens.saturating_add(scores))
    }
}

/// How many texts a stage works on side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch {
    pub(super) stage: &'static str,
    /// What `batch_size` is.
    pub(super) said: usize,
    /// Texts that there are at most.
    pub(super) of: usize,
    /// Sequences that a text becomes.
    pub(super) each: usize,
}

impl Batch {
    /// Refuses it where the machine could not hold the texts.
    pub(super) fn fits(self, sizes: Sizes, texts: Texts) -> Result<()> {
        let one = sizes.bytes_of(texts).saturating_mul(self.each as u64);
        let at_once = self.said.min(self.of);
        match beyond(at_once, one, memory_of_machine(), texts.n_tokens) {
            None => Ok(()),
            Some(expected) => {
                let (stage, field, found) = (self.stage, "batch_size", self.said.to_string());
                Err(Error::Setting { stage, field, found, expected })
            }
        }
    }
}

/// What is expected instead of `found` texts of so many bytes each, where they are too many.
fn beyond(found: usize, one: u64, machine: Option<u64>, n_tokens: usize) -> Option<String> {
    let machine = machine?;
    let all = one.saturating_mul(found as u64);
    (all > machine).then(|| {
        let most = machine / one;
        let most = if most == 0 { "shorter texts".to_owned() } else { format!("at most {most}") };
        let (texts, tokens) = (counted(found, "text"), counted(n_tokens, "token"));
        let (all, machine) = (gigabytes(all), gigabytes(machine));
        format!(
            "{most}: {texts} of {tokens} take at least {all} of memory, the machine has {machine}"
        )
    })
}

/// Refuses a language model from nothing that the machine could not hold, or a batch of its texts; the
/// longest has at most `longest` tokens. Where that may be so, a tokenizer is trained in `scratch`.
pub(super) fn holds_training(
    config: &PretrainConfig,
    texts: &[String],
    longest: usize,
    scratch: &Path,
) -> Result<()> {
    let wide = |n: usize| n.saturating_mul(config.dim);
    let block = wide(4 * config.dim + 3 * config.hidden_dim);
    holds_weights(block.saturating_mul(config.n_layers), 0).map_err(|problem| {
        let problem = format!("the language model is too large: {problem}");
        Error::StageInput { stage: "pretrain", problem }
    })?;
    let of = texts.len() - config.held_out;
    let batch = Batch { stage: "pretrain", said: config.batch_size, of, each: 1 };
    let fits = |n_ids: usize, n_tokens: usize, n_predicted: usize| {
        let sizes = Sizes { dim: config.dim, n_blocks: config.n_layers, n_ids };
        batch.fits(sizes, Texts { n_tokens, n_predicted, kept: Kept::All })
    };
    if fits(config.vocab_size, longest, longest).is_ok() {
        return Ok(());
    }
    // these were bounds; a corpus may have fewer tokens, and fewer different ones
    let size = train::corpus_size(config, texts, scratch)?;
    fits(size.n_ids, size.longest, size.shortest)
}

/// Refuses weights that the machine could not hold; `trained` of them move.
///
/// # Errors
/// A sentence without its subject: `would take …`.
pub(super) fn holds_weights(trained: usize, frozen: usize) -> Result<(), String> {
    too_heavy(trained, frozen, memory_of_machine()).map_or(Ok(()), Err)
}

fn too_heavy(trained: usize, frozen: usize, machine: Option<u64>) -> Option<String> {
    let machine = machine?;
    let numbers = (trained as u64).saturating_mul(TRAINED).saturating_add(frozen as u64);
    let all = numbers.saturating_mul(NUMBER);
    let parameters = trained.saturating_add(frozen);
    (all > machine).then(|| {
        let (all, machine) = (gigabytes(all), gigabytes(machine));
        format!(
            "its {parameters} parameters take at least {all} of memory, the machine has {machine}"
        )
    })
}

/// `12 GB`, of 10⁹ bytes each.
fn gigabytes(n_bytes: u64) -> String {
    format!("{} GB", scan::seconds((n_bytes as f64 / 1e8).round() / 10.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { dim: 1000, n_blocks: 10, n_ids: 50_000 };

    #[test]
    fn the_least_of_a_text_is_reckoned_by_hand() {
        let scored = Texts { n_tokens: 200, n_predicted: 50, kept: Kept::Nothing };
        assert_eq!(SIZES.bytes_of(scored), 4 * (200 * 1000 + 50 * 50_000 * 2));
        let learned = Texts { kept: Kept::All, ..scored };
        assert_eq!(SIZES.bytes_of(learned), 4 * (200 * 1000 * 80 + 50 * 50_000 * 2));
        // ten inputs, and seven tensors more of the block at work
        let checkpointed = Texts { kept: Kept::Inputs, ..scored };
        assert_eq!(SIZES.bytes_of(checkpointed), 4 * 200 * 1000 * 17);
        let all = Sizes { dim: usize::MAX, n_blocks: usize::MAX, n_ids: usize::MAX };
        assert_eq!(all.bytes_of(learned), u64::MAX);
    }

    #[test]
    fn what_fits_is_said_instead() {
        let machine = Some(16_000_000_000);
        assert_eq!(beyond(160, 100_000_000, machine, 9), None);
        assert_eq!(
            beyond(4096, 100_000_000, machine, 9).unwrap(),
            "at most 160: 4096 texts of 9 tokens take at least 409.6 GB of memory, the machine has 16 GB"
        );
        let one = beyond(1, 17_000_000_000, machine, 9).unwrap();
        assert!(one.starts_with("shorter texts: 1 text of 9 tokens take at least 17 GB"), "{one}");
        assert_eq!(beyond(4096, u64::MAX, None, 9), None, "nobody knows");
    }

    #[test]
    fn trained_weights_take_four_times_as_much() {
        let machine = Some(16_000_000_000);
        assert_eq!(too_heavy(0, 4_000_000_000, machine), None);
        assert_eq!(too_heavy(1_000_000_000, 0, machine), None);
        let said = too_heavy(1_000_000_001, 0, machine).unwrap();
        assert!(said.starts_with("its 1000000001 parameters take at least 16 GB"), "{said}");
    }
}
