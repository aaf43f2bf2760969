//! Training a small language model from nothing, on text.

use std::{collections::HashMap, fs, path::Path};

use candle_core::{DType, Result as CandleResult, Tensor};
use flamingo::Compat;
use lm::{CausalLm, END_OF_TEXT, Llama, LlamaConfig, Step};
use nn::Device;
use nn::seeded::rng;
use nn::weights::Variables;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Error, LOSS, LrSchedule, Observer, Result,
    batch::weighted_loss,
    judge::{Judgement, Validation},
    optimizer::Optimizer,
    progression::Progression,
    reduce::Alone,
    schedule::Schedule,
    trainer::{Rhythm, Task, Trainer},
};

/// Size and training of a small LLaMA-architecture language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// Ids of the byte-level BPE tokenizer, trained on the same text.
    pub vocab_size: usize,
    /// Width of a token.
    pub dim: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Hidden width of the feed-forward.
    pub hidden_dim: usize,
    /// Longest sequence.
    pub n_positions: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Texts per step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Warm-up: steps over which the learning rate rises.
    pub warmup_steps: usize,
    /// The learning rate falls along a cosine to this share of its peak.
    pub final_lr: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest norm of the whole gradient.
    pub clip_norm: f64,
    /// Texts, the last of the corpus, that are never learned and judge the model.
    pub held_out: usize,
    /// Steps between two looks at them.
    pub validate_every: usize,
}

/// A finished pre-training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PretrainSummary {
    /// Parameters of the model.
    pub n_parameters: usize,
    /// Ids of the tokenizer.
    pub vocab_size: usize,
    /// Mean loss of the last steps, in nats a token.
    pub train_nll: f64,
    /// Mean negative log-likelihood of the held-out texts, in nats a token.
    pub heldout_nll: f64,
}

/// Tokens of the longest text of a corpus with its end, or a bound of them that is at most
/// `n_positions`; a tokenizer is trained in `scratch` where a text could be longer.
///
/// # Errors
/// As [`pretrain`] where a tokenizer cannot be trained or written.
pub fn longest_text(config: &PretrainConfig, corpus: &[String], scratch: &Path) -> Result<usize> {
    // a token has a byte at least
    let bound = 1 + corpus.iter().map(String::len).max().unwrap_or(0);
    if bound <= config.n_positions {
        return Ok(bound);
    }
    Ok(corpus_size(config, corpus, scratch)?.longest)
}

/// What a tokenizer makes of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorpusSize {
    /// Tokens of the longest text with its end.
    pub longest: usize,
    /// Tokens of the shortest text with its end.
    pub shortest: usize,
    /// Ids of the tokenizer.
    pub n_ids: usize,
}

/// The sizes of a corpus by the tokenizer that would be trained on it, which is written to `scratch`.
///
/// # Errors
/// As [`pretrain`] where a tokenizer cannot be trained or written.
pub fn corpus_size(
    config: &PretrainConfig,
    corpus: &[String],
    scratch: &Path,
) -> Result<CorpusSize> {
    let learned = &corpus[..corpus.len().saturating_sub(config.held_out)];
    let tokenizer = lm::train_bpe(learned, config.vocab_size, &scratch.join("tokenizer.json"))?;
    let lengths = corpus.iter().map(|text| Ok(1 + tokenizer.encode(text)?.ids.len()));
    let lengths = lengths.collect::<Result<Vec<usize>>>()?;
    let longest = lengths.iter().max().copied().unwrap_or(0);
    let shortest = lengths.iter().min().copied().unwrap_or(0);
    Ok(CorpusSize { longest, shortest, n_ids: tokenizer.vocab_size() })
}

