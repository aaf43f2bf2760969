//! What one run gives.
use std::{collections::BTreeMap, path::PathBuf};

use super::{
    AskedCohort, Attributed, Captions, ComposedFiles, Evaluation, FewShot, Pages, Trained,
    TrainedLm, WrittenReport,
};
use crate::{media::Media, record::StageRecord};

/// What one run gives; nothing where no stage asks for it.
pub(crate) struct Results<'a> {
    pub(crate) media: Media<'a>,
    pub(crate) trained: Option<Trained>,
    pub(crate) reports: Option<Vec<WrittenReport>>,
    pub(crate) evaluation: Option<Evaluation>,
    pub(crate) attributed: Option<Attributed>,
    pub(crate) pages: Option<Pages>,
    /// Of a run over pictures.
    pub(crate) captions: Option<Captions>,
    /// Of a data set of questions.
    pub(crate) few_shot: Option<FewShot>,
    /// Of questions about every scan.
    pub(crate) asked: Option<AskedCohort>,
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
        let items = self.few_shot.iter().flat_map(|it| it.failures.values());
        let scans = self.media.failures.iter();
        let scans = scans.filter(|(idx, _)| !self.media.unwanted.contains(idx));
        for reason in scans.map(|(_, (_, reason))| reason).chain(pictures).chain(items) {
            *counts.entry(reason.kind.to_string()).or_default() += 1;
        }
        counts
    }
}
