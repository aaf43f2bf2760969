//! `completions`.
use anyhow::Result;
use clap::CommandFactory as _;

use super::Done;
use crate::{
    args::{Args, CompletionsArgs},
    print,
};

pub(super) fn run(args: &CompletionsArgs) -> Result<Done> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "neuroflamingo", &mut script);
    print::out(String::from_utf8(script)?.trim_end())?;
    Ok(Done::All)
}
