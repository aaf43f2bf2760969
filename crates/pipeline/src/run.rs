//! The loop over repetitions.
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use engine::{Execution, Lock, Observer, Store};

use crate::{
    Error, Result,
    event::{Control, Event},
    journal::{Ended, Scribe},
    phases::{self, AskMetrics, Evaluation, FewShotMetrics, Results},
    plan::{Plan, RunPlan},
    publish,
    record::{self, Started},
    runner::Runner,
    summary,
    watch::{Watch, Watched},
};

/// Lets work take as many threads as SLURM gives a task, where `RAYON_NUM_THREADS` does not say how
/// many; without both as many as there are cores, within the limits of the control group. To be called
/// before anything else works.
pub fn limit_threads() {
    let said = |name| std::env::var(name).ok()?.parse().ok().filter(|n: &usize| *n > 0);
    if said("RAYON_NUM_THREADS").is_some() {
        return;
    }
    if let Some(n) = said("SLURM_CPUS_PER_TASK") {
        let most = std::thread::available_parallelism().map_or(n, usize::from);
        // an error says that threads are there already
        let _ = rayon::ThreadPoolBuilder::new().num_threads(n.min(most)).build_global();
    }
}

/// What a finished run has to say.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Where everything is.
    pub run_dir: PathBuf,
    /// Scans or pictures that were left out.
    pub n_failed: usize,
    /// The same by the kind of failure, as `status.tsv` names it.
    pub failed: BTreeMap<String, usize>,
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
    pub(crate) few_shot: Option<FewShotMetrics>,
    pub(crate) asked: Option<AskMetrics>,
    /// Scans or pictures that failed, by the kind of failure.
    pub(crate) failed: BTreeMap<String, usize>,
}

/// Runs everything; an interrupted run goes on where it was when started again.
pub fn run(
    plan: &Plan,
    execution: Execution,
    observer: &mut dyn Observer<Event>,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let mut watch = Watch::new(observer);
    let watched = watch.watched();
    let control = Control::new(&mut watch, stop).executing(execution);
    let lock = hold(plan, &plan.spec().name)?;
    engine::leftovers(&plan.run_dir, lock.taken)?;
    let mut control = control.holding(lock.lost());
    watched.write(Scribe::begin(plan, lock.path())?);
    let outcome = run_all(plan, &mut control, &watched);
    watched.end(Ended::of(&outcome));
    outcome
}

fn run_all(plan: &Plan, control: &mut Control<'_>, watched: &Watched) -> Result<Outcome> {
    plan.loaded.known().gather()?;
    plan.loaded.known().save()?;
    let n = plan.runs.len();
    let mut finished = Vec::with_capacity(n);
    for (idx, run) in plan.runs.iter().enumerate() {
        if let Some(name) = run.label.clone() {
            control.tell(Event::Repetition { name, idx, n });
        }
        finished.push(run_one(plan, run, control, watched)?);
    }
    summary::conclude(plan, finished, control)
}

/// Takes the lock `name`, and removes what killed runs left in the cache unless others work there.
pub(crate) fn hold(plan: &Plan, name: &str) -> Result<Lock> {
    let lock = Lock::take(&Store::new(&plan.cache_dir).lock(name), &plan.run_dir)?;
    if lock.is_alone()? {
        engine::leftovers(&plan.cache_dir, lock.taken)?;
    }
    Ok(lock)
}

fn run_one(
    plan: &Plan,
    run: &RunPlan,
    control: &mut Control<'_>,
    watched: &Watched,
) -> Result<Finished> {
    let started = Started::now();
    let results = match run_stages(plan, run, control) {
        // each recording has its reason, though nothing else is there to publish
        Err(Error::NoneGood { stage, reasons, status }) => {
            files::write_atomic(&plan.dir_of(run).join("status.tsv"), status.as_bytes())?;
            return Err(Error::NoneGood { stage, reasons, status });
        }
        // those that failed have theirs, the others are not done
        Err(error) if !error.is_interrupted() && !error.is_lock_lost() => {
            let ended = error.stage().unwrap_or("n/a");
            if let Some(status) = record::unfinished_status(plan, run, watched.failed(), ended) {
                files::write_atomic(&plan.dir_of(run).join("status.tsv"), status.as_bytes())?;
            }
            return Err(error);
        }
        ran => ran?,
    };
    publish::publish(&results, &started)?;
    if let Some(text) = results.media.parcels.as_ref().and_then(crate::stage::coverage::sentence) {
        control.tell(Event::Note { stage: "parcellate", text });
    }
    control.tell(Event::Published { run_dir: plan.dir_of(run) });
    let failed = results.failed_by_kind();
    let few_shot = results.few_shot.map(|it| it.metrics);
    let asked = results.asked.map(|it| it.metrics);
    Ok(Finished { evaluation: results.evaluation, few_shot, asked, failed })
}

/// What the stages of one run give, each computed or taken from where it is kept. A stored file that
/// is not what was written is removed, and the stages that need it are done again.
pub(crate) fn run_stages<'a>(
    plan: &'a Plan,
    run: &'a RunPlan,
    control: &mut Control<'_>,
) -> Result<Results<'a>> {
    let mut removed = BTreeSet::new();
    loop {
        let error = match phases::run(Runner::new(plan, run, control)) {
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
        control.tell(engine::Event::Damaged { file: files::shown(&path), problem });
        files::remove_file(&path)?;
    }
}
