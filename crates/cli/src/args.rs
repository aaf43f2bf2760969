//! What can be typed, and the help that teaches it.
mod bids_app;
mod cohort;
mod encoder;
mod import;
mod lora;
mod serve;
mod store;
mod submit;
mod writing;

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{ArgAction, Args as Group, Parser, Subcommand};
use pipeline::{DeviceName, Precision};

pub(crate) use bids_app::{BidsAppArgs, LevelName, is_bids_call};
pub(crate) use cohort::{CohortCommand, CohortScanArgs};
pub(crate) use encoder::{EncoderCheckArgs, EncoderCommand, EncoderStatsArgs};
pub(crate) use import::{EncoderName, Feature, ImportArgs};
pub(crate) use lora::{ExportArgs, LoraCommand, MergeArgs};
pub(crate) use serve::ServeArgs;
pub(crate) use store::{PruneArgs, StoreArgs, StoreCommand};
pub(crate) use submit::{SchemaArgs, ShardArgs, SlurmArgs, SubmitCommand};
pub(crate) use writing::{PromptArgs, WritingArgs};

/// Turns brain scans into text, and measures whether the text depends on the scan.
#[derive(Debug, Parser)]
#[command(
    name = "neuroflamingo",
    version,
    about,
    arg_required_else_help = true,
    after_help = "\
Start here:
  neuroflamingo check pipelines/quickstart.yaml     what would be done, without reading a scan
  neuroflamingo run pipelines/quickstart.yaml       do it; ends with a table and one line
  neuroflamingo generate --model runs/quickstart/model \\
      --scan fixtures/haxby2001/run011/bold_1slice.nii.gz --window 3

As a BIDS-App, with --help for its options:
  neuroflamingo BIDS_DIR OUT_DIR participant --config PIPELINE --participant-label 01
  neuroflamingo BIDS_DIR OUT_DIR group --config PIPELINE

Exit codes: 0 all done; 1 some scans failed, the rest is complete; 2 nothing could start, or
nothing is left to go on with; 75 stopped by a signal after saving, run the same command again
to go on.

Research output, not for diagnosis."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print more to stderr; twice for debug output.
    // last of the general options, however many commands there are
    #[arg(short, long, action = ArgAction::Count, global = true, display_order = 900)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline file from scans to scores.
    #[command(after_help = "\
Examples:
  neuroflamingo run pipelines/quickstart.yaml
  neuroflamingo run pipelines/quickstart.yaml --set stages.finetune.steps=50 --set seed=2
  neuroflamingo run pipelines/quickstart.yaml --set outputs=/scratch/runs --json > metrics.json

Results are stored by what decides them: a second run does nothing twice, a changed parameter
recomputes its stage and those below, a stopped run goes on where it was.")]
    Run(RunArgs),
    /// Show the progress of a run, from the files of its folder; also of a run on another machine.
    #[command(after_help = "\
Examples:
  neuroflamingo status runs/encode-cohort
  neuroflamingo status runs/encode-cohort --wait && echo all done
  neuroflamingo status runs/encode-cohort --tsv > processing_status.tsv

The table has Nipoppy's columns and words, one row a visit: SUCCESS, FAIL, INCOMPLETE where the
run is not finished, UNAVAILABLE where a scan is missing or not wanted. Exit codes: 0 finished;
1 finished, some scans failed; 2 no run, or it ended with an error; 75 not finished.")]
    Status(StatusArgs),
    /// Show the pages of a run in a browser on this machine, and how it stands while it runs.
    #[command(after_help = "\
Examples:
  neuroflamingo serve runs/quickstart
  neuroflamingo serve runs/encode-cohort --port 8417

Prints one address; whoever has it may read the run, so do not pass it on. It is answered on this
machine alone, until Ctrl-C. From a cluster: choose a port, forward it with
  ssh -L 8417:127.0.0.1:8417 HOST
and open the printed address at home. docs/serve.md says more.")]
    Serve(ServeArgs),
    /// Run a pipeline file as jobs of a cluster.
    #[command(subcommand)]
    Submit(SubmitCommand),
    /// Check a pipeline file: files, headers, windows, splits and parameters, without reading a
    /// scan.
    #[command(after_help = "\
Example:
  neuroflamingo check pipelines/finetune.yaml --set cohort.pairs.table=/data/pairs.csv")]
    Check(PipelineArgs),
    /// Generate the report of a scan, or the text after images and words.
    #[command(after_help = "\