/// Trains a tokenizer and a model on `corpus` and writes them into `folder` as Hugging Face does,
/// or goes on from the state saved in `state` before.
///
/// # Errors
/// [`Error::Interrupted`] when the observer breaks off, with the state saved.
pub fn pretrain(
    config: &PretrainConfig,
    corpus: &[String],
    seed: u64,
    folder: &Path,
    state: &Path,
    device: &Device,
    observer: Observer,
) -> Result<PretrainSummary> {
    if corpus.len() <= config.held_out || config.held_out == 0 || config.batch_size == 0 {
        let (texts, held_out) = (corpus.len(), config.held_out);
        return Err(Error::Data(format!(
            "the corpus has {texts} texts and {held_out} are held out: both parts need some"
        )));
    }
    kernels::keep_freed_memory();
    fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.to_owned(), source })?;
    let (learned, held_out) = corpus.split_at(corpus.len() - config.held_out);
    let tokenizer = lm::train_bpe(learned, config.vocab_size, &folder.join("tokenizer.json"))?;
    let end = tokenizer.id(END_OF_TEXT).expect("every tokenizer of ours has it");
    let encode = |text: &String| -> Result<Vec<u32>> {
        let mut ids = tokenizer.encode(text)?.ids;
        ids.push(end);
        if ids.len() > config.n_positions {
            let (found, limit) = (ids.len(), config.n_positions);
            return Err(Error::Data(format!(
                "a text of the corpus has {found} tokens, n_positions is {limit}"
            )));
        }
        Ok(ids)
    };
    let learned = learned.iter().map(encode).collect::<Result<Vec<_>>>()?;
    let held_out = held_out.iter().map(encode).collect::<Result<Vec<_>>>()?;

    let llama = LlamaConfig {
        hidden_size: config.dim,
        intermediate_size: config.hidden_dim,
        vocab_size: tokenizer.vocab_size(),
        num_hidden_layers: config.n_layers,
        num_attention_heads: config.n_heads,
        num_key_value_heads: None,
        head_dim: None,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.,
        rope_scaling: None,
        max_position_embeddings: config.n_positions,
        hidden_act: lm::Activation::Silu,
        attention_bias: false,
        mlp_bias: false,
        tie_word_embeddings: true,
    };
    let variables = Variables::on(device);
    let model = Llama::new(&llama, variables.builder(seed, DType::F32))?;
    let optimizer = Optimizer::new(device, variables.all(), config.clip_norm, 0., |name| {
        (1., if name.contains("norm") { 0. } else { config.weight_decay })
    })?;
    let trainer = Trainer {
        optimizer,
        schedule: Schedule {
            peak: config.learning_rate,
            n_steps: config.steps,
            warmup_steps: config.warmup_steps,
            final_share: config.final_lr,
            shape: LrSchedule::Cosine,
            compat: Compat::None,
        },
        rhythm: Rhythm {
            n_steps: config.steps,
            validate_every: config.validate_every,
            checkpoint_every: config.validate_every,
            best_by: LOSS,
            patience: None,
            max_time: None,
        },
        state,
        reduce: &Alone,
        observer,
    };
    let task = Texts { config, seed, model, device: device.clone(), learned, held_out };
    let progression = trainer.run(&task, Progression::default())?;
    lm::write(folder, &llama, &variables, DType::F32)?;
    Ok(PretrainSummary {
        n_parameters: variables.n_parameters(),
        vocab_size: tokenizer.vocab_size(),
        train_nll: progression.mean_loss(progression.step().saturating_sub(50)),
        heldout_nll: progression.curve.last().map_or(f64::NAN, |point| point.nll),
    })
}

/// Texts learned by a model, as ids.
struct Texts<'a> {
    config: &'a PretrainConfig,
    seed: u64,
    model: Llama,
    device: Device,
    learned: Vec<Vec<u32>>,
    held_out: Vec<Vec<u32>>,
}

impl Task for Texts<'_> {
    /// Which of the learned texts.
    type Batch = Vec<usize>;

    fn batches(&self, step: usize) -> impl Iterator<Item = Vec<usize>> {
        let mut order: Vec<usize> = (0..self.learned.len()).collect();
        let mut rng = rng(self.seed, &format!("text {step}"));
        let (batch, _) = order.partial_shuffle(&mut rng, self.config.batch_size);
        std::iter::once(batch.to_vec())
    }

    fn loss(&self, batch: Vec<usize>) -> Result<Option<Tensor>> {
        let texts: Vec<_> = batch.iter().map(|&idx| &self.learned[idx]).collect();
        Ok(Some(loss(&self.model, &self.device, &texts)?))
    }

    fn n_tokens(&self, batch: &Vec<usize>) -> usize {
        batch.iter().map(|&idx| self.learned[idx].len() - 1).sum()
    }

    fn validate(&self, _: usize) -> Result<Validation> {
        let nll = mean_loss(&self.model, &self.device, &self.held_out, self.config.batch_size)?;
        Ok(Validation::Found(Judgement { nll, ..Judgement::default() }))
    }

    /// The last weights are kept, whichever were the best.
    fn kept(&self) -> Result<HashMap<String, Tensor>> {
        Ok(HashMap::new())
    }
}

/// Mean cross-entropy of every token after the first.
fn loss(model: &Llama, device: &Device, texts: &[&Vec<u32>]) -> CandleResult<Tensor> {
    let n_tokens = texts.iter().map(|ids| ids.len() - 1).max().unwrap_or(0);
    let (mut ids, mut real) = (Vec::new(), Vec::new());
    let (mut places, mut targets) = (Vec::new(), Vec::new());
    for (row, text) in texts.iter().enumerate() {
        let n = text.len() - 1;
        ids.extend_from_slice(&text[..n]);
        ids.resize((row + 1) * n_tokens, 0);
        real.push((0..n_tokens).map(|at| at < n).collect());
        places.extend((0..n).map(|at| (row * n_tokens + at) as u32));
        targets.extend_from_slice(&text[1..]);
    }
    let ids = Tensor::from_vec(ids, (texts.len(), n_tokens), device.place())?;
    let step = Step::new(&real, n_tokens)?;
    let mut xs = model.embed(&ids)?;
    for idx in 0..model.shape().n_blocks {
        xs = model.block(idx, &xs, &step, None)?;
    }
    let (weights, total) = (vec![1.; targets.len()], targets.len() as f64);
    let ops = device.ops();
    weighted_loss(ops, &model.norm(&xs)?, places, targets, weights, total, |xs| model.head(xs))
}

