//! The program as a BIDS-App: a dataset in, derivatives out, by the same engine as a run.
//!
//! ```text
//! BIDS_DIR + pipeline file ─→ Loaded ─→ Plan ─┬ participant: the stages that work by recording, for some people
//!                                             └ group: the same for all, then everything that sees all of them
//! OUT_DIR/  dataset_description.json  CITATION.cff  .bidsignore  atlases/  idp/  logs/
//!           sub-01/[ses-1/]func/  …_stat-mean_timeseries.tsv  …_stat-coverage_bold.tsv  …_desc-generated_report.json
//! WORK/     cache/  NAME/ (the run folder)
//! ```
//!
//! Tasks for single participants may write into one folder side by side: no two write one file, but for those
//! of the whole dataset, which have the same content whoever writes them.
mod call;
mod dataset;
mod idp;
mod methods;
mod names;
mod output;
mod reports;
mod series;
mod source;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use engine::{Execution, Observer};
use serde_json::Value;

use crate::{
    Error, Outcome, Result, Shard, ShardOutcome,
    event::Event,
    plan::{Plan, SourcePlan},
    run::run,
    shard::{by_recording, check_divisible, prepare_shard},
    spec::{CohortSpec, Loaded},
};
pub use call::{BidsApp, BidsCall};
use names::Names;
use output::refused;
use series::Written;

/// How it went with the participants of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantsOutcome {
    /// Where the derivatives are.
    pub out_dir: PathBuf,
    /// Recordings that failed.
    pub n_failed: usize,
    /// All of these people.
    pub n_recordings: usize,
    /// The first stage that is left to the group level; none where all stages work by recording.
    pub stopped_before: Option<&'static str>,
}

impl BidsApp {
    /// The pipeline file with this dataset as its cohort and the work folder as its outputs.
    ///
    /// # Errors
    /// Those of the file; and where its cohort is of another kind.
    pub fn load(&self, config: &Path, sets: &[String], level: BidsLevel) -> Result<Loaded> {
        let loaded = Loaded::read(config, sets)?;
        let kind = loaded.spec.cohort.name();
        let is_filtered =
            ![&self.participants, &self.sessions, &self.tasks].into_iter().all(Vec::is_empty);
        match (&loaded.spec.cohort, level) {
            (CohortSpec::Bids(_), _) => {}
            (CohortSpec::Pairs(_), BidsLevel::Group) if !is_filtered => {}
            (CohortSpec::Pairs(_), BidsLevel::Group) => {
                let problem =
                    "its cohort is `pairs`, whose table says who takes part: expected no labels";
                return Err(refused(config, problem));
            }
            (CohortSpec::Pairs(_), BidsLevel::Participant) => {
                let problem = "its cohort is `pairs`, which is learned from as a whole: expected the \
                               level group, or a cohort `bids`";
                return Err(refused(config, problem));
            }
            _ => {
                let problem = format!("its cohort is `{kind}`, expected `bids`");
                return Err(refused(config, &problem));
            }
        }
        Ok(loaded.changed(|spec| {
            spec.outputs.clone_from(&self.work_dir);
            let CohortSpec::Bids(bids) = &mut spec.cohort else { return };
            bids.dir.clone_from(&self.bids_dir);
            // a folder that links may not leave stays one where the dataset is inside of it
            let holds = |root: &mut PathBuf| {
                root.canonicalize().is_ok_and(|root| self.bids_dir.starts_with(root))
            };
            if !bids.root.as_mut().is_some_and(holds) {
                bids.root = None;
            }
            let mut want = |entity, labels: &[String]| {
                if !labels.is_empty() {
                    bids.entities.insert(entity, labels.to_vec());
                }
            };
            want(cohort::Entity::Session, &self.sessions);
            want(cohort::Entity::Task, &self.tasks);
            if level == BidsLevel::Group {
                want(cohort::Entity::Subject, &self.participants);
            }
        }))
    }

    /// Names what only this choice of people and labels writes.
    pub fn name(&self) -> String {
        let words = [&self.participants, &self.sessions, &self.tasks].map(|it| it.join(","));
        files::sha256_bytes(words.join(";").as_bytes())[..16].to_owned()
    }

    /// The stages that work recording by recording, for the people of the call, and their derivatives.
    ///
    /// # Errors
    /// Those of [`run_shard`](crate::run_shard); and where none of these people has a recording.
    pub fn participant(
        &self,
        plan: &Plan,
        execution: Execution,
        observer: &mut dyn Observer<Event>,
        stop: &AtomicBool,
    ) -> Result<ParticipantsOutcome> {
        let shard = Shard::of_people(plan, &self.participants, &self.name());
        let is_asked = |it: &&cohort::Excluded| {
            self.participants.is_empty()
                || it
                    .subject()
                    .is_some_and(|subject| self.participants.iter().any(|l| l == subject))
        };
        let excluded = plan.recordings().map_or(&[][..], |it| it.excluded());
        let broken = excluded.iter().filter(|it| it.reason.is_failure()).filter(is_asked).count();
        let n_recordings = shard.scans().len() + broken;
        if shard.scans().is_empty() {
            let reasons = excluded.iter().filter(is_asked).map(|it| it.reason.to_string());
            let reason = reasons.map(|it| files::one_line(&it)).next();
            let reason =
                reason.map_or_else(String::new, |reason| format!(", the first because: {reason}"));
            let problem = format!("no recording of these participants is left{reason}");
            return Err(refused(&self.bids_dir, &problem));
        }
        let (outcome, _) = self.prepare(plan, &shard, execution, observer, stop)?;
        Ok(ParticipantsOutcome {
            out_dir: self.out_dir.clone(),
            n_failed: outcome.n_failed + broken,
            n_recordings,
            stopped_before: outcome.stopped_before,
        })
    }

