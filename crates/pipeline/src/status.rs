//! How a run stands, from the files of its folder alone: also of one that another machine works on.
mod array;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use engine::{Holding, Journal, utc};
use scan::FailureKind;
use serde::Serialize;

use crate::{
    Error, Result,
    journal::{Begun, Ended, Entry, JOURNAL, Listed, StageIs, UnitIs},
};

/// Whether somebody works on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// A process holds its lock and gives signs.
    Running,
    /// It ended, and everything that could be done is.
    Finished,
    /// It was stopped or killed: the same command goes on.
    Stopped,
    /// It ended with an error.
    Failed,
}

/// How many scans a stage has done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageStatus {
    /// Stage name.
    pub stage: String,
    /// What is done.
    pub done: usize,
    /// What failed.
    pub failed: usize,
    /// What is worked on.
    pub running: usize,
    /// What is to do; `None` where the stage has not begun.
    pub left: Option<usize>,
}

/// One person's visit, in the words of Nipoppy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VisitStatus {
    participant_id: String,
    bids_participant_id: String,
    session_id: Option<String>,
    bids_session_id: Option<String>,
    pipeline_name: String,
    pipeline_version: String,
    pipeline_step: &'static str,
    status: &'static str,
}

/// The tasks of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TaskCounts {
    /// Those that gave signs lately.
    pub running: usize,
    /// Those that took their recordings as far as a task can.
    pub done: usize,
    /// All of the work list, or all that have begun where it lies elsewhere.
    pub all: usize,
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunStatus {
    /// The pipeline's name.
    pub name: String,
    /// Whether somebody works on it.
    pub state: RunState,
    /// Who does, or did last.
    pub host: String,
    /// Its process there.
    pub pid: u32,
    /// When it began, in UTC.
    pub since: String,
    /// The tasks, where an array works on the run before it is gathered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<TaskCounts>,
    /// The repetition that runs, of how many.
    pub repetition: Option<(String, usize)>,
    /// Stages in their order.
    pub stages: Vec<StageStatus>,
    /// Scans a second in the stage that runs, where that is known.
    pub rate_per_s: Option<f64>,
    /// Seconds until that stage is done, if the rest is as fast.
    pub left_s: Option<f64>,
    /// Scans that failed, by the kind of failure.
    pub failed: BTreeMap<String, usize>,
    /// Visits in the order of the cohort.
    pub visits: Vec<VisitStatus>,
}

/// What is known of a stage.
#[derive(Default)]
struct Seen {
    /// Counted by what has no lines for units.
    advanced: usize,
    /// What was there when the stage began.
    kept: usize,
    total: Option<usize>,
    done: BTreeSet<usize>,
    failed: BTreeSet<usize>,
    running: BTreeSet<usize>,
    is: Option<StageIs>,
    began: f64,
    last: f64,
}

impl Seen {
    fn done(&self) -> usize {
        (self.kept + self.done.len()).max(self.advanced.saturating_sub(self.failed.len()))
    }

    fn left(&self) -> Option<usize> {
        let past = self.done() + self.failed.len() + self.running.len();
        match self.is {
            Some(StageIs::Finished | StageIs::Stored) => Some(0),
            _ => self.total.map(|total| total.saturating_sub(past)),
        }
    }
}

/// What the entries of a journal come to.
#[derive(Default)]
struct Told {
    stages: BTreeMap<String, Seen>,
    /// Kind by scan.
    failed: BTreeMap<usize, String>,
    repetition: Option<String>,
    n_repetitions: usize,
    ended: Option<Ended>,
    current: Option<String>,
}

impl Told {
    fn of(entries: impl Iterator<Item = serde_json::Value>) -> Self {
        let mut told = Self::default();
        // what a later version adds is not counted
        entries.filter_map(|it| serde_json::from_value(it).ok()).for_each(|it| told.add(it));
        told
    }

    fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Repetition { repetition } => {
                let n_repetitions = self.n_repetitions + 1;
                *self = Self { repetition: Some(repetition), n_repetitions, ..Self::default() };
            }
            Entry::Unit { at, stage, unit, is, kind } => {
                let seen = self.stages.entry(stage).or_default();
                seen.last = at;
                seen.running.remove(&unit);
                match is {
                    UnitIs::Begun => _ = seen.running.insert(unit),
                    UnitIs::Done => _ = seen.done.insert(unit),
                    UnitIs::Failed => {
                        // a scan may be done and still be unlike the others
                        seen.done.remove(&unit);
                        seen.failed.insert(unit);
                        self.failed.insert(unit, kind.unwrap_or_default());
                    }
                }
            }
            Entry::Advanced { at, stage, done, total } => {
                let seen = self.stages.entry(stage).or_default();
                if seen.total.is_none() {
                    seen.kept = done;
                }
                (seen.total, seen.advanced, seen.last) = (Some(total), done, at);
            }
            Entry::Stage { at, stage, is, failed } => {
                if is == StageIs::Running {
                    self.stages.remove(&stage);
                    self.current = Some(stage.clone());
                }
                let seen = self.stages.entry(stage).or_default();
                if is == StageIs::Running {
                    seen.began = at;
                }
                seen.is = Some(is);
                for (unit, kind) in failed {
                    seen.failed.insert(unit);
                    self.failed.insert(unit, kind);
                }
            }
            Entry::Ended { ended, .. } => self.ended = Some(ended),
        }
    }
}

