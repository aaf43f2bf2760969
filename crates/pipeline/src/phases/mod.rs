//! The results of a run, in order: each is made from those before it.
mod adjusted;
mod caption;
mod compose;
mod evaluate;
mod finetune;
mod generate;
mod people;
mod preprocess;
mod pretrain;
mod render;

pub use caption::CaptionConfig;
pub(crate) use caption::Captions;
pub use compose::ComposeConfig;
pub(crate) use compose::{ComposedFiles, has_training_people};
pub use evaluate::EvaluateConfig;
pub(crate) use evaluate::Evaluation;
pub(crate) use finetune::Trained;
pub(crate) use generate::WrittenReport;
pub(crate) use people::can_be_drawn;
pub(crate) use pretrain::TrainedLm;
pub(crate) use render::Pages;
pub use render::RenderConfig;

use std::{collections::BTreeMap, path::PathBuf};

use crate::{Result, media::Media, record::StageRecord, runner::Runner};

/// What one run gives; nothing where no stage asks for it.
pub(crate) struct Results<'a> {
    pub(crate) media: Media<'a>,
    pub(crate) trained: Option<Trained>,
    pub(crate) reports: Option<Vec<WrittenReport>>,
    pub(crate) evaluation: Option<Evaluation>,
    pub(crate) pages: Option<Pages>,
    /// Of a run over pictures.
    pub(crate) captions: Option<Captions>,
    /// Reports that were composed, and what belongs to them.
    pub(crate) composed: Option<ComposedFiles>,
    /// Of a run over text alone.
    pub(crate) language_model: Option<TrainedLm>,
    pub(crate) stages: Vec<StageRecord>,
    /// Digests of stored files that were checked in this run, by path.
    pub(crate) checked: BTreeMap<PathBuf, String>,
}

impl Results<'_> {
    pub(crate) fn reports(&self) -> &[WrittenReport] {
        self.reports.as_deref().unwrap_or_default()
    }

    /// Scans or pictures that are left out because they failed, by the kind of failure.
    pub(crate) fn failed_by_kind(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let pictures = self.captions.iter().flat_map(|it| it.failures.values());
        let scans = self.media.failures.iter();
        let scans = scans.filter(|(idx, _)| !self.media.unwanted.contains(idx));
        for reason in scans.map(|(_, (_, reason))| reason).chain(pictures) {
            *counts.entry(reason.kind.to_string()).or_default() += 1;
        }
        counts
    }
}

/// What is made from `before`, where that is there.
fn from<A, T>(before: Option<A>, make: impl FnOnce(A) -> Result<Option<T>>) -> Result<Option<T>> {
    before.map_or(Ok(None), make)
}

/// Every result that the stages ask for. The plan has checked that each finds what it is made from.
pub(crate) fn run<'a>(mut runner: Runner<'a, '_, '_>) -> Result<Results<'a>> {
    let runner = &mut runner;
    let media = preprocess::preprocess(runner)?;
    let trained = finetune::finetune(runner, &media)?;
    let reports = from(trained.as_ref(), |trained| generate::generate(runner, &media, trained))?;
    let written = trained.as_ref().zip(reports.as_deref());
    let evaluation =
        from(written, |(trained, reports)| evaluate::evaluate(runner, &media, trained, reports))?;
    let measured = written.zip(evaluation.as_ref());
    let measured = measured.map(|((trained, reports), evaluation)| (trained, reports, evaluation));
    let pages = render::render(runner, &media, measured)?;
    let captions = caption::caption(runner)?;
    let composed = compose::compose(runner, &media)?;
    let language_model = pretrain::pretrain(runner)?;
    Ok(Results {
        media,
        trained,
        reports,
        evaluation,
        pages,
        captions,
        composed,
        language_model,
        stages: std::mem::take(&mut runner.records),
        checked: std::mem::take(&mut runner.checked),
    })
}
