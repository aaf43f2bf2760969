//! The loop over repetitions and stages.
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Instant,
};

use serde_json::json;

use crate::{
    Error, Result,
    cache::{Cache, Key},
    digests,
    event::{Control, Event, Observer},
    lock::Lock,
    plan::{Plan, RunPlan},
    publish,
    record::{StageRecord, Started},
    stage::{Evaluation, Stage, work::read_failures},
    state::{Failure, State},
    summary, sweep, thresholds,
};

/// What a finished run has to say.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Where everything is.
    pub run_dir: PathBuf,
    /// Scans or pictures that were left out.
    pub n_failed: usize,
    /// All of them.
    pub n_units: usize,
    /// What one of them is called.
    pub unit: &'static str,
    /// The table of scores, where something was evaluated.
    pub table: Option<String>,
    /// The one line.
    pub verdict: Option<String>,
    /// `metrics.json`, where something was evaluated.
    pub metrics: Option<serde_json::Value>,
}

/// One repetition, done.
pub(crate) struct Finished {
    pub(crate) evaluation: Option<Evaluation>,
    pub(crate) n_failed: usize,
}

/// Runs everything; an interrupted run goes on where it was when started again.
pub fn run(plan: &Plan, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome> {
    let control = Control::new(observer, stop);
    let lock = hold(plan, &plan.spec().name)?;
    sweep::leftovers(&plan.run_dir, lock.taken)?;
    let mut control = control.holding(lock.lost());
    let n = plan.runs.len();
    let mut finished = Vec::with_capacity(n);
    for (idx, run) in plan.runs.iter().enumerate() {
        if let Some(name) = run.label.clone() {
            control.tell(Event::Repetition { name, idx, n });
        }
        finished.push(run_one(plan, run, &mut control)?);
    }
    summary::conclude(plan, finished, &mut control)
}

/// Takes the lock `name`, and removes what killed runs left in the cache unless others work there.
pub(crate) fn hold(plan: &Plan, name: &str) -> Result<Lock> {
    let lock = Lock::take(&Cache::new(&plan.cache_dir).lock(name), &plan.run_dir)?;
    if lock.is_alone()? {
        sweep::leftovers(&plan.cache_dir, lock.taken)?;
    }
    Ok(lock)
}

fn run_one(plan: &Plan, run: &RunPlan, control: &mut Control<'_>) -> Result<Finished> {
    let started = Started::now();
    let (state, records) = match run_stages(plan, run, control) {
        // each recording has its reason, though nothing else is there to publish
        Err(Error::NoneGood { stage, reasons, status }) => {
            files::write_atomic(&plan.dir_of(run).join("status.tsv"), status.as_bytes())?;
            return Err(Error::NoneGood { stage, reasons, status });
        }
        ran => ran?,
    };
    publish::publish(&state, &started, records)?;
    if let Some(text) = state.parcels.as_ref().and_then(crate::stage::coverage::sentence) {
        control.tell(Event::Note { stage: "parcellate", text });
    }
    control.tell(Event::Published { run_dir: plan.dir_of(run) });
    let n_failed = state.n_failed();
    Ok(Finished { evaluation: state.evaluation, n_failed })
}

/// What the stages of one run give, each computed or taken from where it is kept. A stored file that
/// is not what was written is removed, and the stages that need it are done again.
pub(crate) fn run_stages<'a>(
    plan: &'a Plan,
    run: &'a RunPlan,
    control: &mut Control<'_>,
) -> Result<(State<'a>, Vec<StageRecord>)> {
    let mut removed = BTreeSet::new();
    loop {
        let error = match each_stage(plan, run, control) {
            Err(error) => error,
            done => return done,
        };
        let Some(path) = error.damaged_file().map(Path::to_owned) else { return Err(error) };
        // a disk that damages a file twice in one run is not to be trusted with a third
        if !path.starts_with(&plan.cache_dir) || !removed.insert(path.clone()) {
            return Err(error);
        }
        let problem = match &error {
            Error::Stage { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        let problem = problem.replace(&format!("{}: ", path.display()), "");
        control.tell(Event::Damaged { file: files::shown(&path), problem });
        files::remove_file(&path)?;
    }
}

fn each_stage<'a>(
    plan: &'a Plan,
    run: &'a RunPlan,
    control: &mut Control<'_>,
) -> Result<(State<'a>, Vec<StageRecord>)> {
    let cache = Cache::new(&plan.cache_dir);
    let mut state = State::new(plan, run);
    let stages = plan.spec().stages();
    let mut records = Vec::with_capacity(stages.len());
    let mut upstream: Option<Key> = None;
    for (idx, stage) in stages.iter().enumerate() {
        control.checkpoint()?;
        let left_out: Vec<&usize> = state.failures.keys().collect();
        let inputs = json!([stage.work().inputs(&state), left_out]);
        let key = Key::new(stage, &inputs, upstream.as_ref());
        tracing::info!(stage = stage.name(), key = key.as_str(), "resolved");
        let settings = || serde_json::to_string(stage).expect("settings are plain values");
        tracing::debug!(settings = %settings(), "with");
        let begun = Instant::now();
        let stored = run_stage(stage, &key, (idx, stages.len()), &cache, &mut state, control)
            .map_err(|source| match source {
                source if source.is_interrupted() => Error::Interrupted,
                source => Error::Stage { stage: stage.name(), source: Box::new(source) },
            })?;
        let seconds = begun.elapsed().as_secs_f64();
        thresholds::leave_out(&mut state, stage.name(), control)?;
        if !stored {
            control.tell(Event::StageFinished { stage: stage.name(), seconds });
        }
        records.push(StageRecord::new(stage.name(), &key, stored, seconds));
        upstream = Some(key);
    }
    Ok((state, records))
}

/// Computes the stage unless its result is there; says whether it was.
fn run_stage(
    stage: &Stage,
    key: &Key,
    (idx, n): (usize, usize),
    cache: &Cache,
    state: &mut State<'_>,
    control: &mut Control<'_>,
) -> Result<bool> {
    let (name, work) = (stage.name(), stage.work());
    let dir = cache.dir(name, key);
    if dir.is_dir() {
        // a damaged result is made again; what it loads is taken only if all of it could be read
        match load(stage, state, &dir) {
            Ok(true) => {
                control.tell(Event::StageCached { stage: name });
                return Ok(true);
            }
            Ok(false) => {}
            Err(error) if error.is_of_the_system() => return Err(error),
            Err(error) => {
                let problem = files::one_line(&files::without_folders(&error.to_string()));
                control.tell(Event::Damaged { file: files::shown(&dir), problem });
            }
        }
        files::remove_dir(&dir)?;
    }
    control.tell(Event::StageStarted { stage: name, idx, n });
    state.keep_dir = cache.state_dir(name, key);
    cache.make(name, key, control, |dir, control| work.compute(state, dir, control))?;
    state.checked.extend(digests::check(&dir)?);
    work.load(state, &dir)?;
    Ok(false)
}

/// Takes a stored result whose every file is what was written; `false` where scans were left out for
/// reasons that may have passed.
fn load(stage: &Stage, state: &mut State<'_>, dir: &Path) -> Result<bool> {
    let checked = digests::check(dir)?;
    let transient = |failures: Vec<Failure>| failures.iter().any(|failure| failure.transient);
    if read_failures(dir).is_ok_and(transient) {
        return Ok(false);
    }
    stage.work().load(state, dir)?;
    state.checked.extend(checked);
    Ok(true)
}
