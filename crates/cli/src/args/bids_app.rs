//! The call that every BIDS-App understands.
use std::{
    ffi::OsString,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::{ArgAction, CommandFactory as _, Parser, ValueEnum};

use super::Args;

/// Runs a pipeline file over a BIDS dataset and writes BIDS derivatives.
#[derive(Debug, Parser)]
#[command(
    name = "neuroflamingo",
    version,
    about,
    after_help = "\
Examples:
  neuroflamingo fmriprep/ derivatives/nf participant --config pipeline.yaml --participant-label 01 02
  neuroflamingo fmriprep/ derivatives/nf group --config pipeline.yaml

`participant` does what can be done for each recording alone, so that participants may be divided among
machines; `group` does the rest over all of them. Both keep results in the work folder, and nothing is
computed twice. BIDS_DIR takes the place of cohort.bids.dir of the pipeline file, the work folder that of
outputs; labels may be given with or without sub-, ses- and task-.

Exit codes: 0 all done; 1 some recordings failed, the rest is complete; 2 nothing could start; 75 stopped
by a signal after saving, run the same command again to go on.

Research output, not for diagnosis."
)]
pub(crate) struct BidsAppArgs {
    /// The dataset: raw, or derivatives such as fMRIPrep's.
    pub(crate) bids_dir: PathBuf,
    /// The folder of the derivatives; made where it is absent.
    pub(crate) out_dir: PathBuf,
    /// What is done.
    #[arg(value_enum)]
    pub(crate) level: LevelName,
    /// The pipeline file; its cohort must be `bids`.
    #[arg(long, value_name = "PIPELINE", alias = "config-file")]
    pub(crate) config: PathBuf,
    /// Only these people; all unless given.
    #[arg(long, value_name = "LABEL", num_args = 1.., alias = "participant_label")]
    pub(crate) participant_label: Vec<String>,
    /// Only these visits; all unless given.
    #[arg(long, value_name = "LABEL", num_args = 1.., aliases = ["session_id", "session-label", "session_label"])]
    pub(crate) session_id: Vec<String>,
    /// Only these tasks; those of the pipeline file unless given.
    #[arg(short, long, value_name = "LABEL", num_args = 1.., alias = "task_id")]
    pub(crate) task_id: Vec<String>,
    /// Where results are kept for later calls; unless given, `.work` in the folder of the derivatives.
    #[arg(short, long, value_name = "DIR", alias = "work_dir")]
    pub(crate) work_dir: Option<PathBuf>,
    /// Change one value of the pipeline file: KEY.KEY=VALUE. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Recordings worked on at once; unless given, as many as there are cores.
    #[arg(long, value_name = "N", aliases = ["nprocs", "n-cpus", "n_cpus"])]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Megabytes (10⁶ bytes) that the recordings worked on at once may take together; unless given, half
    /// of the memory that is free.
    #[arg(long, value_name = "N", alias = "mem_mb", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) mem_mb: Option<u64>,
    /// End at the first recording that fails; what is finished by then is kept.
    #[arg(long, alias = "stop-on-first-crash")]
    pub(crate) stop_on_first_failure: bool,
    /// Read every scan and weight file again, also where nothing of it seems to have changed.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Accepted because wrappers of BIDS-Apps pass it: the dataset is never validated here.
    #[arg(long, alias = "skip_bids_validation")]
    pub(crate) skip_bids_validation: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print more to stderr; twice for debug output.
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The levels of a BIDS-App.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelName {
    /// What can be done for each participant alone.
    Participant,
    /// What needs all of them.
    Group,
}

/// Whether `words` are those of a BIDS-App and not of a command: the first is no command, and a level is
/// among them or the first is a folder.
pub(crate) fn is_bids_call(words: &[OsString]) -> bool {
    let is_verbose = |word: &&OsString| {
        let word = word.to_string_lossy();
        word == "--verbose" || (word.starts_with("-v") && word[1..].chars().all(|c| c == 'v'))
    };
    let Some(first) = words.iter().find(|word| !is_verbose(word)) else { return false };
    let text = first.to_string_lossy();
    let is_command = Args::command().get_subcommands().any(|it| it.get_name() == text);
    if is_command || text == "help" {
        return false;
    }
    let has_level = words.iter().any(|word| word == "participant" || word == "group");
    has_level || (!text.starts_with('-') && Path::new(first).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn arguments_do_not_contradict_each_other() {
        BidsAppArgs::command().debug_assert();
    }

    #[test]
    fn a_bids_app_is_told_from_commands() {
        for call in [
            "/nowhere/bids out participant --config p.yaml",
            "-v /nowhere/bids out group",
            "--participant-label 01 -- /nowhere/bids out participant",
            "/ out",
        ] {
            assert!(is_bids_call(&words(call)), "{call}");
        }
        for command in [
            "",
            "-v",
            "--help",
            "-V",
            "run p.yaml",
            "-vv run participant",
            "rnu p.yaml",
            "help group",
        ] {
            assert!(!is_bids_call(&words(command)), "{command}");
        }
    }

    #[test]
    fn labels_are_given_in_one_list_or_one_by_one() {
        let parse = |rest: &str| {
            let start = words("neuroflamingo bids out participant --config p.yaml");
            BidsAppArgs::try_parse_from(start.into_iter().chain(words(rest)))
        };
        for list in
            ["--participant-label 01 sub-02", "--participant_label 01 --participant-label sub-02"]
        {
            assert_eq!(parse(list).unwrap().participant_label, ["01", "sub-02"]);
        }
        let more = parse("-t rest -w /work --session_id 1 --nprocs 4 --mem_mb 8000").unwrap();
        assert_eq!((more.task_id, more.session_id), (vec!["rest".into()], vec!["1".into()]));
        assert!(parse("--participant-label").is_err());
        assert!(
            BidsAppArgs::try_parse_from(words("neuroflamingo bids out session --config p"))
                .is_err()
        );
    }
}