fn mean_loss(
    model: &Llama,
    device: &Device,
    texts: &[Vec<u32>],
    batch_size: usize,
) -> CandleResult<f64> {
    let (mut sum, mut n) = (0., 0usize);
    for batch in texts.chunks(batch_size) {
        let tokens: usize = batch.iter().map(|ids| ids.len() - 1).sum();
        let batch: Vec<_> = batch.iter().collect();
        sum += f64::from(loss(model, device, &batch)?.to_scalar::<f32>()?) * tokens as f64;
        n += tokens;
    }
    Ok(sum / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Progress;
    use std::ops::ControlFlow;

    fn config() -> PretrainConfig {
        PretrainConfig {
            vocab_size: 300,
            dim: 16,
            n_layers: 1,
            n_heads: 2,
            hidden_dim: 24,
            n_positions: 64,
            steps: 150,
            batch_size: 8,
            learning_rate: 1e-2,
            warmup_steps: 5,
            final_lr: 0.1,
            weight_decay: 0.01,
            clip_norm: 1.,
            held_out: 4,
            validate_every: 30,
        }
    }

    fn corpus() -> Vec<String> {
        let words = ["faces", "houses", "cats", "shoes"];
        (0..40).map(|i| format!("The pattern fits viewing of {}.", words[i % 4])).collect()
    }

    #[test]
    fn a_small_model_learns_its_text_and_reads_back() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let mut first = None;
        let mut watch = |news: &Progress| {
            if let Progress::Step { loss, .. } = news {
                first.get_or_insert(*loss);
            }
            ControlFlow::Continue(())
        };
        let summary = pretrain(
            &config(),
            &corpus(),
            1,
            folder.path(),
            &folder.path().join("state"),
            &Device::cpu(),
            &mut watch,
        )?;
        assert!(summary.heldout_nll < 0.5 && first.unwrap() > 4., "{summary:?}");
        let opened = lm::open(folder.path(), nn::Precision::F32)?;
        assert_eq!(opened.n_parameters, summary.n_parameters);
        Ok(())
    }

    #[test]
    fn a_stopped_pretraining_goes_on_to_the_same_bytes() -> Result<()> {
        let root = tempfile::tempdir().unwrap();
        let config = PretrainConfig { steps: 12, validate_every: 5, ..config() };
        let go = |name: &str, stop_at: Option<usize>| {
            let folder = root.path().join(name);
            let mut watch = |news: &Progress| match news {
                Progress::Step { step, .. } if Some(*step) == stop_at => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            let summary = pretrain(
                &config,
                &corpus(),
                1,
                &folder,
                &folder.join("state"),
                &Device::cpu(),
                &mut watch,
            )?;
            Ok((summary, fs::read(folder.join("model.safetensors")).unwrap()))
        };
        let straight = go("straight", None)?;
        assert!(matches!(go("resumed", Some(7)), Err(Error::Interrupted { step: 7 })));
        assert_eq!(go("resumed", None)?, straight);
        Ok(())
    }

    #[test]
    fn the_longest_text_is_known_before_a_training() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let corpus = corpus();
        let longest = corpus.iter().map(String::len).max().unwrap();
        assert_eq!(longest_text(&config(), &corpus, folder.path())?, longest + 1);
        let short = |n_positions| PretrainConfig { n_positions, ..config() };
        let found = longest_text(&short(4), &corpus, folder.path())?;
        assert!(found > 4 && found <= longest, "{found}");
        let mut watch = |_: &Progress| ControlFlow::Break(());
        for (n_positions, fits) in [(found - 1, false), (found, true)] {
            let state = folder.path().join(n_positions.to_string());
            let config = short(n_positions);
            let ran =
                pretrain(&config, &corpus, 1, folder.path(), &state, &Device::cpu(), &mut watch);
            assert_eq!(matches!(ran, Err(Error::Interrupted { .. })), fits, "{n_positions}");
        }
        Ok(())
    }

    #[test]
    fn a_corpus_that_cannot_be_split_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = |_: &Progress| ControlFlow::Continue(());
        let few = &corpus()[..3];
        assert!(
            pretrain(&config(), few, 1, folder.path(), folder.path(), &Device::cpu(), &mut watch)
                .is_err()
        );
    }
}
