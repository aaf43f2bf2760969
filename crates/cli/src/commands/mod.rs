//! One function a command, and what each ends with.
mod bench;
mod bids_app;
mod cohort;
mod completions;
mod cuda;
mod encoder;
mod import;
mod inspect;
mod lora;
mod package;
mod pipeline;
mod serve;
mod status;
mod store;
mod submit;
mod text;

use std::{
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::Result;

pub(crate) use bids_app::run as bids_app;

use crate::args::{
    CohortCommand, Command, EncoderCommand, LoraCommand, ModelCommand, ScanCommand, StoreCommand,
    SubmitCommand,
};

/// How a command ended; the numbers are promised to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    All,
    Some,
    Nothing,
    Stopped,
}

impl From<Done> for ExitCode {
    fn from(done: Done) -> Self {
        Self::from(match done {
            Done::All => 0,
            Done::Some => 1,
            Done::Nothing => 2,
            Done::Stopped => 75,
        })
    }
}

impl Done {
    /// By how many of the units failed.
    pub(crate) fn of_units(n_failed: usize, n_units: usize) -> Self {
        match n_failed {
            0 => Self::All,
            failed if failed < n_units => Self::Some,
            _ => Self::Nothing,
        }
    }

    /// After an error nothing is complete, unless it only says that everything was saved, or that one
    /// scan failed.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let ours = error.downcast_ref::<::pipeline::Error>();
        if ours.is_some_and(::pipeline::Error::is_interrupted) {
            Self::Stopped
        } else if ours.is_some_and(::pipeline::Error::is_first_failure) {
            Self::Some
        } else {
            Self::Nothing
        }
    }
}

/// Lets a file that grows beyond the limit of the shell or the scheduler be an error in a sentence; the
/// system's own answer is to end the program without a word.
pub(crate) fn survive_limits() {
    let told = Arc::new(AtomicBool::new(false));
    // where nobody listens, the program ends as it would have
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, told);
}

pub(crate) fn run(command: Command, verbose: bool) -> Result<Done> {
    match command {
        Command::Run(args) => pipeline::run(&args, verbose),
        Command::Status(args) => status::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Submit(SubmitCommand::Slurm(args)) => submit::slurm(&args, verbose),
        Command::Check(args) => pipeline::check(&args, verbose),
        Command::Generate(args) => text::generate(&args),
        Command::Score(args) => text::score(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Schema(args) => inspect::schema(args),
        Command::Scan(ScanCommand::Inspect(args)) => inspect::scan(&args),
        Command::Cohort(CohortCommand::Scan(args)) => cohort::scan(&args),
        Command::Model(ModelCommand::Inspect(args)) => inspect::model(&args),
        Command::Model(ModelCommand::Verify(args)) => inspect::verify(&args),
        Command::Model(ModelCommand::Import(args)) => import::import(&args),
        Command::Encoder(EncoderCommand::Check(args)) => encoder::check(&args, verbose),
        Command::Store(StoreCommand::List(args)) => store::list(&args),
        Command::Store(StoreCommand::Prune(args)) => store::prune(&args),
        Command::Lora(LoraCommand::Merge(args)) => lora::merge(&args),
        Command::Lora(LoraCommand::Export(args)) => lora::export(&args),
        Command::Encoder(EncoderCommand::Stats(args)) => encoder::stats(&args),
    }
}
