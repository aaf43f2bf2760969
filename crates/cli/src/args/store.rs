//! Arguments of `store`.
use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Show what the cache of an outputs folder holds: results, bytes and last use by stage.
    #[command(after_help = "\
Example:
  neuroflamingo store list runs")]
    List(StoreArgs),
    /// Remove stored results that no record.json of the outputs folder refers to.
    #[command(after_help = "\
Examples:
  neuroflamingo store prune runs --dry-run
  neuroflamingo store prune runs

Nothing is removed while a run works in the folder, nor where a run was stopped or tasks of one
are not gathered, unless --unfinished gives up what was done so far.")]
    Prune(PruneArgs),
}

#[derive(Debug, Group)]
pub(crate) struct StoreArgs {
    /// The folder that pipelines write into: `outputs` of a pipeline file.
    pub(crate) outputs: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Remove nothing, and say what would be removed.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also remove the unfinished work of stopped runs.
    #[arg(long)]
    pub(crate) unfinished: bool,
}
