//! `caption`: a text under every picture, written by a package that is used as it is.
mod config;

pub use config::CaptionConfig;

use std::{collections::BTreeMap, path::Path};

use encoder::EncoderRegistry;
use engine::{Event, Failure, Kept, Reason, none_in_reach};
use flamingo::{GenerateConfig, Generated, Model, Opening, Request, Stop};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Error, Result,
    event::Control,
    plan::PicturesPlan,
    reasons,
    runner::Runner,
    stage::{
        Artifact, Stage,
        settings::Settings,
        work::{FAILURES, Work, read_failures},
    },
};

const CAPTIONS: &str = "captions.json";

/// What became of the pictures.
pub(crate) struct Captions {
    /// One for each picture that could be read.
    pub(crate) written: Vec<WrittenCaption>,
    /// Why the others could not, by picture.
    pub(crate) failures: BTreeMap<usize, Reason>,
}

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

    /// Under all pictures, a batch at a time.
    fn all(
        &self,
        plan: &PicturesPlan,
        opening: &Opening,
        seed: u64,
        unfinished: &Path,
        control: &mut Control<'_>,
    ) -> Result<Batch> {
        let stage = self.name();
        let model = Model::open_with(&plan.package, opening, &EncoderRegistry::default())?;
        let all: Vec<usize> = (0..plan.pictures.len()).collect();
        let mut whole = Batch::default();
        let kept = Kept::new(unfinished, "batch");
        control.tell(Event::Advanced { stage, done: 0, total: all.len() });
        for (number, pictures) in all.chunks(self.0.batch_size.max(1)).enumerate() {
            control.checkpoint()?;
            let batch = if let Some(batch) = kept.get::<Batch>(number) {
                batch
            } else {
                let batch = self.batch(plan, seed, &model, pictures, &control.stop())?;
                if !batch.failures.iter().any(|it| it.transient) {
                    kept.put(number, &batch)?;
                }
                batch
            };
            for Failure { unit: picture, reason, .. } in &batch.failures {
                let (place, unit) = ((*picture, all.len()), &plan.pictures[*picture].name);
                control.unit_failed(stage, place, unit, reason);
            }
            whole.captions.extend(batch.captions);
            whole.failures.extend(batch.failures);
            let done = whole.captions.len() + whole.failures.len();
            control.tell(Event::Advanced { stage, done, total: all.len() });
        }
        none_in_reach(&whole.failures, whole.captions.len(), "pictures")?;
        match whole.failures.first() {
            Some(first) if whole.captions.is_empty() => {
                Err(Error::NoPicture { reason: first.reason.anonymous.clone() })
            }
            _ => Ok(whole),
        }
    }

    fn batch(
        &self,
        plan: &PicturesPlan,
        seed: u64,
        model: &Model,
        pictures: &[usize],
        stop: Stop<'_>,
    ) -> Result<Batch> {
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
                    let reason = reasons::of_file(&error, &facts.path, &facts.name);
                    batch.failures.push(Failure { unit: picture, reason, transient });
                }
            }
        }
        let written = model.generate_until(&requests, &self.seeded(seed), stop)?;
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
            return Ok(settings.refuse("num_return_sequences", &self.0.n_texts(), expected)?);
        }
        match self.0.check_free() {
            Err(flamingo::Error::Setting { field, found, expected }) => {
                Ok(settings.refuse(field, &found, &expected)?)
            }
            other => Ok(other?),
        }
    }
}

/// Writes under every picture, where a stage asks for it.
pub(super) fn caption(runner: &mut Runner<'_, '_, '_>) -> Result<Option<Captions>> {
    let found = runner.find(|stage| match stage {
        Stage::Caption(config) => Some(config),
        _ => None,
    });
    let Some((stage, config)) = found else { return Ok(None) };
    let (plan, seed) = (runner.plan.pictures(), runner.run.seed);
    let opening = runner.plan.loaded.opening()?;
    let captions = runner.stage(
        stage,
        &mut (),
        |()| {
            let seed = config.0.samples().then_some(seed);
            let digests: Vec<&String> = plan.pictures.iter().map(|it| &it.sha256).collect();
            let none_left_out: [usize; 0] = [];
            json!([
                {
                    "model": plan.model_id,
                    "prompt": plan.prompt,
                    "pictures": digests,
                    "seed": seed,
                },
                none_left_out,
            ])
        },
        |(), folders, control| {
            let whole = config.all(plan, &opening, seed, folders.unfinished, control)?;
            files::write_json(&folders.result.join(FAILURES), &whole.failures)?;
            Ok(files::write_json(&folders.result.join(CAPTIONS), &whole.captions)?)
        },
        |(), dir| {
            let failures = read_failures(dir)?.into_iter();
            Ok(Captions {
                written: files::read_json(&dir.join(CAPTIONS))?,
                failures: failures.map(|it| (it.unit, it.reason)).collect(),
            })
        },
    )?;
    Ok(Some(captions))
}
