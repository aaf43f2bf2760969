//! `pretrain`: a small language model from text alone, as a Hugging Face folder.
use std::{ops::ControlFlow, path::Path};

use serde_json::{Value, json};
use train::PretrainConfig;

use super::{
    Artifact,
    settings::{NOT_NEGATIVE, POSITIVE, SHARE, Settings},
    work::Work,
};
use crate::{
    Result,
    event::{Control, Event},
    files,
    plan::SourcePlan,
    state::State,
};

const LM: &str = "lm";

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
        settings.at_least(
            1,
            &[
                ("vocab_size", self.vocab_size),
                ("dim", self.dim),
                ("n_layers", self.n_layers),
                ("n_heads", self.n_heads),
                ("hidden_dim", self.hidden_dim),
                ("n_positions", self.n_positions),
                ("steps", self.steps),
                ("batch_size", self.batch_size),
                ("held_out", self.held_out),
                ("validate_every", self.validate_every),
            ],
        )?;
        let positive = [("learning_rate", self.learning_rate), ("clip_norm", self.clip_norm)];
        settings.numbers(POSITIVE, &positive)?;
        settings.numbers(NOT_NEGATIVE, &[("weight_decay", self.weight_decay)])?;
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
        files::write_json(&dir.join("summary.json"), &summary)
    }

    fn load(&self, state: &mut State<'_>, dir: &Path) -> Result<()> {
        let summary: Value = files::read_json(&dir.join("summary.json"))?;
        state.lm_dir = Some(dir.join(LM));
        state.lm_summary = Some(summary);
        Ok(())
    }
}
