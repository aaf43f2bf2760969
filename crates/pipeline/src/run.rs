//! The loop over repetitions and stages.
use std::{path::PathBuf, sync::atomic::AtomicBool, time::Instant};

use serde_json::json;

use crate::{
    Error, Result,
    cache::{Cache, Key},
    event::{Control, Event, Observer},
    files,
    plan::{Plan, RunPlan},
    publish,
    record::{StageRecord, Started},
    stage::{Evaluation, Stage, work::read_failures},
    state::{Failure, State},
    summary,
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
    let mut control = Control::new(observer, stop);
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

fn run_one(plan: &Plan, run: &RunPlan, control: &mut Control<'_>) -> Result<Finished> {
    let started = Started::now();
    let (state, records) = run_stages(plan, run, control)?;
    publish::publish(&state, &started, records)?;
    if let Some(text) = state.parcels.as_ref().and_then(crate::stage::coverage::sentence) {
        control.tell(Event::Note { stage: "parcellate", text });
    }
    control.tell(Event::Published { run_dir: plan.dir_of(run) });
    Ok(Finished { evaluation: state.evaluation, n_failed: state.failures.len() })
}

/// What the stages of one run give, each computed or taken from where it is kept.
pub(crate) fn run_stages<'a>(
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
                Error::Interrupted => Error::Interrupted,
                source => Error::Stage { stage: stage.name(), source: Box::new(source) },
            })?;
        let seconds = begun.elapsed().as_secs_f64();
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
        let passing = |failures: Vec<Failure>| failures.iter().any(|failure| failure.passing);
        let is_complete = !read_failures(&dir).is_ok_and(passing);
        if is_complete && work.load(state, &dir).is_ok() {
            control.tell(Event::StageCached { stage: name });
            return Ok(true);
        }
        files::remove_dir(&dir)?;
    }
    control.tell(Event::StageStarted { stage: name, idx, n });
    state.keep_dir = cache.state_dir(name, key);
    cache.make(name, key, control, |dir, control| work.compute(state, dir, control))?;
    work.load(state, &dir)?;
    Ok(false)
}
