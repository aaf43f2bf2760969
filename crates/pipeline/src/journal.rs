//! The journal of a run: what its stages and their scans come to, as it happens. It names files by
//! number and labels; no path and no reason stands in it.
use std::{
    path::Path,
    time::{Duration, Instant},
};

use engine::Journal;
use preprocess::Recording;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    event::Event,
    plan::{Plan, SourcePlan},
};

/// The file of a run folder.
pub(crate) const JOURNAL: &str = "journal.jsonl";

/// Counts of work without units are written no faster than this.
const EVERY: Duration = Duration::from_secs(1);

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// Seconds since 1970.
    pub(crate) since: u64,
    /// The lock file of the run, relative to its folder.
    pub(crate) lock: String,
    pub(crate) stages: Vec<String>,
    pub(crate) repetitions: usize,
    /// Every scan, by its place.
    pub(crate) scans: Vec<Listed>,
    /// Of a task of an array: its name, and the places of its scans in the cohort, by which lines name them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) places: Vec<usize>,
    /// Which salt the labels are hashed under, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hashed_ids: Option<String>,
}

/// A scan: subject and session; and for one that was left out before, the kind of reason.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    /// What kind of failure it was that left it out before the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) unwanted: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A later line. `at` is in seconds since the process began the run, by a clock that nobody sets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Entry {
    /// A repetition begins.
    Repetition { repetition: String },
    /// A unit is worked on, done or failed.
    Unit {
        at: f64,
        stage: String,
        unit: usize,
        #[serde(rename = "is")]
        is: UnitIs,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
    },
    /// So much of a stage is done.
    Advanced { at: f64, stage: String, done: usize, total: usize },
    /// A stage begins or ends.
    Stage {
        at: f64,
        stage: String,
        #[serde(rename = "is")]
        is: StageIs,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failed: Vec<(usize, String)>,
    },
    /// The run ended.
    Ended { at: f64, ended: Ended },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnitIs {
    Begun,
    Done,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StageIs {
    Running,
    Stored,
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    Done,
    Stopped,
    Failed,
}

impl Ended {
    pub(crate) fn of<T>(outcome: &Result<T>) -> Self {
        match outcome {
            Ok(_) => Self::Done,
            Err(error) if error.is_interrupted() || error.is_first_failure() => Self::Stopped,
            Err(_) => Self::Failed,
        }
    }
}

/// Writes the journal of a run from its events.
pub(crate) struct Scribe {
    journal: Journal,
    begun: Instant,
    last: Option<Instant>,
}

impl Scribe {
    /// Begins the journal of a run that holds its lock.
    pub(crate) fn begin(plan: &Plan, lock: &Path) -> Result<Self> {
        Self::write(plan, lock, &plan.run_dir.join(JOURNAL), None, listed(plan))
    }

    /// Begins the journal of a task that holds its lock, in a file that no other task writes.
    pub(crate) fn begin_task(
        plan: &Plan,
        lock: &Path,
        path: &Path,
        task: &str,
        places: &[usize],
    ) -> Result<Self> {
        let all = plan.scans();
        let scans = places.iter().map(|&place| listed_scan(&all[place])).collect();
        Self::write(plan, lock, path, Some((task, places)), scans)
    }

    fn write(
        plan: &Plan,
        lock: &Path,
        path: &Path,
        task: Option<(&str, &[usize])>,
        scans: Vec<Listed>,
    ) -> Result<Self> {
        let process = engine::this_process();
        let lock = files::relative(lock, &plan.run_dir).unwrap_or_else(|| lock.to_owned());
        let begun = Begun {
            name: plan.spec().name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: process.host,
            pid: process.pid,
            since: process.since,
            lock: lock.display().to_string(),
            stages: plan.spec().stages().iter().map(|it| it.name().to_owned()).collect(),
            repetitions: plan.runs.len(),
            scans,
            task: task.map(|(name, _)| name.to_owned()),
            places: task.map_or_else(Vec::new, |(_, places)| places.to_vec()),
            hashed_ids: plan.hashed_ids(),
        };
        same_labels(path, &begun)?;
        let journal = Journal::begin(path, &begun)?;
        Ok(Self { journal, begun: Instant::now(), last: None })
    }

    fn at(&self) -> f64 {
        (self.begun.elapsed().as_secs_f64() * 1e3).round() / 1e3
    }

    pub(crate) fn event(&mut self, event: &Event) {
        let at = self.at();
        let unit = |stage: &str, unit, is, kind| Entry::Unit {
            at,
            stage: stage.to_owned(),
            unit,
            is,
            kind,
        };
        let of_stage =
            |stage: &str, is, failed| Entry::Stage { at, stage: stage.to_owned(), is, failed };
        let entry = match event {
            Event::Repetition { name, .. } => Entry::Repetition { repetition: name.clone() },
            Event::StageStarted { stage, .. } => of_stage(stage, StageIs::Running, Vec::new()),
            Event::StageFinished { stage, .. } => of_stage(stage, StageIs::Finished, Vec::new()),
            Event::StageCached { stage, failures } => {
                let failed = failures.iter().map(|it| (it.unit, it.reason.kind.to_string()));
                of_stage(stage, StageIs::Stored, failed.collect())
            }
            Event::Engine(engine::Event::UnitBegun { stage, unit: idx }) => {
                unit(stage, *idx, UnitIs::Begun, None)
            }
            Event::Engine(engine::Event::UnitDone { stage, unit: idx }) => {
                unit(stage, *idx, UnitIs::Done, None)
            }
            Event::Engine(engine::Event::UnitFailed { stage, number, kind, .. }) => {
                unit(stage, number - 1, UnitIs::Failed, Some(kind.to_string()))
            }
            Event::Engine(engine::Event::Advanced { stage, done, total }) => {
                // each unit has its own line, the counts are for work that has none
                let is_early = self.last.is_some_and(|last| last.elapsed() < EVERY);
                if is_early && done < total && *done > 0 {
                    return;
                }
                self.last = Some(Instant::now());
                let stage = (*stage).to_owned();
                Entry::Advanced { at, stage, done: *done, total: *total }
            }
            _ => return,
        };
        self.journal.add(&entry);
    }

    pub(crate) fn end(&mut self, ended: Ended) {
        let at = self.at();
        self.journal.add(&Entry::Ended { at, ended });
    }
}

/// Refuses to go on in the folder of a run with other labels: its files would stand beside ours.
fn same_labels(path: &Path, begun: &Begun) -> Result<()> {
    if !path.is_file() {
        return Ok(());
    }
    let earlier = Journal::read(path)?.into_iter().next();
    let Some(earlier) = earlier.and_then(|it| serde_json::from_value::<Begun>(it).ok()) else {
        return Ok(());
    };
    if earlier.hashed_ids == begun.hashed_ids {
        return Ok(());
    }
    let problem = match (earlier.hashed_ids, &begun.hashed_ids) {
        (None, _) => "was begun with the labels of the files, and --hash-ids is given",
        (Some(_), None) => "was begun with --hash-ids, which is not given",
        (Some(_), Some(_)) => "was begun with another salt",
    };
    let problem = format!("{problem}: expected the same, or another `name` or `outputs`");
    Err(Error::Salt { path: path.to_owned(), problem })
}

fn listed(plan: &Plan) -> Vec<Listed> {
    let scans: Vec<Listed> = plan.scans().iter().map(listed_scan).collect();
    let excluded = match &plan.source {
        SourcePlan::Recordings(recordings) => recordings.excluded(),
        _ => &[],
    };
    let excluded = excluded.iter().map(|it| Listed {
        subject: it.subject().unwrap_or(&it.name).to_owned(),
        session: it.session().map(str::to_owned),
        kind: Some(it.reason.failure_kind().to_string()),
        unwanted: !it.reason.is_failure(),
    });
    scans.into_iter().chain(excluded).collect()
}

fn listed_scan(scan: &Recording) -> Listed {
    let (subject, session) = (scan.subject.clone(), scan.session.clone());
    Listed { subject, session, kind: None, unwanted: false }
}
