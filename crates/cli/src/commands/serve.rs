//! `serve`.
use std::{path::Path, thread};

use anyhow::{Context as _, Result};
use pipeline::RunState;
use serve::{Server, State};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use super::Done;
use crate::{args::ServeArgs, print, words::in_words};

pub(super) fn run(args: &ServeArgs) -> Result<Done> {
    let notes = pipeline::browsable(&args.run)?;
    let dir = args.run.clone();
    let server = Server::bind(&args.run, args.port.unwrap_or(0), move || look(&dir))?;
    let stopper = server.stopper();
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot wait for Ctrl-C")?;
    thread::spawn(move || signals.forever().for_each(|_| stopper.stop()));
    for note in notes {
        print::note(&format!("note: {note}"));
    }
    print::out(&server.address())?;
    print::note("Ctrl-C ends it");
    server.run()?;
    Ok(Done::All)
}

/// How the run in `dir` stands, in the words of `status`.
fn look(dir: &Path) -> State {
    match pipeline::status(dir) {
        Ok(found) => State {
            is_running: found.state == RunState::Running,
            words: in_words(&found),
            since: found.since,
        },
        Err(error) => State { words: error.to_string(), ..State::default() },
    }
}
