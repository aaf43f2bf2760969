//! A run in parts: tasks of a work list, and jobs of a cluster.
use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

#[derive(Debug, Group)]
pub(crate) struct ShardArgs {
    /// Do one task of this list alone, as `submit` writes it: its recordings go through the stages that
    /// work recording by recording. Nothing is published; the run without this option does the rest.
    #[arg(long, value_name = "FILE.tsv", requires = "task")]
    pub(crate) work_list: Option<PathBuf>,
    /// Which task of the work list, from 1.
    #[arg(long, value_name = "K", requires = "work_list")]
    pub(crate) task: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SubmitCommand {
    /// Submit a job array and a job that gathers to Slurm.
    #[command(after_help = "\
Examples:
  neuroflamingo submit slurm pipelines/encode-cohort.yaml --site site.yaml
  neuroflamingo submit slurm pipelines/encode-cohort.yaml --print
  neuroflamingo submit slurm pipelines/encode-cohort.yaml --site site.yaml --retry-failed

Script and work list lie in runs/NAME/slurm/N, one folder a submission. The tasks of the array
store what they make of their recordings, up to the first stage that must see all of them; the
job that gathers is the ordinary run. --print writes the same files and prints scripts and
commands instead of submitting: edit the scripts, then run the commands. docs/clusters.md has
the keys of site.yaml.")]
    Slurm(SlurmArgs),
}

#[derive(Debug, Group)]
pub(crate) struct SlurmArgs {
    /// A pipeline file, such as those in pipelines/.
    pub(crate) pipeline: PathBuf,
    /// Change one value: KEY.KEY=VALUE, as for `run`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Hash the labels of subjects under the salt in this file, as for `run`.
    #[arg(long, value_name = "SALT_FILE")]
    pub(crate) hash_ids: Option<PathBuf>,
    /// Settings of the cluster: account, partition, time, memory, cores.
    #[arg(long, value_name = "FILE.yaml")]
    pub(crate) site: Option<PathBuf>,
    /// Only recordings that failed for a reason that may have passed, or that no task has ended.
    #[arg(long)]
    pub(crate) retry_failed: bool,
    /// Write scripts and work list, and print scripts and commands instead of submitting.
    #[arg(long)]
    pub(crate) print: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, Group)]
pub(crate) struct SchemaArgs {
    /// The schema of a cluster's site file (`submit slurm --site`) instead of a pipeline's.
    #[arg(long)]
    pub(crate) site: bool,
}
