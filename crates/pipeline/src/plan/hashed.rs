//! A plan in which nobody is called as in the files.
use std::path::Path;

use ::cohort::Pseudonyms;
use engine::Reason;

use super::{Plan, SourcePlan};
use crate::{Error, Result, spec::Spec, stage::Stage};

impl Plan {
    /// With hashed labels of subjects, under the salt in a file. Everything that the run writes into its
    /// folder has these; nothing of a result depends on them but the order in which people are drawn.
    ///
    /// # Errors
    /// Where the salt cannot be read, is short, or lies where the run writes; where a stage writes a table
    /// of files.
    pub fn with_hashed_ids(mut self, salt: &Path) -> Result<Self> {
        let refuse = |problem: String| Error::Salt { path: salt.to_owned(), problem };
        writes_no_names(self.spec())?;
        let pseudonyms = Pseudonyms::read(salt).map_err(refuse)?;
        let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if whole(salt).starts_with(whole(&self.run_dir)) {
            return Err(refuse("lies in the folder of the run, expected elsewhere".to_owned()));
        }
        match &mut self.source {
            SourcePlan::Recordings(plan) => {
                let places = plan.cohort.hash_ids(&pseudonyms).map_err(refuse)?;
                let divisions = plan.divisions.iter_mut().map(|it| &mut it.splits);
                for splits in divisions.chain(self.runs.iter_mut().map(|it| &mut it.splits)) {
                    if !splits.is_empty() {
                        *splits = places.iter().map(|&place| splits[place]).collect();
                    }
                }
            }
            SourcePlan::Cohort(cohort) => {
                for scan in &mut cohort.scans {
                    scan.subject = pseudonyms.of(&scan.subject);
                    scan.name = scan.unit().replace(' ', "_");
                }
            }
            SourcePlan::Pictures(_) | SourcePlan::Benchmark(_) | SourcePlan::Corpus { .. } => {
                return Err(refuse("there are no subjects in this pipeline".to_owned()));
            }
        }
        // a setting may name people
        for word in &mut self.command {
            if let Some((key, _)) = word.split_once('=') {
                *word = format!("{key}=…");
            }
        }
        self.pseudonyms = Some(pseudonyms);
        Ok(self)
    }

    /// Why a scan is left out, in the words of tables: those that name nobody, where labels are hashed.
    pub(crate) fn words_of<'a>(&self, reason: &'a Reason) -> &'a str {
        if self.pseudonyms.is_some() { &reason.anonymous } else { &reason.named }
    }

    /// Which salt the labels of subjects are hashed under, where they are.
    pub(crate) fn hashed_ids(&self) -> Option<String> {
        self.pseudonyms.as_ref().map(Pseudonyms::id)
    }
}

/// A table of pairs has the paths of the scans, which are called as their subjects.
fn writes_no_names(spec: &Spec) -> Result<()> {
    if spec.stages().iter().any(|stage| matches!(stage, Stage::Compose(_))) {
        let problem =
            "writes a table with the paths of the scans, in which subjects are not hashed";
        return Err(Error::StageInput { stage: "compose", problem: problem.to_owned() });
    }
    Ok(())
}
