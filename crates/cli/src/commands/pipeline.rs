//! `run` and `check`.
use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context as _, Result};
use pipeline::{
    DeviceName, Excluded, Execution, Loaded, Outcome, Plan, Repeated, Shard, ShardOutcome,
    WorkList, counted,
};
use serde_json::json;

use super::Done;
use crate::{
    args::{PipelineArgs, RunArgs},
    print,
    progress::Progress,
};

/// Subjects are named only where the user asks for more.
pub(super) fn name_excluded(excluded: &[Excluded], verbose: bool) {
    excluded.iter().filter(|_| verbose).for_each(|excluded| print::note(&excluded.to_string()));
}

/// The pipeline, and the run that it is to repeat.
pub(super) fn read(args: &PipelineArgs) -> Result<(Loaded, Option<Repeated>)> {
    read_on(args, None)
}

/// The same with models on another device than the file says.
fn read_on(args: &PipelineArgs, device: Option<DeviceName>) -> Result<(Loaded, Option<Repeated>)> {
    let (loaded, repeated) = match (&args.from, &args.pipeline) {
        (Some(record), _) => {
            let repeated = Repeated::read(record, &args.set)?;
            if let Some(version) = &repeated.other_version {
                let this = env!("CARGO_PKG_VERSION");
                print::note(&format!("warning: version {version} made that run, this is {this}"));
            }
            (repeated.loaded.clone(), Some(repeated))
        }
        (None, Some(pipeline)) => {
            let mut sets = args.set.clone();
            sets.extend(device.map(|device| format!("device={device}")));
            (Loaded::read(pipeline, &sets)?, None)
        }
        (None, None) => unreachable!("one of them is required"),
    };
    Ok((if args.verify { loaded.verifying() } else { loaded }, repeated))
}

pub(super) fn plan(
    args: &PipelineArgs,
    loaded: &Loaded,
    repeated: Option<&Repeated>,
    verbose: bool,
) -> Result<Plan> {
    let plan =
        Plan::new(loaded.clone()).inspect_err(|error| name_excluded(error.excluded(), verbose))?;
    let plan = hashed(plan.with_command(words()), args.hash_ids.as_deref())?;
    if let Some(repeated) = repeated {
        repeated.check(&plan)?;
    }
    Ok(match args.mem_mb {
        Some(mem_mb) => plan.with_mem_mb(mem_mb),
        None => plan,
    })
}

/// Says what is wrong and does not keep a run from its start.
pub(super) fn warn(plan: &Plan) {
    plan.warnings().iter().for_each(|warning| print::note(&format!("warning: {warning}")));
    if let Some(disk) = plan.disk.filter(pipeline::Disk::is_short) {
        print::note(&format!("warning: disk: {disk}"));
    }
}

/// The words of the command; what is no UTF-8 is replaced, as in the names that people are shown.
pub(super) fn words() -> impl Iterator<Item = String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned())
}

/// With hashed labels, where a salt is given.
pub(super) fn hashed(plan: Plan, salt: Option<&Path>) -> Result<Plan> {
    Ok(match salt {
        Some(salt) => plan.with_hashed_ids(salt)?,
        None => plan,
    })
}

pub(super) fn check(args: &PipelineArgs, verbose: bool) -> Result<Done> {
    let (loaded, repeated) = read(args)?;
    let plan = plan(args, &loaded, repeated.as_ref(), verbose)?;
    if args.json {
        print::json(&plan.to_json())?;
    } else {
        print::out(&plan.to_string())?;
    }
    name_excluded(plan.recordings().map_or(&[], |it| it.excluded()), verbose);
    Ok(Done::All)
}

