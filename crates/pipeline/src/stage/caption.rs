//! `caption`: a text under every picture, written by a package that is used as it is.
use std::path::Path;

use flamingo::{GenerateConfig, Generated, Model, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Artifact,
    settings::Settings,
    work::{FAILURES, Work, load_failures, none_in_reach},
};
use crate::{
    Error, Result,
    event::{Control, Event},
    kept::Kept,
    reasons::Reason,
    state::{Failure, State},
};

const CAPTIONS: &str = "captions.json";

/// How to write under pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CaptionConfig(pub GenerateConfig);

/// A picture's text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WrittenCaption {
    /// Which picture of the table.
    pub(crate) picture: usize,
    pub(crate) generated: Generated,
}

/// What became of some pictures: a batch that is kept, so that a stopped run goes on after it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Batch {
    captions: Vec<WrittenCaption>,
    failures: Vec<Failure>,
}

impl CaptionConfig {
    /// The settings with the run's seed, where tokens are drawn and no other is said.
    fn seeded(&self, seed: u64) -> GenerateConfig {
        let mut config = self.0.clone();
        if config.samples() {
            config.seed = config.seed.or(Some(seed));
        }
        config
    }

    fn batch(&self, state: &State<'_>, model: &Model, pictures: &[usize]) -> Result<Batch> {
        let plan = state.pictures();
        let mut batch = Batch::default();
        let (mut read, mut requests) = (Vec::new(), Vec::new());
        for &picture in pictures {
            let facts = &plan.pictures[picture];
            match model.picture(&facts.path) {
                Ok(medium) => {
                    read.push(picture);
                    requests.push(Request {
                        prompt: plan.prompt.clone(),
                        media: vec![medium.into()],
                        stream: Some(picture as u64),
                    });
                }
                Err(error) => {
                    let error = Error::from(error);
                    let transient = error.is_of_the_system();
                    let reason = Reason::of_file(&error, &facts.path, &facts.name);
                    batch.failures.push(Failure { scan_idx: picture, reason, transient });
                }
            }
        }
        let written = model.generate(&requests, &self.seeded(state.run.seed))?;
        let pairs = read.into_iter().zip(written);
        let caption = |(picture, generated)| WrittenCaption { picture, generated };
        batch.captions = pairs.map(caption).collect();
        Ok(batch)
    }
}

impl Work for CaptionConfig {
    fn name(&self) -> &'static str {
        "caption"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Pictures, Artifact::Captions)
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        if self.0.n_texts() > 1 {
            let expected = "1: a picture has one caption";
            return settings.refuse("num_return_sequences", &self.0.n_texts(), expected);
        }
        match self.0.check() {
            Err(flamingo::Error::Setting { field, found, expected }) => {
                settings.refuse(field, &found, &expected)
            }
            other => Ok(other?),
        }
    }

    fn inputs(&self, state: &State<'_>) -> Value {
        let plan = state.pictures();
        let seed = self.0.samples().then_some(state.run.seed);
        let digests: Vec<&String> = plan.pictures.iter().map(|it| &it.sha256).collect();
        json!({
            "model": plan.model_id, "prompt": plan.prompt, "pictures": digests, "seed": seed,
        })
    }

    fn compute(&self, state: &State<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let (stage, plan) = (self.name(), state.pictures());
        let model = Model::open(&plan.package)?;
        let all: Vec<usize> = (0..plan.pictures.len()).collect();
        let mut whole = Batch::default();
        let kept = Kept::new(&state.keep_dir, "batch");
        control.tell(Event::Advanced { stage, done: 0, total: all.len() });
        for (number, pictures) in all.chunks(self.0.batch_size.max(1)).enumerate() {
            control.checkpoint()?;
            let batch = if let Some(batch) = kept.get::<Batch>(number) {
                batch
            } else {
                let batch = self.batch(state, &model, pictures)?;
                if !batch.failures.iter().any(|it| it.transient) {
                    kept.put(number, &batch)?;
                }
                batch
            };
            for Failure { scan_idx, reason, .. } in &batch.failures {
                let (place, unit) = ((*scan_idx, all.len()), &plan.pictures[*scan_idx].name);
                control.tell(Event::unit_failed(stage, place, unit, reason));
            }
            whole.captions.extend(batch.captions);
            whole.failures.extend(batch.failures);
            let done = whole.captions.len() + whole.failures.len();
            control.tell(Event::Advanced { stage, done, total: all.len() });
        }
        none_in_reach(&whole.failures, whole.captions.len())?;
        if let Some(first) = whole.failures.first()
            && whole.captions.is_empty()
        {
            return Err(Error::NoPicture { reason: first.reason.anonymous.clone() });
        }
        files::write_json(&dir.join(FAILURES), &whole.failures)?;
        Ok(files::write_json(&dir.join(CAPTIONS), &whole.captions)?)
    }

    fn load(&self, state: &mut State<'_>, dir: &Path) -> Result<()> {
        state.captions = files::read_json(&dir.join(CAPTIONS))?;
        load_failures(state, self.name(), dir)
    }
}
