//! What can be typed, and the help that teaches it.
use std::{num::NonZeroUsize, path::PathBuf};

use clap::{ArgAction, Args as Group, Parser, Subcommand};
use pipeline::Precision;

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

Exit codes: 0 all done; 1 some scans failed, the rest is complete; 2 nothing could start, or nothing
is left to go on with; 75 stopped by a signal after saving, run the same command again to go on.

Research output, not for diagnosis."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Say more on stderr; twice for debugging.
    #[arg(short, long, action = ArgAction::Count, global = true)]
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
    Run(PipelineArgs),
    /// Check a pipeline file: every file, header, window, split and parameter, no scan read.
    #[command(after_help = "\
Example:
  neuroflamingo check pipelines/finetune.yaml --set cohort.pairs.table=/data/pairs.csv")]
    Check(PipelineArgs),
    /// Write the report of one window of one scan, or the text under pictures.
    #[command(after_help = "\
Examples:
  neuroflamingo generate --model runs/quickstart/model --scan bold.nii.gz --window 3
  neuroflamingo generate --model runs/quickstart/model --scan bold.nii.gz --onset 87.5 --json
  neuroflamingo generate --model openflamingo-3b --image photo.jpg --prompt '<image>Output:'

--window counts from 1: the cohort table's windows where the model knows the scan by its digest,
else consecutive windows from the first frame. --onset is when something was shown; the model's
own haemodynamic shift is added.")]
    Generate(GenerateArgs),
    /// Measure how fast models of real sizes are on this machine.
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
    /// Print the JSON Schema of pipeline files, for editors.
    Schema,
    /// Look at a scan.
    #[command(subcommand)]
    Scan(ScanCommand),
    /// Look at a model package.
    #[command(subcommand)]
    Model(ModelCommand),
}

#[derive(Debug, Group)]
pub(crate) struct PipelineArgs {
    /// A pipeline file, as those in pipelines/.
    pub(crate) pipeline: PathBuf,
    /// Change one value: KEY.KEY=VALUE; a stage is found by its name. May be repeated.
    /// Paths are relative to the pipeline file, as those inside it.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
pub(crate) struct GenerateArgs {
    /// A model package: the folder `model` of a run directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// A 4D NIfTI file.
    #[arg(long, value_name = "FILE", required_unless_present = "image", requires = "place")]
    pub(crate) scan: Option<PathBuf>,
    /// A picture, for a model that reads pictures; once for each `<image>` of the prompt.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scan", "window", "onset"])]
    pub(crate) image: Vec<PathBuf>,
    /// The text before the model's, with an `<image>` for each picture, or none.
    #[arg(long, value_name = "TEXT", default_value = "Output:", conflicts_with = "scan")]
    pub(crate) prompt: String,
    /// Texts followed at once, instead of the likeliest token each time.
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = "scan")]
    pub(crate) num_beams: NonZeroUsize,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// In which numbers the weights are kept in memory: stored (as in their files), f32, bf16, f16
    /// or q8_0.
    #[arg(long, value_name = "PRECISION", default_value = "stored")]
    pub(crate) precision: Precision,
    /// Stop after this many tokens, finished or not; the shipped pipelines say the same number.
    #[arg(long, value_name = "N", default_value = "96")]
    pub(crate) max_new_tokens: NonZeroUsize,
    /// Print the whole record as JSON: text, slots, probabilities, digests.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
pub(crate) struct BenchArgs {
    /// What to measure; may be repeated.
    #[arg(long, value_name = "NAME", default_values_t = pipeline::bench::USUAL.map(str::to_owned))]
    pub(crate) job: Vec<String>,
    /// In which numbers the matrices are kept; may be repeated.
    #[arg(long, value_name = "PRECISION", default_values = ["f32", "bf16", "q8_0"])]
    pub(crate) precision: Vec<Precision>,
    /// About how long each figure is repeated.
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    pub(crate) seconds: f64,
    /// The peer's table, to put beside.
    #[arg(long, value_name = "FILE")]
    pub(crate) peer: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
#[group(id = "place", required = false, multiple = false)]
pub(crate) struct PlaceArgs {
    /// Which window, from 1.
    #[arg(long, value_name = "N")]
    pub(crate) window: Option<usize>,
    /// Seconds from the scan's start.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) onset: Option<f64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScanCommand {
    /// Header and geometry of a file; its private text is never shown.
    Inspect(FileArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// What is inside a package: parts, tensors, gates, licences.
    Inspect(FileArgs),
    /// Whether a package is whole: digests, shapes, finite values.
    Verify(FileArgs),
    /// Make a package of an OpenFlamingo checkpoint, its language model and its CLIP.
    #[command(after_help = "\
Example:
  neuroflamingo model import --checkpoint checkpoint.pt --lm mpt-1b-redpajama-200b \\
      --vision clip-vit-large-patch14/pytorch_model.bin --to openflamingo-3b

No code of a weight file is run: a pickle that wants to call anything but the rebuilding of tensors
is refused by name.")]
    Import(ImportArgs),
}

#[derive(Debug, Group)]
pub(crate) struct ImportArgs {
    /// OpenFlamingo's checkpoint.pt, or one with its names.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: PathBuf,
    /// The language model: a Hugging Face folder, or one .gguf file.
    #[arg(long, value_name = "PATH")]
    pub(crate) lm: PathBuf,
    /// CLIP's weights, with open_clip's or Hugging Face's names.
    #[arg(long, value_name = "FILE")]
    pub(crate) vision: PathBuf,
    /// The package to write.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// Width of one attention head of resampler and gated blocks.
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) head_dim: usize,
    /// Width of one attention head of CLIP.
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) clip_head_dim: usize,
    /// CLIP was trained with the exact GELU instead of OpenAI's quick one.
    #[arg(long)]
    pub(crate) exact_gelu: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(crate) json: bool,
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
    fn a_window_or_an_onset_is_asked_for() {
        let parse = |rest: &[&str]| {
            let start = ["neuroflamingo", "generate", "--model", "m", "--scan", "s"];
            Args::try_parse_from(start.iter().chain(rest))
        };
        assert!(parse(&["--window", "3"]).is_ok());
        assert!(parse(&["--onset", "15"]).is_ok());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--window", "3", "--onset", "15"]).is_err());
    }
}
