//! The program as a BIDS-App.
use anyhow::Result;
use pipeline::{BidsApp, BidsCall, BidsLevel, Execution, ParticipantsOutcome, Plan, counted};
use serde_json::json;

use super::{
    Done,
    pipeline::{name_excluded, show_outcome, stop_on_signals, warn, words},
};
use crate::{
    args::{BidsAppArgs, LevelName},
    print,
    progress::Progress,
};

pub(crate) fn run(args: &BidsAppArgs) -> Result<Done> {
    let verbose = args.verbose > 0;
    let app = BidsApp::new(&BidsCall {
        bids_dir: args.bids_dir.clone(),
        out_dir: args.out_dir.clone(),
        work_dir: args.work_dir.clone(),
        participants: args.participant_label.clone(),
        sessions: args.session_id.clone(),
        tasks: args.task_id.clone(),
    })?;
    let level = match args.level {
        LevelName::Participant => BidsLevel::Participant,
        LevelName::Group => BidsLevel::Group,
    };
    let mut loaded = app.load(&args.config, &args.set, level)?;
    super::cuda::go_on_with(loaded.spec.device)?;
    if args.verify {
        loaded = loaded.verifying();
    }
    if level == BidsLevel::Participant {
        let name = format!("{}.participants-{}", loaded.spec.name, app.name());
        loaded = loaded.for_task(&name);
    }
    let mut plan =
        Plan::new(loaded).inspect_err(|error| name_excluded(error.excluded(), verbose))?;
    plan = plan.with_command(words());
    if let Some(mem_mb) = args.mem_mb {
        plan = plan.with_mem_mb(mem_mb);
    }
    warn(&plan);
    let execution =
        Execution { jobs: args.jobs, stop_on_first_failure: args.stop_on_first_failure };
    let stop = stop_on_signals()?;
    let mut progress = Progress::new(verbose);
    if level == BidsLevel::Participant {
        let outcome = app.participant(&plan, execution, &mut progress, &stop);
        progress.done();
        return show(args, &outcome?);
    }
    let outcome = app.group(&plan, execution, &mut progress, &stop);
    progress.done();
    let outcome = outcome?;
    show_outcome(args.json, &outcome)?;
    print::note(&format!("derivatives: {}", args.out_dir.display()));
    Ok(Done::of_units(outcome.n_failed, outcome.n_units))
}

fn show(args: &BidsAppArgs, outcome: &ParticipantsOutcome) -> Result<Done> {
    let ParticipantsOutcome { out_dir, n_failed, n_recordings, stopped_before } = outcome;
    let recordings = counted(*n_recordings, "recording");
    let rest = stopped_before.map_or_else(String::new, |stage| {
        format!("; `{stage}` and what follows is left to the level group")
    });
    if *n_failed > 0 {
        print::note(&format!("{n_failed} of {recordings} failed{rest}"));
    } else {
        print::note(&format!("{recordings} done{rest}"));
    }
    print::note(&format!("derivatives: {}", args.out_dir.display()));
    if args.json {
        print::json(&json!({
            "out_dir": out_dir,
            "n_failed": n_failed,
            "n_recordings": n_recordings,
            "left": stopped_before,
        }))?;
    }
    Ok(Done::of_units(*n_failed, *n_recordings))
}
