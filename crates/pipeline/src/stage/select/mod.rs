//! `select`: goes on with the recordings of which a query over what was measured is true.
mod asked;

pub use asked::SelectConfig;
pub(crate) use asked::labels_with;

use std::path::Path;

use ::cohort::{Query, Reason};
use preprocess::Kind;
use serde_json::Value;

use asked::{said, with_measured};

use super::{
    Artifact,
    quality::where_measured,
    work::{Preparation, Work, load_failures, write_failures},
};
use crate::{Error, Result, event::Control, media::Media, plan::SourcePlan};

impl Work for SelectConfig {
    fn name(&self) -> &'static str {
        "select"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        let series = Artifact::Media(Kind::ParcelSeries);
        (series, series)
    }

    fn gives(&self, have: Artifact) -> Option<Artifact> {
        where_measured(have)
    }

    fn check(&self) -> Result<()> {
        self.read().map(drop)
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for SelectConfig {
    fn is_by_recording(&self) -> bool {
        true
    }

    fn inputs(&self, _: &Media<'_>) -> Value {
        // nothing is kept: who is left out is asked anew in every run, and stands in the keys below
        Value::Null
    }

    fn compute(&self, _: &Media<'_>, dir: &Path, _: &mut Control<'_>) -> Result<()> {
        write_failures(dir, &[])
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        load_failures(media, self.name(), dir)
    }

    fn unwanted(&self, media: &Media<'_>) -> Result<Vec<(usize, Reason)>> {
        let query = self.read()?;
        let SourcePlan::Recordings(plan) = &media.plan.source else {
            unreachable!("the plan asks for recordings")
        };
        let mut unwanted = Vec::new();
        for (idx, recording) in plan.recordings().iter().enumerate() {
            if media.failures.contains_key(&idx) {
                continue;
            }
            let Some(measured) = media.measured(idx)? else { continue };
            let reason = query.refuses(&with_measured(recording, &measured.values()));
            unwanted.extend(reason.map(|reason| (idx, said(reason, &query, &measured))));
        }
        Ok(unwanted)
    }
}

impl SelectConfig {
    fn read(&self) -> Result<Query> {
        self.parsed().map_err(|source| Error::StageQuery { stage: self.name(), source })
    }
}
