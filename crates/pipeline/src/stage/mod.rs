//! The stages of a pipeline: a closed set, each with what it takes and what it gives.
mod atlas;
mod caption;
mod clean;
mod columns;
pub(crate) mod coverage;
mod denoise;
mod embed;
mod encode;
mod evaluate;
mod finetune;
mod generate;
pub(crate) mod given;
mod lost;
mod mask;
mod mirror;
mod normalise;
pub(crate) mod order_parcels;
mod parcellate;
mod prepare;
mod prepared;
mod pretrain;
mod render;
mod resample_time;
mod series;
mod settings;
mod stored_series;
mod volumes;
mod whiten;
mod window;
mod windows;
pub(crate) mod work;

pub use atlas::AtlasFiles;
pub use caption::CaptionConfig;
pub(crate) use caption::WrittenCaption;
pub use denoise::{DenoiseConfig, Nuisance};
pub(crate) use embed::Embeddings;
pub use embed::{EmbedConfig, WindowPooling};
pub(crate) use encode::{AboutTokens, TokenSet};
pub use encode::{EncodeConfig, TokenPrecision};
pub use evaluate::EvaluateConfig;
pub(crate) use evaluate::Evaluation;
pub(crate) use finetune::Fit;
pub(crate) use generate::WrittenReport;
pub use mirror::MirrorCheck;
pub(crate) use mirror::{LIKENESS, Likeness, Sides, VOLUME_LIKENESS, look};
pub use normalise::NormaliseConfig;
pub(crate) use normalise::{FITTED, formula_name, normalised};
pub use order_parcels::OrderParcelsConfig;
pub use parcellate::ParcellateConfig;
pub(crate) use parcellate::{Parcels, StoredSeries, places};
pub use prepare::PrepareConfig;
pub(crate) use prepared::{PreparedScan, technique};
pub use render::RenderConfig;
pub use resample_time::ResampleTimeConfig;
pub use volumes::{TensorVolumes, VolumesConfig};
pub(crate) use whiten::WHITENING;

use std::{fmt, path::PathBuf};

use encoder::RunPooling;
use flamingo::GenerateConfig;
use scan::{CleanConfig, VoxelMaskConfig, WhitenConfig, WindowConfig, WindowsConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use train::{FitConfig, PretrainConfig};

use crate::{Error, Result, spec::CohortSpec};
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
            Self::Embed(config) => config.run == RunPooling::InverseFd,
            _ => false,
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

/// Checks that each stage gets what it needs, and appears once.
pub(crate) fn check_chain(stages: &[Stage], cohort: &CohortSpec) -> Result<()> {
    if stages.is_empty() {
        return Err(Error::NoStages);
    }
    let start = match cohort {
        CohortSpec::Pairs(_) => Artifact::Scans,
        CohortSpec::Pictures(_) => Artifact::Pictures,
        CohortSpec::Corpus(_) => Artifact::Texts,
        CohortSpec::Bids(_) | CohortSpec::Manifest(_) | CohortSpec::Hdf5(_) => Artifact::Recordings,
    };
    let names: Vec<&str> = stages.iter().map(Stage::name).collect();
    stages.iter().enumerate().try_fold(start, |have, (idx, stage)| {
        let (gives, (takes, _)) = (stage.work().gives(have), stage.work().signature());
        let (at, stage) = (idx, stage.name());
        if names[..idx].contains(&stage) {
            return Err(Error::StageTwice { at, stage });
        }
        gives.ok_or(Error::Chain { at, stage, takes, have })
    })?;
    let (mut volumes, mut has_series) = (None::<&VolumesConfig>, false);
    stages.iter().try_for_each(|stage| {
        match stage {
            Stage::Volumes(config) => volumes = Some(config),
            Stage::Parcellate(_) => has_series = true,
            Stage::Prepare(config) => {
                config.finds(volumes.is_some(), has_series)?;
                let volumes = volumes.filter(|_| config.policy.reads_volumes());
                return volumes.map_or(Ok(()), |volumes| volumes.fits(config.policy));
            }
            _ => {}
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::yaml;

    fn chain(stages: &str) -> Result<()> {
        let stages: Vec<Stage> = yaml::parse(Path::new("s.yaml"), stages).unwrap();
        let cohort = "pairs: { table: t.csv, split_unit: scan, slots: { file: s.yaml }, prompt: '{technique}' }";
        check_chain(&stages, &yaml::parse(Path::new("c.yaml"), cohort).unwrap())
    }

    const MASK: &str = "- mask: { above_mean: 0.6 }\n";
    const WINDOW: &str = "- window: { shift_s: 5.0, n_frames: 9 }\n";
    const WHITEN: &str = "- whiten: { shrinkage: ledoit_wolf }\n";

    #[test]
    fn each_stage_gets_what_it_takes() {
        assert!(chain(&format!("{MASK}{WINDOW}{WHITEN}")).is_ok());
        assert_eq!(
            chain(&format!("{MASK}{WHITEN}")).unwrap_err().to_string(),
            "stage whiten needs windows, but what comes before it gives voxel series"
        );
        assert_eq!(
            chain(WINDOW).unwrap_err().to_string(),
            "stage window needs voxel series, but what comes before it gives scans"
        );
    }

    #[test]
    fn a_stage_comes_once_and_a_chain_is_not_empty() {
        let twice = chain(&format!("{MASK}{WINDOW}{WHITEN}{WHITEN}")).unwrap_err();
        assert_eq!(twice.to_string(), "stage whiten is listed twice");
        assert_eq!(
            chain("[]").unwrap_err().to_string(),
            "there are no stages, expected at least one"
        );
    }
}