pub(super) fn run(args: &RunArgs, verbose: bool) -> Result<Done> {
    let RunArgs { pipeline: args, device, jobs, stop_on_first_failure, shard } = args;
    let execution = Execution { jobs: *jobs, stop_on_first_failure: *stop_on_first_failure };
    if let Some((list, task)) = shard.work_list.as_deref().zip(shard.task) {
        return run_task(args, *device, execution, (list, task), verbose);
    }
    let (loaded, repeated) = read_on(args, *device)?;
    super::cuda::go_on_with(loaded.spec.device)?;
    let plan = match plan(args, &loaded, repeated.as_ref(), verbose) {
        Ok(plan) => plan,
        Err(error) => {
            // what is left out is known before labels are hashed
            if args.hash_ids.is_none()
                && let Some(ours) = error.downcast_ref()
                && let Some(path) = pipeline::write_left_out(&loaded, ours)?
            {
                print::note(&format!("each recording has its reason in {}", path.display()));
            }
            return Err(error);
        }
    };
    warn(&plan);
    let stop = stop_on_signals()?;
    let mut progress = Progress::new(verbose);
    let outcome = pipeline::run(&plan, execution, &mut progress, &stop);
    progress.done();
    let outcome = outcome?;
    show_outcome(args.json, &outcome)?;
    Ok(Done::of_units(outcome.n_failed, outcome.n_units))
}

/// One task of a work list.
fn run_task(
    args: &PipelineArgs,
    device: Option<DeviceName>,
    execution: Execution,
    (list, task): (&Path, usize),
    verbose: bool,
) -> Result<Done> {
    let (loaded, repeated) = read_on(args, device)?;
    super::cuda::go_on_with(loaded.spec.device)?;
    let name = Shard::file_name(&loaded.spec.name, task);
    let plan = plan(args, &loaded.for_task(&name), repeated.as_ref(), verbose)?;
    let shard = Shard::of_list(&plan, &WorkList::read(list)?, task)?;
    run_shard(args, &plan, &shard, execution, verbose)
}

pub(super) fn run_shard(
    args: &PipelineArgs,
    plan: &Plan,
    shard: &Shard,
    execution: Execution,
    verbose: bool,
) -> Result<Done> {
    let stop = stop_on_signals()?;
    let mut progress = Progress::new(verbose);
    let outcome = pipeline::run_shard(plan, shard, execution, &mut progress, &stop);
    progress.done();
    let ShardOutcome { n_failed, n_scans, stopped_before } = outcome?;
    let recordings = counted(n_scans, "recording");
    let rest = stopped_before.map_or_else(String::new, |stage| {
        format!("; `{stage}` and what follows is left to the run that gathers")
    });
    if n_failed > 0 {
        print::note(&format!("{n_failed} of {recordings} failed{rest}"));
    } else {
        print::note(&format!("{recordings} done{rest}"));
    }
    if args.json {
        let left = stopped_before;
        print::json(&json!({ "n_failed": n_failed, "n_recordings": n_scans, "left": left }))?;
    }
    Ok(if n_failed == 0 { Done::All } else { Done::Some })
}

pub(super) fn show_outcome(as_json: bool, outcome: &Outcome) -> Result<()> {
    let Outcome { run_dir, n_failed, failed, n_units, unit, table, verdict, metrics } = outcome;
    if *n_failed > 0 {
        let rest = if n_failed < n_units { ", the rest is complete" } else { "" };
        let units = counted(*n_units, unit);
        print::note(&format!("{n_failed} of {units} failed{rest}; reasons are in status.tsv"));
        let mut kinds: Vec<(&String, &usize)> = failed.iter().collect();
        kinds.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        for (kind, n) in kinds {
            print::note(&format!("{n:>7}  {kind}"));
        }
    }
    print::note(&format!("run directory: {}", run_dir.display()));
    if as_json {
        return print::json(&json!({
            "run_dir": run_dir,
            "n_failed": n_failed,
            "failed": failed,
            format!("n_{unit}s"): n_units,
            "verdict": verdict,
            "metrics": metrics,
        }));
    }
    // both stand in the run directory too: the run is complete whether they can be shown or not
    let table = table.as_ref().map(|table| table.trim_end().to_owned());
    let shown = table.into_iter().chain(verdict.as_ref().map(|verdict| format!("\n{verdict}")));
    if let Some(error) = shown.map(|text| print::out(&text)).find_map(Result::err) {
        print::note(&format!("{error:#}"));
    }
    Ok(())
}

/// The first signal asks to save and stop, a second one ends the program at once; SIGUSR1, which
/// schedulers send some time before they end a job, never does.
pub(super) fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    const KILLED: i32 = 130;
    let (stop, again) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, stop.clone())
        .context("cannot listen to signals")?;
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, KILLED, again.clone())
            .and_then(|_| signal_hook::flag::register(signal, again.clone()))
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .context("cannot listen to signals")?;
    }
    Ok(stop)
}
