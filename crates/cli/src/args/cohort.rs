//! What `cohort` is asked.
use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum CohortCommand {
    /// Propose the section `cohort` of a pipeline for a folder, by names and headers alone.
    #[command(after_help = "\
Examples:
  neuroflamingo cohort scan derivatives/fmriprep > cohort.yaml
  neuroflamingo cohort scan ukb_timeseries --t-r 0.735
  neuroflamingo cohort scan derivatives/xcp_d --json

Of all kinds of files (task, space, atlas, description, format, repetition time) the one with
the most recordings is proposed; the others follow as comments. stderr says what is left out,
and why. Folders of fMRIPrep, XCP-D, HALFpipe, C-PAC and HCP are known, and files that lie by
any pattern; HDF5 files of many subjects too. No link out of the folder is followed.")]
    Scan(CohortScanArgs),
}

#[derive(Debug, Group)]
pub(crate) struct CohortScanArgs {
    /// The folder.
    pub(crate) dir: PathBuf,
    /// Repetition time in seconds, for files that do not state it.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) t_r: Option<f64>,
    /// Print JSON instead of YAML.
    #[arg(long)]
    pub(crate) json: bool,
}