/// Reads how the run in `dir` stands.
///
/// # Errors
/// Where it holds no journal of a run.
pub fn status(dir: &Path) -> Result<RunStatus> {
    let path = dir.join(JOURNAL);
    if !path.exists() {
        return array::status(dir, None)?.ok_or_else(|| Error::Record {
            path: dir.to_owned(),
            problem: format!("holds no {JOURNAL}, expected the folder of a run, as runs/NAME"),
        });
    }
    let mut entries = Journal::read(&path)?.into_iter();
    let begun = entries.next().and_then(|first| serde_json::from_value::<Begun>(first).ok());
    let begun = begun.ok_or_else(|| Error::Arrays {
        path: path.clone(),
        problem: "its first line does not say which run it is of".to_owned(),
    })?;
    if let Some(array) = array::status(dir, Some(begun.since))? {
        return Ok(array);
    }
    let told = Told::of(entries);
    let is_held = Holding::of(&files::join(dir, Path::new(&begun.lock)))?
        .is_some_and(|it| it.is_alive() && it.pid == begun.pid && it.host == begun.host);
    let state = match told.ended {
        Some(Ended::Done) => RunState::Finished,
        Some(Ended::Failed) => RunState::Failed,
        None if is_held => RunState::Running,
        Some(Ended::Stopped) | None => RunState::Stopped,
    };
    Ok(RunStatus::of(begun, told, state))
}

impl RunStatus {
    fn of(begun: Begun, told: Told, state: RunState) -> Self {
        let n_scans = begun.scans.iter().filter(|it| it.kind.is_none()).count();
        let mut n_failed_before = 0;
        let mut stages = Vec::new();
        for stage in &begun.stages {
            let seen = told.stages.get(stage);
            let is_stored = seen.is_some_and(|it| it.is == Some(StageIs::Stored));
            let failed = seen.map_or(0, |it| it.failed.len());
            // a stored stage has done whatever did not fail before
            let all = n_scans.saturating_sub(n_failed_before + failed);
            let done = if is_stored { all } else { seen.map_or(0, |it| it.done().min(all)) };
            let running =
                if state == RunState::Running { seen.map_or(0, |it| it.running.len()) } else { 0 };
            let left = seen.and_then(Seen::left);
            stages.push(StageStatus { stage: stage.clone(), done, failed, running, left });
            n_failed_before += failed;
        }
        let current = told.current.as_ref().and_then(|stage| told.stages.get(stage));
        let current = current.filter(|_| state == RunState::Running);
        let rate_per_s = current.and_then(|seen| {
            let (n, seconds) =
                (seen.done() - seen.kept + seen.failed.len(), seen.last - seen.began);
            (n > 0 && seconds > 0.0).then(|| n as f64 / seconds)
        });
        let n_left = current.and_then(|it| Some(it.left()? + it.running.len()));
        let left_s = rate_per_s.zip(n_left).map(|(rate, left)| left as f64 / rate);
        let mut failed: BTreeMap<String, usize> = BTreeMap::new();
        let before = begun.scans.iter().filter(|it| !it.unwanted).filter_map(|it| it.kind.clone());
        for kind in told.failed.values().cloned().chain(before) {
            *failed.entry(kind).or_default() += 1;
        }
        let repetition = told.repetition.clone().map(|name| (name, begun.repetitions));
        Self {
            visits: visits(&begun, &told, state),
            name: begun.name,
            state,
            host: begun.host,
            pid: begun.pid,
            since: utc(begun.since),
            tasks: None,
            repetition,
            stages,
            rate_per_s,
            left_s,
            failed,
        }
    }

    /// Visits as a table with tabs, in Nipoppy's columns.
    pub fn table(&self) -> String {
        let mut table = "participant_id\tbids_participant_id\tsession_id\tbids_session_id\t\
                         pipeline_name\tpipeline_version\tpipeline_step\tstatus\n"
            .to_owned();
        for it in &self.visits {
            let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "n/a".to_owned());
            let _ = writeln!(
                table,
                "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
                it.participant_id,
                it.bids_participant_id,
                or_none(&it.session_id),
                or_none(&it.bids_session_id),
                it.pipeline_name,
                it.pipeline_version,
                it.pipeline_step,
                it.status
            );
        }
        table
    }
}

/// Nipoppy's words, the one that says most of a visit with several scans first.
const WORDS: [&str; 4] = ["FAIL", "INCOMPLETE", "SUCCESS", "UNAVAILABLE"];

