//! What `encoder check` asks.
use std::path::PathBuf;

use clap::{Args as Group, Subcommand};
use pipeline::{DeviceName, Normalisation};

#[derive(Debug, Subcommand)]
pub(crate) enum EncoderCommand {
    /// Check whether preprocessing fits a masked autoencoder, by how well it reconstructs hidden
    /// patches.
    #[command(after_help = "\
Examples:
  neuroflamingo encoder check pipelines/encode-cohort.yaml --encoder models/brainlm-111m
  neuroflamingo encoder check --encoder models/brainlm-111m --series sub-01.dat --t-r 0.735 \\
      --coordinates A424_Coordinates.dat --normalise robust_paper

BrainLM and CortexMAE were trained to fill in patches that were hidden from them. Here the same
is done with your scans: patches are hidden at random, the decoder fills them in, and R² says
which share of the hidden values' variance was found: 1 is all, 0 is what their mean would do.
Beside it stand two predictors that have learned nothing: the parcel's own mean over what is
shown of the window, and the mean of the parcels that are shown at the same moment. A model that
reads scans as it was trained to is better than both; one that is not better sees another scale,
other parcels or another order of them: look at atlas, coordinates, normalisation and repetition
time before anything is built on its tokens.

With PIPELINE the scans are prepared by its stages up to the windows, which are kept as in a
run; no token is computed. Repetitions are not made, and of several folds the first one fits the
normalisation. With --series they are parcel series that are clean already; --normalise brings
them to the scale of a formula, fitted on all of them together. The same seed hides the same
patches.")]
    Check(EncoderCheckArgs),
    /// Show the fitted statistics of a normalisation, and export them as a table for another
    /// pipeline.
    #[command(after_help = "\
Examples:
  neuroflamingo encoder stats runs/swap-encoders/model
  neuroflamingo encoder stats runs/swap-encoders/model --export brainlm_stats.csv

SOURCE is the file normalisation.json, a model package or the folder of a run. The table has a
row a parcel: its number, shift (median or smallest value) and scale (interquartile range or
span). The stages normalise and prepare take such a table, or the .npz of medians and iqrs that
Brain-JEPA's pre-training writes, as `stats: FILE`, and fit nothing.")]
    Stats(EncoderStatsArgs),
}

#[derive(Debug, Group)]
pub(crate) struct EncoderStatsArgs {
    /// normalisation.json, a model package, or the folder of a run.
    pub(crate) source: PathBuf,
    /// Write the numbers to this file: .csv, .tsv or .json.
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
pub(crate) struct EncoderCheckArgs {
    /// A pipeline file with the stages parcellate, and normalise and windows, or prepare.
    #[arg(required_unless_present = "series", conflicts_with = "series")]
    pub(crate) pipeline: Option<PathBuf>,
    /// Change one value of the pipeline: KEY.KEY=VALUE. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", requires = "pipeline")]
    pub(crate) set: Vec<String>,
    /// An encoder package, or a YAML file as those in configs/encoder/ [default: the pipeline's]
    #[arg(long, value_name = "PATH", required_unless_present = "pipeline")]
    pub(crate) encoder: Option<PathBuf>,
    /// A file of one recording's parcel series (table, .dat, .npy, .pt, HDF5, CIFTI). May be repeated.
    #[arg(long, value_name = "FILE", requires = "encoder")]
    pub(crate) series: Vec<PathBuf>,
    /// Coordinates of the parcels, for encoders that need them: label, x, y, z in mm, one line
    /// each.
    #[arg(long, value_name = "FILE", requires = "series")]
    pub(crate) coordinates: Option<PathBuf>,
    /// Repetition time in seconds, where the series do not state it.
    #[arg(long, value_name = "SECONDS", requires = "series")]
    pub(crate) t_r: Option<f64>,
    /// Formula that brings the series to the encoder's scale, as `formula` of the stage normalise.
    #[arg(long, value_name = "FORMULA", value_parser = formula, requires = "series")]
    pub(crate) normalise: Option<Normalisation>,
    /// Frames of a window [default: as the weights were trained]
    #[arg(long, value_name = "N", requires = "series")]
    pub(crate) window: Option<usize>,
    /// Share of the patches that is hidden [default: as in the training]
    #[arg(long, value_name = "SHARE")]
    pub(crate) mask_ratio: Option<f64>,
    /// Where the encoder works: cpu, cpu-composed (the CPU, by the operations that run on a GPU), cuda or
    /// cuda:NUMBER [default: as the pipeline says, else cpu]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceName>,
    /// Seed of the choice of hidden patches.
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) seed: u64,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

fn formula(word: &str) -> Result<Normalisation, String> {
    serde_json::from_value(word.into()).map_err(|error| error.to_string())
}
