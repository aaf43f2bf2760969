//! The command line of neuroflamingo: arguments, progress, exit codes.
mod args;
mod commands;
mod print;
mod progress;

use std::process::ExitCode;

use args::Args;
use clap::Parser as _;
use commands::Done;

fn main() -> ExitCode {
    let args = Args::parse();
    print::logs(args.verbose);
    pipeline::limit_threads();
    match pipeline::instructions() {
        Ok(name) => tracing::info!(instructions = name, "CPU"),
        Err(error) => {
            print::error(&anyhow::Error::msg(error));
            return Done::Nothing.into();
        }
    }
    match commands::run(args.command, args.verbose > 0) {
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