fn visits(begun: &Begun, told: &Told, state: RunState) -> Vec<VisitStatus> {
    let mut order: Vec<(&str, Option<&str>)> = Vec::new();
    let mut words: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
    for (idx, scan) in begun.scans.iter().enumerate() {
        let kind = told.failed.get(&idx).or(scan.kind.as_ref());
        let word = word(scan, kind.map(String::as_str), state == RunState::Finished);
        let visit = (scan.subject.as_str(), scan.session.as_deref());
        let rank = WORDS.iter().position(|it| *it == word).expect("it is one of them");
        let known = words.entry(visit).or_insert_with(|| {
            order.push(visit);
            rank
        });
        *known = rank.min(*known);
    }
    let of = |visit: (&str, Option<&str>)| VisitStatus {
        participant_id: visit.0.to_owned(),
        bids_participant_id: format!("sub-{}", visit.0),
        session_id: visit.1.map(str::to_owned),
        bids_session_id: visit.1.map(|session| format!("ses-{session}")),
        pipeline_name: begun.name.clone(),
        pipeline_version: begun.version.clone(),
        pipeline_step: "default",
        status: WORDS[words[&visit]],
    };
    order.into_iter().map(of).collect()
}

fn word(scan: &Listed, kind: Option<&str>, is_finished: bool) -> &'static str {
    let is = |of: FailureKind| kind == Some(of.name());
    let is_unavailable = scan.unwanted
        || [FailureKind::Missing, FailureKind::Quality, FailureKind::NotSelected]
            .into_iter()
            .any(is);
    match kind {
        Some(_) if is_unavailable => "UNAVAILABLE",
        Some(_) => "FAIL",
        None if is_finished => "SUCCESS",
        None => "INCOMPLETE",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn begun() -> Begun {
        let scan = |subject: &str, kind: Option<&str>| json!({ "subject": subject, "session": "1", "kind": kind });
        let scans = [("01", None), ("01", None), ("02", None), ("03", Some("missing"))];
        let scans: Vec<_> = scans.iter().map(|(subject, kind)| scan(subject, *kind)).collect();
        serde_json::from_value(json!({
            "name": "cohort", "version": "1", "host": "n1", "pid": 7, "since": 0,
            "lock": "../cache/locks/cohort.lock", "stages": ["parcellate", "encode", "embed"],
            "repetitions": 1, "scans": scans,
        }))
        .unwrap()
    }

    fn told(entries: &[serde_json::Value]) -> Told {
        Told::of(entries.iter().cloned())
    }

    #[test]
    fn counts_rate_and_words_follow_from_the_lines() {
        let lines = [
            json!({ "at": 0.0, "stage": "parcellate", "is": "stored", "failed": [[2, "truncated"]] }),
            json!({ "at": 1.0, "stage": "encode", "is": "running" }),
            json!({ "at": 1.0, "stage": "encode", "done": 0, "total": 2 }),
            json!({ "at": 1.0, "stage": "encode", "unit": 0, "is": "begun" }),
            json!({ "at": 3.0, "stage": "encode", "unit": 0, "is": "done" }),
            json!({ "at": 3.0, "stage": "encode", "unit": 1, "is": "begun" }),
        ];
        let status = RunStatus::of(begun(), told(&lines), RunState::Running);
        let of = |idx: usize| {
            let it = &status.stages[idx];
            (it.done, it.failed, it.running, it.left)
        };
        assert_eq!(of(0), (2, 1, 0, Some(0)));
        assert_eq!(of(1), (1, 0, 1, Some(0)));
        assert_eq!(of(2), (0, 0, 0, None));
        assert_eq!((status.rate_per_s, status.left_s), (Some(0.5), Some(2.0)));
        assert_eq!(
            status.failed,
            [("missing", 1), ("truncated", 1)].map(|(k, n)| (k.to_owned(), n)).into()
        );
        let words =
            |status: &RunStatus| status.visits.iter().map(|it| it.status).collect::<Vec<_>>();
        assert_eq!(words(&status), ["INCOMPLETE", "FAIL", "UNAVAILABLE"]);
        let finished = RunStatus::of(begun(), told(&lines), RunState::Finished);
        assert_eq!(words(&finished), ["SUCCESS", "FAIL", "UNAVAILABLE"]);
        assert!(
            finished.table().ends_with("03\tsub-03\t1\tses-1\tcohort\t1\tdefault\tUNAVAILABLE\n")
        );
    }

    #[test]
    fn times_that_run_backwards_give_no_rate() {
        let lines = [
            json!({ "at": 9.0, "stage": "encode", "is": "running" }),
            json!({ "at": 9.0, "stage": "encode", "done": 0, "total": 2 }),
            json!({ "at": 3.0, "stage": "encode", "unit": 0, "is": "done" }),
        ];
        let status = RunStatus::of(begun(), told(&lines), RunState::Running);
        assert_eq!((status.rate_per_s, status.left_s), (None, None));
    }
}
