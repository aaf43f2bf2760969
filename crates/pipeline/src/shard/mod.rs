//! A shard of a run: what one task of a job array does.
//!
//! ```text
//! work list, task K ─→ its recordings ─→ stages up to the first that must see all ─→ units in the store
//!                                                                                └→ tasks/…/K.tsv, K.jsonl
//! ```
//!
//! Nothing is published. The ordinary run afterwards finds the units in the store and does the rest.
mod outcomes;
mod work_list;

use std::{
    path::PathBuf,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use engine::{Execution, Lock, Observer, Store};

pub(crate) use outcomes::{TASKS, settled};
pub use work_list::WorkList;

use crate::{
    Error, Result,
    event::{Control, Event},
    journal::{self, Scribe},
    media::Media,
    plan::Plan,
    stage::{
        Stage,
        work::{Preparation, read_failures},
    },
    thresholds,
    watch::Watch,
};
use outcomes::Ended;

/// Digits of the digest of a work list that name its folder of outcomes.
pub(crate) const SHORT: usize = 16;

/// How long the lock of a task may be held by one that was killed on another machine.
const HELD: Duration = Duration::from_mins(8);

/// The recordings of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Names its lock and its table of outcomes; safe in file names.
    name: String,
    /// Which recordings, by their place in the plan.
    scans: Vec<usize>,
    /// The folder of such tables, below the run directory.
    folder: String,
}

/// How it went with a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardOutcome {
    /// Recordings that failed.
    pub n_failed: usize,
    /// All of the shard.
    pub n_scans: usize,
    /// The first stage that was left to the run that gathers; none where all stages work by recording.
    pub stopped_before: Option<&'static str>,
}

impl Shard {
    /// The recordings of task `task` of a work list.
    ///
    /// # Errors
    /// Names the list where it is of another plan, names a recording that the plan does not have, or
    /// has no such task.
    pub fn of_list(plan: &Plan, list: &WorkList, task: usize) -> Result<Self> {
        let scans = list.scans_of(plan, task)?;
        Ok(Self { name: task.to_string(), scans, folder: list.digest()[..SHORT].to_owned() })
    }

    /// The recordings of these people, of all where nobody is named; `name` is that of no other choice.
    pub(crate) fn of_people(plan: &Plan, people: &[String], name: &str) -> Self {
        let is_wanted = |subject: &str| people.is_empty() || people.iter().any(|it| it == subject);
        let scans = plan.scans().into_iter().enumerate().filter(|(_, it)| is_wanted(&it.subject));
        let scans = scans.map(|(idx, _)| idx).collect();
        Self { name: name.to_owned(), scans, folder: "participants".to_owned() }
    }

    /// Its recordings, by their place in the plan.
    pub(crate) fn scans(&self) -> &[usize] {
        &self.scans
    }

    /// A name that no other shard of the pipeline has, for files that only this one writes.
    pub fn file_name(pipeline: &str, task: usize) -> String {
        format!("{pipeline}.task-{task}")
    }

    fn table(&self, plan: &Plan) -> PathBuf {
        outcomes::folder(plan).join(&self.folder).join(format!("{}.tsv", self.name))
    }

    /// What the task did, line by line.
    fn journal(&self, plan: &Plan) -> PathBuf {
        self.table(plan).with_extension("jsonl")
    }
}

/// The stages that a task can do.
pub(crate) fn by_recording(
    plan: &Plan,
) -> impl Iterator<Item = (&'static str, Box<dyn Preparation + '_>)> {
    let stages = plan.spec().stages().iter();
    stages.map_while(|stage| {
        Some((stage.name(), stage.preparation().filter(|it| it.is_by_recording())?))
    })
}

/// Refuses a pipeline whose first stage must see every recording.
pub(crate) fn check_divisible(plan: &Plan) -> Result<()> {
    if by_recording(plan).next().is_some() {
        return Ok(());
    }
    Err(Error::Indivisible { stage: plan.spec().stages().first().map_or("", Stage::name) })
}

/// Takes the recordings of a shard through the stages that work recording by recording. A shard that was
/// stopped goes on where it was.
pub fn run_shard(
    plan: &Plan,
    shard: &Shard,
    execution: Execution,
    observer: &mut dyn Observer<Event>,
    stop: &AtomicBool,
) -> Result<ShardOutcome> {
    prepare_shard(plan, shard, execution, observer, stop, |_, _| Ok(()))
}

