//! The stages of a pipeline: a closed set, each with what it takes and what it gives.
mod atlas;
mod chain;
mod clean;
mod cohort_columns;
mod columns;
pub(crate) mod coverage;
mod denoise;
mod embed;
mod encode;
pub(crate) mod given;
mod harmonise;
mod lost;
mod mask;
mod mirror;
mod normalise;
pub(crate) mod order_parcels;
mod parcel_count;
mod parcellate;
mod prepare;
mod prepared;
mod resample_time;
mod seen;
mod series;
pub(crate) mod settings;
mod shares;
mod stored_series;
mod volumes;
mod whiten;
mod window;
mod windows;
pub(crate) mod work;

pub use atlas::AtlasFiles;
pub(crate) use chain::check_chain;
pub use denoise::{DenoiseConfig, Nuisance};
pub use embed::{EmbedConfig, WindowPooling};
pub(crate) use embed::{Embeddings, MEASURED};
pub(crate) use encode::{AboutTokens, TokenSet};
pub use encode::{EncodeConfig, TokenPrecision};
pub use harmonise::{CombatSettings, HarmoniseConfig};
pub use mirror::MirrorCheck;
pub(crate) use mirror::{LIKENESS, Likeness, Sides, VOLUME_LIKENESS, look};
pub use normalise::NormaliseConfig;
pub(crate) use normalise::{FITTED, formula_name, normalised};
pub use order_parcels::OrderParcelsConfig;
pub use parcellate::ParcellateConfig;
pub(crate) use parcellate::{Parcels, StoredSeries, places};
pub use prepare::PrepareConfig;
pub(crate) use prepared::{PreparedScan, technique};
pub use resample_time::ResampleTimeConfig;
pub(crate) use seen::Seen;
pub use volumes::{TensorVolumes, VolumesConfig};
pub(crate) use whiten::WHITENING;

use std::{fmt, path::PathBuf};

use encoder::RunPooling;
use flamingo::GenerateConfig;
use scan::{CleanConfig, VoxelMaskConfig, WhitenConfig, WindowConfig, WindowsConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use train::{FitConfig, PretrainConfig};

use crate::phases::{CaptionConfig, EvaluateConfig, RenderConfig};
use work::Work;

/// One step of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Keep the voxels that are bright enough in the training scans.
    Mask(VoxelMaskConfig),
    /// Detrend and standardise every scan.
    Clean(CleanConfig),
    /// Cut the table's windows out of the scans.
    Window(WindowConfig),
    /// Whiten the noise covariance estimated on the training windows.
    Whiten(WhitenConfig),
    /// Take the series of an atlas's parcels out of every scan.
    Parcellate(ParcellateConfig),
    /// Bring parcel series into the order of an encoder's atlas, by their labels.
    OrderParcels(OrderParcelsConfig),
    /// Take trends, frequencies and confounds out of every parcel series.
    Denoise(DenoiseConfig),
    /// Bring parcel series to another repetition time.
    ResampleTime(ResampleTimeConfig),
    /// Bring parcel series to the scale that an encoder was trained on.
    Normalise(NormaliseConfig),
    /// Prepare scans as the code around a published encoder does: scale, repetition time, windows.
    Prepare(PrepareConfig),
    /// Say how scans become volumes, for encoders that read these.
    Volumes(VolumesConfig),
    /// Say which frames of a scan an encoder sees at once.
    Windows(WindowsConfig),
    /// Run a frozen encoder over every scan, once.
    Encode(EncodeConfig),
    /// Make a table of one vector a subject.
    Embed(EmbedConfig),
    /// Take site and covariates out of that table, as fitted on its training people.
    Harmonise(HarmoniseConfig),
    /// Fit encoder, resampler and gates to the training windows.
    Finetune(FitConfig),
    /// Write a report for every test window.
    Generate(GenerateConfig),
    /// Measure the reports, and whether they depend on the scans.
    Evaluate(EvaluateConfig),
    /// Draw figures and pages.
    Render(RenderConfig),
    /// Write under every picture with the package.
    Caption(CaptionConfig),
    /// Train a small language model from text.
    Pretrain(PretrainConfig),
}

/// What one stage hands to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artifact {
    /// Scans as files.
    Scans,
    /// Recordings of a cohort as files.
    Recordings,
    /// One voxel series a scan.
    Series,
    /// One voxel series a window.
    Windows,
    /// One parcel series a scan.
    ParcelSeries,
    /// Volumes of every scan.
    Volumes,
    /// Windows over whole scans.
    ScanWindows,
    /// What an encoder makes of every scan.
    Tokens,
    /// A trained model.
    Model,
    /// Generated reports.
    Reports,
    /// Scores with their controls.
    Evidence,
    /// Pages for people.
    Pages,
    /// Pictures as files.
    Pictures,
    /// A text for every picture.
    Captions,
    /// Text alone.
    Texts,
    /// A language model folder.
    LanguageModel,
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scans => "scans",
            Self::Recordings => "recordings",
            Self::Series => "voxel series",
            Self::Windows => "windows",
            Self::ParcelSeries => "parcel series",
            Self::Volumes => "volumes",
            Self::ScanWindows => "windows of whole scans",
            Self::Tokens => "tokens",
            Self::Model => "a trained model",
            Self::Reports => "generated reports",
            Self::Evidence => "scores",
            Self::Pages => "pages",
            Self::Pictures => "pictures",
            Self::Captions => "captions",
            Self::Texts => "texts",
            Self::LanguageModel => "a language model",
        })
    }
}

impl Stage {
    /// The stage's work; the only place that tells stages apart.
    pub(crate) fn work(&self) -> &dyn Work {
        match self {
            Self::Mask(config) => config,
            Self::Clean(config) => config,
            Self::Window(config) => config,
            Self::Whiten(config) => config,
            Self::Parcellate(config) => config,
            Self::OrderParcels(config) => config,
            Self::Denoise(config) => config,
            Self::ResampleTime(config) => config,
            Self::Normalise(config) => config,
            Self::Prepare(config) => config,
            Self::Volumes(config) => config,
            Self::Windows(config) => config,
            Self::Encode(config) => config,
            Self::Embed(config) => config,
            Self::Harmonise(config) => config,
            Self::Finetune(config) => config,
            Self::Generate(config) => config,
            Self::Evaluate(config) => config,
            Self::Render(config) => config,
            Self::Caption(config) => config,
            Self::Pretrain(config) => config,
        }
    }

    /// Files that its settings name, relative to the file that says so.
    pub(crate) fn paths(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::Parcellate(config) => config.paths(),
            Self::Normalise(config) => config.stats.iter_mut().collect(),
            Self::Prepare(config) => config.stats.iter_mut().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a scan needs its confounds table.
    pub(crate) fn asks_for_confounds(&self) -> bool {
        match self {
            Self::Denoise(config) => config.asks_for_confounds(),
            // windows are weighed by displacement
            Self::Embed(config) => config.run == RunPooling::InverseFd,
            _ => false,
        }
    }

    /// Where it cuts windows out of whole scans.
    pub(crate) fn cut(&self) -> Option<WindowsConfig> {
        match self {
            Self::Windows(config) => Some(config.clone()),
            Self::Prepare(config) => Some(config.windows()),
            _ => None,
        }
    }

    /// Its name in the file.
    pub fn name(&self) -> &'static str {
        self.work().name()
    }
}

/// The settings of a stage as they go into keys and digests.
fn said(config: &impl Serialize) -> String {
    serde_json::to_string(config).expect("settings are plain values")
}