Examples:
  neuroflamingo generate --model runs/quickstart/model --scan bold.nii.gz --window 3
  neuroflamingo generate --model runs/quickstart/model --scan bold.nii.gz --onset 87.5 --json
  neuroflamingo generate --model runs/swap-encoders/model --scan bold.nii.gz
  neuroflamingo generate --model openflamingo-3b --image photo.jpg --num-beams 3
  neuroflamingo generate --model openflamingo-3b --image cats.jpg --image query.jpg \\
      --prompt '<image>Output:two cats<|endofchunk|><image>Output:' --temperature 0.7 --seed 1
  neuroflamingo generate --model openflamingo-3b --interleaved prompts.jsonl --json > texts.json
  neuroflamingo generate --model openflamingo-3b --prompt 'An fMRI scan measures'

--window counts from 1: the cohort table's windows where the model knows the scan by its digest,
else consecutive windows from the first frame. --onset is when the event began, in seconds from
the first frame; the model's own haemodynamic shift is added. A model behind a stage `encode`
sees a scan as a whole: --scan is enough, and the package holds the stages, the atlas and what
was fitted; with --onset it sees one window of its length that begins there. The report names
the frames that were shown. A text alone is written as it comes where stdout is a terminal;
several texts are written one a line, line breaks as \\n.")]
    Generate(GenerateArgs),
    /// Rank texts by their likelihood after a prompt.
    #[command(after_help = "\
Examples:
  neuroflamingo score --model openflamingo-3b --image meme.png \\
      --prompt '<image>Is it hateful? Answer:' --continuation yes --continuation no
  neuroflamingo score --model openflamingo-3b --interleaved prompts.jsonl \\
      --continuations classes.txt --json > scores.json
  neuroflamingo score --model runs/quickstart/model --scan bold.nii.gz --window 3 \\
      --continuation 'Findings: faces.' --continuation 'Findings: houses.'

A prompt is read once for all its continuations. They are ranked by the mean log-probability of a
token, so that long and short ones have the same chance, or by the sum with --sum. A continuation
follows the prompt as it is: where a space belongs between them, write it.")]
    Score(ScoreArgs),
    /// Benchmark models of real sizes on this machine.
    #[command(after_help = "\
Examples:
  neuroflamingo bench
  neuroflamingo bench --job llama1b_x4 --precision q8_0 --seconds 20
  neuroflamingo bench --peer bench.json

Weights are random. A job is a language model and how many of its blocks share a gate
(opt125m_x1, opt125m_x4, opt1b3_x4, llama1b_x4, llama1b_x1), CLIP ViT-L/14 (vit) or the resampler
(perceiver). --peer names the table of the script that times OpenFlamingo in PyTorch: run both on
a quiet machine, one after the other, with RAYON_NUM_THREADS its number of threads.")]
    Bench(BenchArgs),
    /// Print the completions of a shell.
    #[command(after_help = "\
Examples:
  neuroflamingo completions bash > ~/.local/share/bash-completion/completions/neuroflamingo
  neuroflamingo completions zsh > ~/.zfunc/_neuroflamingo
  neuroflamingo completions fish > ~/.config/fish/completions/neuroflamingo.fish")]
    Completions(CompletionsArgs),
    /// Print the JSON Schema of pipeline files, for editors.
    Schema(SchemaArgs),
    /// Inspect a scan.
    #[command(subcommand)]
    Scan(ScanCommand),
    /// Inspect a folder of derivatives.
    #[command(subcommand)]
    Cohort(CohortCommand),
    /// Inspect, verify and import model packages.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Check a brain encoder on your own scans.
    #[command(subcommand)]
    Encoder(EncoderCommand),
    /// List and prune stored results.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Read and write LoRA adapters of PEFT.
    #[command(subcommand)]
    Lora(LoraCommand),
}

#[derive(Debug, Group)]
pub(crate) struct PipelineArgs {
    /// A pipeline file, such as those in pipelines/.
    #[arg(required_unless_present = "from")]
    pub(crate) pipeline: Option<PathBuf>,
    /// Repeat the run of this record, by the config that lies beside it. It is refused where a table, scan or
    /// weight file is not the one that was read then; --set may name other outputs.
    #[arg(long, value_name = "RECORD.json", conflicts_with = "pipeline")]
    pub(crate) from: Option<PathBuf>,
    /// Change one value: KEY.KEY=VALUE; a stage is found by its name. May be repeated.
    /// Paths are relative to the pipeline file, as those inside it.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Memory for the scans processed at once, in megabytes (10⁶ bytes). Default: half of the free
    /// memory. A scan that needs more fails alone.
    #[arg(long, value_name = "N", alias = "mem_mb", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) mem_mb: Option<u64>,
    /// Read and hash every scan and weight file again. Otherwise a file with the same path, size,
    /// times and inode as in an earlier run counts as unchanged.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Give every subject a hashed label in all that the run writes into its folder, under the salt in this
    /// file (at least 16 bytes; keep it elsewhere). The same salt gives the same labels in every run.
    #[arg(long, value_name = "SALT_FILE")]
    pub(crate) hash_ids: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
    /// Where models work: cpu, cpu-composed (the CPU, by the operations that run on a GPU), cuda or cuda:NUMBER.
    /// Default: as the pipeline says, else cpu.
    #[arg(long, value_name = "DEVICE", conflicts_with = "from")]
    pub(crate) device: Option<DeviceName>,
    /// Scans processed at once. Default: the number of cores. Results do not depend on it.
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Stop at the first scan that fails; finished work is kept.
    #[arg(long)]
    pub(crate) stop_on_first_failure: bool,
    #[command(flatten)]
    pub(crate) shard: ShardArgs,
}

