//! `pretrain`: a small language model from text alone, as a Hugging Face folder.
use std::{ops::ControlFlow, path::Path};

use serde_json::{Value, json};
use train::PretrainConfig;

use super::{
    Artifact,
    settings::{
        FACTOR, MOST_FRAMES, MOST_IN_BATCH, MOST_STEPS, NOT_NEGATIVE, POSITIVE, RATE, SHARE,
        Settings,
    },
    work::Work,
};
use crate::{
    Result,
    event::{Control, Event},
    plan::SourcePlan,
    state::State,
};

const LM: &str = "lm";

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
            return settings.refuse("n_heads", &self.n_heads, &expected);
        }
        let positive = [("learning_rate", self.learning_rate), ("clip_norm", self.clip_norm)];
        settings.numbers(POSITIVE, &positive)?;
        settings.numbers(RATE, &positive[..1])?;
        settings.numbers(NOT_NEGATIVE, &[("weight_decay", self.weight_decay)])?;
        settings.numbers(FACTOR, &[("weight_decay", self.weight_decay)])?;
        settings.numbers(SHARE, &[("final_lr", self.final_lr)])
    }

    fn inputs(&self, state: &State<'_>) -> Value {
        let SourcePlan::Corpus { sha256, .. } = &state.plan.source else {
            unreachable!("the chain of stages was checked")
        };
        json!({ "seed": state.run.seed, "corpus": sha256 })
    }

    fn compute(&self, state: &State<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let SourcePlan::Corpus { texts, .. } = &state.plan.source else {
            unreachable!("the chain of stages was checked")
        };
        let summary = train::pretrain(
            self,
            texts,
            state.run.seed,
            &dir.join(LM),
            &state.keep_dir,
            &mut |progress| {
                control.tell(Event::Training(progress.clone()));
                if control.stopping() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        )?;
        Ok(files::write_json(&dir.join("summary.json"), &summary)?)
    }

    fn load(&self, state: &mut State<'_>, dir: &Path) -> Result<()> {
        let summary: Value = files::read_json(&dir.join("summary.json"))?;
        state.lm_dir = Some(dir.join(LM));
        state.lm_summary = Some(summary);
        Ok(())
    }
}
