//! The results of a run, in order: each is made from those before it.
mod adjusted;
mod ask;
mod attribute;
mod caption;
mod compose;
mod evaluate;
mod few_shot;
mod finetune;
mod generate;
mod pages;
mod preprocess;
mod pretrain;
mod render;
mod results;

pub use ask::{AskConfig, Question};
pub(crate) use ask::{AskMetrics, Asked as AskedCohort, GivenAnswer, QuestionFound};
pub use attribute::AttributeConfig;
pub(crate) use attribute::{Attributed, Found, Place, Token};
pub use caption::CaptionConfig;
pub(crate) use caption::Captions;
pub use compose::ComposeConfig;
pub(crate) use compose::{ComposedFiles, has_training_people};
pub use evaluate::EvaluateConfig;
pub(crate) use evaluate::Evaluation;
pub(crate) use few_shot::{
    Asked, FewShot, FewShotMetrics, Lengths, STAGE as FEW_SHOT, ShotMetrics, at_random, from_table,
    retrieved,
};
pub use few_shot::{
    ChoosingConfig, Demonstrations, FeatureTable, Features, FewShotConfig, RandomDemonstrations,
};
pub(crate) use finetune::{Trained, asked_slots, metrics};
pub(crate) use generate::WrittenReport;
pub(crate) use pages::Pages;
pub(crate) use pretrain::TrainedLm;
use render::Measured;
pub use render::RenderConfig;
pub(crate) use results::Results;

use crate::{Result, runner::Runner};

/// What is made from `before`, where that is there.
fn from<A, T>(before: Option<A>, make: impl FnOnce(A) -> Result<Option<T>>) -> Result<Option<T>> {
    before.map_or(Ok(None), make)
}

/// Every result that the stages ask for. The plan has checked that each finds what it is made from.
pub(crate) fn run<'a>(mut runner: Runner<'a, '_, '_>) -> Result<Results<'a>> {
    let runner = &mut runner;
    let mut media = preprocess::preprocess(runner)?;
    let asked = ask::ask(runner, &mut media)?;
    let media = media;
    let trained = finetune::finetune(runner, &media)?;
    let reports = from(trained.as_ref(), |trained| generate::generate(runner, &media, trained))?;
    let written = trained.as_ref().zip(reports.as_deref());
    let evaluation =
        from(written, |(trained, reports)| evaluate::evaluate(runner, &media, trained, reports))?;
    let attributed =
        from(written, |(trained, reports)| attribute::attribute(runner, &media, trained, reports))?;
    let measured = written.zip(evaluation.as_ref());
    let measured = measured.map(|((trained, reports), evaluation)| Measured {
        trained,
        reports,
        evaluation,
        attributed: attributed.as_ref(),
    });
    let pages = render::render(runner, &media, measured, asked.as_ref())?;
    let captions = caption::caption(runner)?;
    let few_shot = few_shot::few_shot(runner)?;
    let composed = compose::compose(runner, &media)?;
    let language_model = pretrain::pretrain(runner)?;
    Ok(Results {
        media,
        trained,
        reports,
        evaluation,
        attributed,
        pages,
        captions,
        few_shot,
        asked,
        composed,
        language_model,
        stages: std::mem::take(&mut runner.records),
        checked: std::mem::take(&mut runner.checked),
    })
}
