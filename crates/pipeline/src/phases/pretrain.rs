//! `pretrain`: a small language model from text alone, as a Hugging Face folder.
use std::path::PathBuf;

use serde_json::{Value, json};
use train::PretrainConfig;

use crate::{
    Result,
    plan::SourcePlan,
    runner::Runner,
    stage::{
        Artifact, Stage,
        settings::{
            FACTOR, MOST_FRAMES, MOST_IN_BATCH, MOST_STEPS, NOT_NEGATIVE, POSITIVE, RATE, SHARE,
            Settings,
        },
        work::Work,
    },
    training_log::{self, TrainingLog},
};

const LM: &str = "lm";
const SUMMARY: &str = "summary.json";

/// The language model that was trained.
pub(crate) struct TrainedLm {
    /// Its folder, as of Hugging Face.
    pub(crate) lm_dir: PathBuf,
    /// What the training says of itself.
    pub(crate) summary: Value,
    /// What it told as it went, by the name in a run folder.
    pub(crate) log: Vec<(String, PathBuf)>,
}

// A model beyond these is not trained from nothing on one machine.
const MOST_IDS: usize = 1 << 20;
const MOST_WIDE: usize = 16_384;
const MOST_LAYERS: usize = 200;

impl Work for PretrainConfig {
    fn name(&self) -> &'static str {
        "pretrain"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Texts, Artifact::LanguageModel)
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        settings.at_most(&[
            ("vocab_size", self.vocab_size, MOST_IDS),
            ("dim", self.dim, MOST_WIDE),
            ("n_layers", self.n_layers, MOST_LAYERS),
            ("n_heads", self.n_heads, MOST_WIDE),
            ("hidden_dim", self.hidden_dim, MOST_WIDE),
            ("n_positions", self.n_positions, MOST_FRAMES),
            ("steps", self.steps, MOST_STEPS),
            ("batch_size", self.batch_size, MOST_IN_BATCH),
            ("held_out", self.held_out, usize::MAX),
            ("validate_every", self.validate_every, usize::MAX),
        ])?;
        if !self.dim.is_multiple_of(2 * self.n_heads) {
            let expected = format!("a divisor of half of dim, which is {}", self.dim);
            return Ok(settings.refuse("n_heads", &self.n_heads, &expected)?);
        }
        let positive = [("learning_rate", self.learning_rate), ("clip_norm", self.clip_norm)];
        settings.numbers(POSITIVE, &positive)?;
        settings.numbers(RATE, &positive[..1])?;
        settings.numbers(NOT_NEGATIVE, &[("weight_decay", self.weight_decay)])?;
        settings.numbers(FACTOR, &[("weight_decay", self.weight_decay)])?;
        Ok(settings.numbers(SHARE, &[("final_lr", self.final_lr)])?)
    }
}

/// Trains the language model, where a stage asks for it.
pub(super) fn pretrain(runner: &mut Runner<'_, '_, '_>) -> Result<Option<TrainedLm>> {
    let found = runner.find(|stage| match stage {
        Stage::Pretrain(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = found else { return Ok(None) };
    let SourcePlan::Corpus { texts, sha256, .. } = &runner.plan.source else {
        unreachable!("the chain of stages was checked")
    };
    let seed = runner.run.seed;
    let run_dir = runner.plan.dir_of(runner.run);
    let none_left_out: [usize; 0] = [];
    let device = runner.plan.loaded.device()?;
    let trained = runner.stage(
        stage,
        &mut (),
        |()| json!([{ "seed": seed, "corpus": sha256 }, none_left_out]),
        |(), folders, control| {
            let lm_dir = folders.result.join(LM);
            let summary = TrainingLog::new(&run_dir, folders.unfinished).follow(
                control,
                folders.result,
                |tell| {
                    train::pretrain(config, texts, seed, &lm_dir, folders.unfinished, device, tell)
                },
            )?;
            Ok(files::write_json(&folders.result.join(SUMMARY), &summary)?)
        },
        |(), dir| {
            let (summary, log) =
                (files::read_json(&dir.join(SUMMARY))?, training_log::files_of(dir)?);
            Ok(TrainedLm { summary, lm_dir: dir.join(LM), log })
        },
    )?;
    Ok(Some(trained))
}