#[derive(Debug, Group)]
pub(crate) struct StatusArgs {
    /// The folder of a run.
    pub(crate) run: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the table alone.
    #[arg(long, conflicts_with = "json")]
    pub(crate) tsv: bool,
    /// Wait until the run has finished or stopped.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// A model and its input.
#[derive(Debug, Group)]
pub(crate) struct AskedArgs {
    /// A model package: the folder `model` of a run directory, or one that was imported.
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// A scan: a 4D NIfTI file, or any form that the stages of the model's pipeline read; the prompt is
    /// the one that the model was trained with.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present_any = ["image", "prompt", "interleaved"],
        conflicts_with_all = ["image", "prompt", "interleaved"]
    )]
    pub(crate) scan: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    #[command(flatten)]
    pub(crate) beside: BesideArgs,
    #[command(flatten)]
    pub(crate) prompts: PromptArgs,
    /// Precision of the weights in memory: stored (as in their files), f32, bf16, f16 or `q8_0`.
    #[arg(long, value_name = "PRECISION", default_value = "stored")]
    pub(crate) precision: Precision,
    /// Where the model works: cpu, cpu-composed (the CPU, by the operations that run on a GPU), cuda or cuda:NUMBER.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceName,
}

#[derive(Debug, Group)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) asked: AskedArgs,
    /// Print the whole record as JSON: text, probabilities, digests; for a file of prompts a list.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print a text as it is generated, even if stdout is not a terminal.
    #[arg(long, conflicts_with_all = ["scan", "interleaved", "json"])]
    pub(crate) stream: bool,
    #[command(flatten)]
    pub(crate) writing: WritingArgs,
}

#[derive(Debug, Group)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    pub(crate) asked: AskedArgs,
    /// A text to rank; may be repeated.
    #[arg(long, value_name = "TEXT", required_unless_present = "continuations")]
    pub(crate) continuation: Vec<String>,
    /// Texts to rank, one a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) continuations: Option<PathBuf>,
    /// Rank by the log-probability of the whole text instead of the mean of its tokens.
    #[arg(long)]
    pub(crate) sum: bool,
    /// Texts scored at once. Affects speed, not the scores.
    #[arg(long, value_name = "N", default_value = "32")]
    pub(crate) batch_size: NonZeroUsize,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
