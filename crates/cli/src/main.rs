//! The command line of neuroflamingo: arguments, progress, exit codes.
mod args;
mod commands;
mod print;
mod progress;

use std::process::ExitCode;

use args::Args;
use clap::Parser as _;

fn main() -> ExitCode {
    let args = Args::parse();
    print::logs(args.verbose);
    match commands::run(args.command) {
        Ok(done) => done.into(),
        Err(error) => {
            print::error(&error);
            commands::Done::of(&error).into()
        }
    }
}
