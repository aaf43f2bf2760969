//! `serve`.
use std::path::PathBuf;

use clap::Args as Group;

#[derive(Debug, Group)]
pub(crate) struct ServeArgs {
    /// The folder of a run.
    pub(crate) run: PathBuf,
    /// The port of 127.0.0.1 to listen on. Default: any that is free.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
}
