//! How an array of tasks stands, by the journals of its tasks: each task writes its own, and the work list
//! of the submission says which recordings no task has begun.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use engine::{Holding, Journal};

use super::{RunState, RunStatus, Seen, TaskCounts, Told};
use crate::{
    Result,
    journal::{Begun, Ended, Listed},
    shard::{SHORT, TASKS},
};

/// The journal of one task.
struct Task {
    begun: Begun,
    told: Told,
    is_held: bool,
}

impl Task {
    /// `None` where it is no journal of a task.
    fn read(run: &Path, path: &Path) -> Result<Option<Self>> {
        let mut entries = Journal::read(path)?.into_iter();
        let begun = entries.next().and_then(|first| serde_json::from_value::<Begun>(first).ok());
        let Some(begun) = begun.filter(|it| it.task.is_some() && it.places.len() == it.scans.len())
        else {
            return Ok(None);
        };
        let told = Told::of(entries);
        let is_held = told.ended.is_none() && {
            let holding = Holding::of(&files::join(run, Path::new(&begun.lock)))?;
            holding.is_some_and(|it| it.is_alive() && it.pid == begun.pid && it.host == begun.host)
        };
        Ok(Some(Self { begun, told, is_held }))
    }
}

/// How the newest array of a run stands; `None` where there is none, or the run began after it.
pub(super) fn status(run: &Path, run_since: Option<u64>) -> Result<Option<RunStatus>> {
    let folder = run.join(TASKS);
    let lists = if folder.is_dir() { files::list(&folder)? } else { Vec::new() };
    let mut newest: Option<(u64, String, Vec<Task>)> = None;
    for list in lists {
        let tasks = tasks(run, &folder.join(&list))?;
        let Some(since) = tasks.iter().map(|it| it.begun.since).max() else { continue };
        if newest.as_ref().is_none_or(|(newest, ..)| *newest < since) {
            newest = Some((since, list, tasks));
        }
    }
    match newest {
        Some((since, list, tasks)) if run_since.is_none_or(|run| run < since) => {
            let begun: BTreeSet<&str> =
                tasks.iter().filter_map(|it| it.begun.task.as_deref()).collect();
            let waiting = waiting(run, &list, &begun)?;
            Ok(Some(joined(tasks, waiting)))
        }
        _ => Ok(None),
    }
}

fn tasks(run: &Path, folder: &Path) -> Result<Vec<Task>> {
    let names = if folder.is_dir() { files::list(folder)? } else { Vec::new() };
    let journals =
        names.iter().filter(|name| Path::new(name).extension().is_some_and(|it| it == "jsonl"));
    let tasks = journals.map(|name| Task::read(run, &folder.join(name)));
    tasks.filter_map(Result::transpose).collect()
}

/// The recordings of tasks that have not begun, by the work list of this digest among the submissions.
fn waiting(run: &Path, list: &str, begun: &BTreeSet<&str>) -> Result<Waiting> {
    let submissions = run.join("slurm");
    let names = if submissions.is_dir() { files::list(&submissions)? } else { Vec::new() };
    let texts = names
        .iter()
        .filter_map(|name| files::read_table(&submissions.join(name).join("work_list.tsv")).ok());
    let mut texts = texts.filter(|text| files::sha256_bytes(text.as_bytes())[..SHORT] == *list);
    let mut waiting = Waiting::default();
    for line in texts.next().unwrap_or_default().lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let &[task, subject, session, ..] = cells.as_slice() else { continue };
        waiting.tasks.insert(task.to_owned());
        if !begun.contains(task) {
            let session = (session != "n/a").then(|| session.to_owned());
            let subject = subject.to_owned();
            waiting.scans.push(Listed { subject, session, kind: None, unwanted: false });
        }
    }
    Ok(waiting)
}

/// What no task has begun.
#[derive(Default)]
struct Waiting {
    /// Every task of the work list; empty where it was not found.
    tasks: BTreeSet<String>,
    scans: Vec<Listed>,
}

/// All tasks as one run, its scans numbered anew.
fn joined(mut tasks: Vec<Task>, waiting: Waiting) -> RunStatus {
    tasks.sort_by_key(|it| it.begun.since);
    let n_begun = tasks.len();
    let counts = TaskCounts {
        running: tasks.iter().filter(|it| it.is_held).count(),
        done: tasks.iter().filter(|it| it.told.ended == Some(Ended::Done)).count(),
        all: n_begun.max(waiting.tasks.len()),
    };
    let has_failed = tasks.iter().any(|it| it.told.ended == Some(Ended::Failed));
    let state = match counts.running {
        0 if has_failed => RunState::Failed,
        0 => RunState::Stopped,
        _ => RunState::Running,
    };
    let mut told = Told::default();
    let (mut scans, mut first, mut last) = (Vec::new(), u64::MAX, None);
    for Task { begun, told: of_task, is_held } in tasks {
        let at: BTreeMap<usize, usize> = begun.places.iter().copied().zip(scans.len()..).collect();
        told.join(of_task, &at, begun.since as f64, is_held);
        first = first.min(begun.since);
        scans.extend(begun.scans);
        last = Some(Begun { scans: Vec::new(), places: Vec::new(), ..begun });
    }
    scans.extend(waiting.scans);
    let last = last.expect("an array has a task");
    told.expect_all(&last.stages, scans.len());
    let begun = Begun { scans, since: first, ..last };
    RunStatus { tasks: Some(counts), ..RunStatus::of(begun, told, state) }
}

impl Told {
    /// Adds what became of the scans of a task; `at` numbers them anew, `since` is when it began, in seconds.
    fn join(&mut self, task: Self, at: &BTreeMap<usize, usize>, since: f64, is_held: bool) {
        let anew = |units: BTreeSet<usize>| units.into_iter().filter_map(|it| at.get(&it).copied());
        for (stage, seen) in task.stages {
            let first = || Seen { began: f64::INFINITY, ..Seen::default() };
            let all = self.stages.entry(stage.clone()).or_insert_with(first);
            all.kept += seen.kept;
            all.advanced += seen.advanced;
            all.began = all.began.min(since + seen.began);
            all.last = all.last.max(since + seen.last);
            all.done.extend(anew(seen.done));
            all.failed.extend(anew(seen.failed));
            if is_held {
                all.running.extend(anew(seen.running));
                self.current = task.current.clone().or(self.current.take());
            }
        }
        self.failed.extend(
            task.failed.into_iter().filter_map(|(unit, kind)| Some((*at.get(&unit)?, kind))),
        );
    }

    /// Every stage that a task has begun is to see all scans but those that failed before it.
    fn expect_all(&mut self, stages: &[String], n_scans: usize) {
        let mut left = n_scans;
        for stage in stages {
            let Some(seen) = self.stages.get_mut(stage) else { continue };
            seen.total = Some(left);
            left = left.saturating_sub(seen.failed.len());
        }
    }
}
