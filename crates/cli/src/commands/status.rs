//! `status`.
use std::{thread, time::Duration};

use anyhow::Result;
use pipeline::RunState;

use super::Done;
use crate::{args::StatusArgs, print, words::in_words};

/// How often a run is looked at that is waited for.
const LOOK: Duration = Duration::from_secs(2);

pub(super) fn run(args: &StatusArgs) -> Result<Done> {
    let mut status = pipeline::status(&args.run)?;
    while args.wait && status.state == RunState::Running {
        thread::sleep(LOOK);
        status = pipeline::status(&args.run)?;
    }
    if args.json {
        print::json(&serde_json::to_value(&status)?)?;
    } else if args.tsv {
        print::out(status.table().trim_end())?;
    } else {
        print::out(&format!("{}\n{}", in_words(&status), status.table().trim_end()))?;
    }
    Ok(match status.state {
        RunState::Finished if status.failed.is_empty() => Done::All,
        RunState::Finished => Done::Some,
        RunState::Failed => Done::Nothing,
        RunState::Running | RunState::Stopped => Done::Stopped,
    })
}