pub(crate) struct BenchArgs {
    /// What to measure; may be repeated.
    #[arg(long, value_name = "NAME", default_values_t = pipeline::bench::USUAL.map(str::to_owned))]
    pub(crate) job: Vec<String>,
    /// Precision of the matrices; may be repeated.
    #[arg(long, value_name = "PRECISION", default_values = ["f32", "bf16", "q8_0"])]
    pub(crate) precision: Vec<Precision>,
    /// Where the models work: cpu, cpu-composed, cuda or cuda:NUMBER.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: DeviceName,
    /// Approximate time of each measurement.
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    pub(crate) seconds: f64,
    /// Table of the peer's timings, for comparison.
    #[arg(long, value_name = "FILE")]
    pub(crate) peer: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
#[group(id = "place", required = false, multiple = false)]
pub(crate) struct PlaceArgs {
    /// Which window, from 1; models of whole scans need none.
    #[arg(long, value_name = "N", conflicts_with_all = ["image", "prompt", "interleaved"])]
    pub(crate) window: Option<usize>,
    /// Seconds from the scan's start.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["image", "prompt", "interleaved"])]
    pub(crate) onset: Option<f64>,
}

/// What the file of a scan does not state.
#[derive(Debug, Group)]
pub(crate) struct BesideArgs {
    /// The scan's table of confounds [default: the one that fMRIPrep wrote beside it, where the model's
    /// pipeline takes confounds out]
    #[arg(long, value_name = "FILE.tsv", requires = "scan")]
    pub(crate) confounds: Option<PathBuf>,
    /// Repetition time in seconds, for files that do not state it.
    #[arg(long, value_name = "SECONDS", requires = "scan")]
    pub(crate) t_r: Option<f64>,
    /// What is known of the person, as age=34, for a model whose prompt has a place for it; once for each. What
    /// is not given stands in the prompt as `not given`.
    #[arg(long, value_name = "COLUMN=VALUE", requires = "scan", value_parser = label)]
    pub(crate) given: Vec<(String, String)>,
    /// Table of numbers of the person, CSV, TSV or Parquet, for a model that reads some beside the scan: with one row, or
    /// with the row of a subject whom the model knows by this scan. They may be --given one by one instead; without any
    /// that medium is missing.
    #[arg(long, value_name = "FILE", requires = "scan")]
    pub(crate) omics: Option<PathBuf>,
}

/// A column and what it says.
fn label(text: &str) -> Result<(String, String), String> {
    let (column, value) = text.split_once('=').ok_or("expected COLUMN=VALUE, such as age=34")?;
    let (column, value) = (column.trim(), value.trim());
    if column.is_empty() || value.is_empty() {
        return Err("expected a column and a value, such as age=34".to_owned());
    }
    Ok((column.to_owned(), value.to_owned()))
}

/// Which completions.
#[derive(Debug, Group)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScanCommand {
    /// Show the header and the geometry of a file; private text is never shown.
    Inspect(FileArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Show the parts, tensors, gates and licences of a package.
    Inspect(FileArgs),
    /// Check that a package is complete: digests, shapes, finite values.
    Verify(FileArgs),
    /// Make a package of an OpenFlamingo checkpoint, its language model and its CLIP; or of the
    /// published weights of a brain encoder.
    #[command(after_help = import::HELP)]
    Import(Box<ImportArgs>),
}

#[derive(Debug, Group)]
pub(crate) struct FileArgs {
    /// The file or folder.
    pub(crate) path: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn arguments_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_window_or_an_onset_may_be_asked_for_and_not_both() {
        let parse = |rest: &[&str]| {
            let start = ["neuroflamingo", "generate", "--model", "m", "--scan", "s"];
            Args::try_parse_from(start.iter().chain(rest))
        };
        assert!(parse(&["--window", "3"]).is_ok());
        assert!(parse(&["--onset", "15"]).is_ok());
        assert!(parse(&["--confounds", "c.tsv", "--t-r", "2"]).is_ok());
        assert!(parse(&["--window", "3", "--onset", "15"]).is_err());
    }

    #[test]
    fn a_scan_or_a_prompt_is_asked_for_and_not_both() {
        let parse = |rest: &str| {
            let start = "neuroflamingo generate --model m".split(' ');
            Args::try_parse_from(start.chain(rest.split_whitespace())).is_ok()
        };
        for fine in ["--image a.png", "--prompt a", "--image a --image b --prompt c --num-beams 3"]
        {
            assert!(parse(fine), "{fine}");
        }
        assert!(parse("--interleaved p.jsonl --temperature 1 --seed 4"));
        for wrong in [
            "",
            "--scan s --window 1 --image a",
            "--scan s --window 1 --prompt a",
            "--image a --window 1",
            "--interleaved p --image a",
            "--interleaved p --prompt a",
            "--interleaved p --stream",
            "--image a --num-beams two",
            "--image a --length longest",
        ] {
            assert!(!parse(wrong), "{wrong}");
        }
    }

    #[test]
    fn an_import_is_of_a_flamingo_or_of_an_encoder() {
        let parse = |rest: &str| {
            let start = "neuroflamingo model import --to d".split(' ');
            Args::try_parse_from(start.chain(rest.split_whitespace())).is_ok()
        };
        assert!(parse("--checkpoint c --lm l --vision v"));
        assert!(parse("--encoder brainlm --weights w --config c.json"));
        for wrong in [
            "--checkpoint c --lm l",
            "--encoder brainlm",
            "--encoder gpt --weights w",
            "--encoder brainmt --weights w --lm l",
            "--checkpoint c --lm l --vision v --n-heads 2",
        ] {
            assert!(!parse(wrong), "{wrong}");
        }
    }

    #[test]
    fn something_to_rank_is_asked_for() {
        let parse = |rest: &str| {
            let start = "neuroflamingo score --model m --prompt a".split(' ');
            Args::try_parse_from(start.chain(rest.split_whitespace())).is_ok()
        };
        assert!(parse("--continuation b") && parse("--continuations f --sum"));
        assert!(!parse(""));
    }
}