/// The same, and then `publish` of what was prepared, before its lock is given back.
pub(crate) fn prepare_shard(
    plan: &Plan,
    shard: &Shard,
    execution: Execution,
    observer: &mut dyn Observer<Event>,
    stop: &AtomicBool,
    publish: impl FnOnce(&Media<'_>, &mut Control<'_>) -> Result<()>,
) -> Result<ShardOutcome> {
    check_divisible(plan)?;
    let mut watch = Watch::new(observer);
    let watched = watch.watched();
    let mut control = Control::new(&mut watch, stop).executing(execution);
    let lock = wait_for(plan, shard, &mut control)?;
    let mut control = control.holding(lock.lost());
    let (journal, name) = (shard.journal(plan), &shard.name);
    watched.write(Scribe::begin_task(plan, lock.path(), &journal, name, &shard.scans)?);
    let outcome = work_on(plan, shard, &mut control, publish);
    watched.end(journal::Ended::of(&outcome));
    outcome
}

/// Takes the recordings through the stages, with the lock of the task held.
fn work_on(
    plan: &Plan,
    shard: &Shard,
    control: &mut Control<'_>,
    publish: impl FnOnce(&Media<'_>, &mut Control<'_>) -> Result<()>,
) -> Result<ShardOutcome> {
    // no stage before the first that sees all knows of seeds and splits
    let mut media = Media::part(plan, &plan.runs[0], &shard.scans);
    let scratch = tempfile::tempdir();
    let scratch = scratch.map_err(files::at("make a folder in", &std::env::temp_dir()))?;
    let n = plan.spec().stages().len();
    let (mut ended, mut n_done, mut last) = (Ended::default(), 0, "");
    for (idx, (stage, work)) in by_recording(plan).enumerate() {
        if shard.scans.iter().all(|idx| media.failures.contains_key(idx)) {
            break;
        }
        control.checkpoint()?;
        control.tell(Event::StageStarted { stage, idx, n });
        let (begun, dir) = (Instant::now(), scratch.path().join(stage));
        files::make_dir(&dir)?;
        match work.compute(&media, &dir, control) {
            // a run of the whole cohort would end here; a task has its own few recordings only
            Err(Error::Engine(engine::Error::OutOfReach { reason, .. })) => {
                let there = shard.scans.iter().filter(|idx| !media.failures.contains_key(idx));
                ended.fail_all(there.copied(), stage, &reason);
                break;
            }
            computed => computed.map_err(|source| of_stage(stage, source))?,
        }
        let failures = read_failures(&dir)?;
        ended.fail(failures.into_iter().map(|it| (it, stage)));
        work.load(&mut media, &dir).map_err(|source| of_stage(stage, source))?;
        let unwanted = work.unwanted(&media).map_err(|source| of_stage(stage, source))?;
        thresholds::leave_out(&mut media, stage, unwanted, control)?;
        plan.loaded.known().save()?;
        let seconds = begun.elapsed().as_secs_f64();
        control.tell(Event::StageFinished { stage, seconds, peak_memory_mb: None });
        (n_done, last) = (idx + 1, stage);
    }
    ended.record_in(&mut media);
    publish(&media, control)?;
    ended.write(plan, &shard.scans, last, &shard.table(plan))?;
    let rest = plan.spec().stages().get(n_done).map(Stage::name);
    let n_failed = ended.n_failed();
    Ok(ShardOutcome { n_failed, n_scans: shard.scans.len(), stopped_before: rest })
}

fn of_stage(stage: &'static str, source: Error) -> Error {
    if source.is_interrupted() {
        return engine::Error::Interrupted.into();
    }
    Error::Stage { stage, source: Box::new(source) }
}

/// The lock of a task; where one that was killed held it on another machine, until that counts as gone.
fn wait_for(plan: &Plan, shard: &Shard, control: &mut Control<'_>) -> Result<Lock> {
    const LOOK: Duration = Duration::from_millis(500);
    let name = format!("{}.task-{}-{}", plan.spec().name, shard.folder, shard.name);
    let path = Store::new(&plan.cache_dir).lock(&name);
    let begun = Instant::now();
    let mut is_told = false;
    loop {
        match Lock::take(&path, &shard.table(plan)) {
            Err(engine::Error::Locked { holder, .. }) if begun.elapsed() < HELD => {
                if !is_told {
                    control.tell(engine::Event::Waiting { stage: "task", holder });
                }
                is_told = true;
                control.wait(LOOK)?;
            }
            other => return Ok(other?),
        }
    }
}
