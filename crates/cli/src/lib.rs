//! The command line of neuroflamingo: arguments, progress, exit codes.
mod args;
mod commands;
mod gpu;
mod print;
mod progress;
mod words;

use std::process::ExitCode;

use args::{Args, BidsAppArgs, is_bids_call};
use clap::Parser as _;
use commands::Done;

/// What was typed.
enum Typed {
    BidsApp(Box<BidsAppArgs>),
    Command(Box<Args>),
}

/// Does what was typed; the same whether CUDA is linked or not.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let typed = if is_bids_call(&words[1..]) {
        Typed::BidsApp(Box::new(BidsAppArgs::parse_from(words)))
    } else {
        Typed::Command(Box::new(Args::parse_from(words)))
    };
    let verbose = match &typed {
        Typed::BidsApp(args) => args.verbose,
        Typed::Command(args) => args.verbose,
    };
    print::logs(verbose);
    pipeline::limit_threads();
    commands::survive_limits();
    match pipeline::instructions() {
        Ok(name) => tracing::info!(instructions = name, "CPU"),
        Err(error) => {
            print::error(&anyhow::Error::msg(error));
            return Done::Nothing.into();
        }
    }
    let ended = match typed {
        Typed::BidsApp(args) => commands::bids_app(&args),
        Typed::Command(args) => commands::run(args.command, verbose > 0),
    };
    match ended {
        Ok(done) => done.into(),
        Err(error) => {
            let done = Done::of(&error);
            // who asked for a stop knows that it is no error
            if done == Done::Stopped {
                print::note(&error.to_string());
            } else {
                print::error(&error);
            }
            done.into()
        }
    }
}