    /// What the participants' derivatives lack, the whole run in the work folder, and what it says of all.
    ///
    /// # Errors
    /// Those of [`run`](crate::run()).
    pub fn group(
        &self,
        plan: &Plan,
        execution: Execution,
        observer: &mut dyn Observer<Event>,
        stop: &AtomicBool,
    ) -> Result<Outcome> {
        if plan.is_repeated() {
            let problem = "gives several runs, by `repeat` or by folds: expected one";
            return Err(refused(Path::new(&plan.spec().name), problem));
        }
        if let SourcePlan::Cohort(_) = &plan.source {
            self.refuse_scans_elsewhere(plan)?;
            self.refuse_shared_names(plan)?;
        }
        let mut written = Vec::new();
        if check_divisible(plan).is_ok() {
            let shard = Shard::of_people(plan, &[], &self.name());
            written = self.prepare(plan, &shard, execution, observer, stop)?.1;
        } else {
            dataset::write(self, plan)?;
        }
        let outcome = run(plan, execution, observer, stop)?;
        let record: Value = files::read_json(&plan.run_dir.join("record.json"))?;
        let wrong = failed_by_recording(plan, &record);
        for it in written.extract_if(.., |it| wrong.contains(&it.idx)) {
            it.retract()?;
        }
        idp::write(self, plan, &written)?;
        reports::write(&plan.run_dir, &record, &self.out_dir)?;
        dataset::write_of_run(plan, &record, &self.out_dir)?;
        Ok(outcome)
    }

    /// Prepares the recordings of a shard and writes what is published of each. A stored file that is damaged is
    /// removed and made again, once.
    fn prepare(
        &self,
        plan: &Plan,
        shard: &Shard,
        execution: Execution,
        observer: &mut dyn Observer<Event>,
        stop: &AtomicBool,
    ) -> Result<(ShardOutcome, Vec<Written>)> {
        let again = |observer: &mut dyn Observer<Event>| {
            let mut written = Vec::new();
            let outcome =
                prepare_shard(plan, shard, execution, observer, stop, |media, control| {
                    written = series::write(self, media, shard.scans(), control)?;
                    dataset::write(self, plan)
                })?;
            Ok((outcome, written))
        };
        let error: Error = match again(observer) {
            Err(error) => error,
            done => return done,
        };
        match error.damaged_file() {
            Some(path) if path.starts_with(&plan.cache_dir) => {
                files::remove_file(path)?;
                again(observer)
            }
            _ => Err(error),
        }
    }

    /// Derivatives keep the entities that tell recordings apart, not all that tell files apart.
    fn refuse_shared_names(&self, plan: &Plan) -> Result<()> {
        let all = (0..plan.scans().len()).filter_map(|idx| dataset::entities(plan, idx));
        let mut taken = BTreeSet::new();
        let n = all.filter(|it| !taken.insert(Names::new(it).path(&[], ""))).count();
        if n == 0 {
            return Ok(());
        }
        let problem = format!(
            "{} of the table cohort.pairs would have the derivatives of another one: their names differ in \
             entities that derivatives do not keep",
            report::counted(n, "scan")
        );
        Err(refused(&self.bids_dir, &problem))
    }

    /// Scans of a table must be those of the dataset that the derivatives say they are of.
    fn refuse_scans_elsewhere(&self, plan: &Plan) -> Result<()> {
        let is_outside = |path: &Path| {
            path.canonicalize().map_or(true, |path| !path.starts_with(&self.bids_dir))
        };
        let n = plan.scans().iter().filter(|it| is_outside(&it.path)).count();
        if n == 0 {
            return Ok(());
        }
        let problem =
            format!("{} of the table cohort.pairs lie elsewhere", report::counted(n, "scan"));
        Err(refused(&self.bids_dir, &problem))
    }
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BidsLevel {
    /// What can be done for each participant alone.
    Participant,
    /// What needs all of them.
    Group,
}

/// Recordings, by their place in the plan, that the run found wrong in a stage that works by recording.
fn failed_by_recording(plan: &Plan, record: &Value) -> BTreeSet<usize> {
    let stages: Vec<&str> = by_recording(plan).map(|(stage, _)| stage).collect();
    let is_wrong = |unit: &&Value| {
        unit["status"] != "SUCCESS" && unit["stage"].as_str().is_some_and(|it| stages.contains(&it))
    };
    let units = record["units"].as_array().into_iter().flatten().filter(is_wrong);
    let wrong: BTreeSet<&str> = units.filter_map(|unit| unit["scan"].as_str()).collect();
    let scans = plan.scans().into_iter().enumerate();
    scans.filter(|(_, scan)| wrong.contains(scan.file.as_str())).map(|(idx, _)| idx).collect()
}
