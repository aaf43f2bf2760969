//! The stages of a pipeline: a closed set, each with what it takes and what it gives.
mod chain;
mod clean;
mod cohort_columns;
mod compare;
pub(crate) mod coverage;
mod embed;
mod encode;
pub(crate) mod given;
mod harmonise;
mod mask;
mod parcels;
mod steps;
mod volumes;
mod whiten;
mod window;
mod windows;
pub(crate) mod work;

pub(crate) use chain::check_chain;
pub use embed::{EmbedConfig, WindowPooling};
pub(crate) use embed::{Embeddings, MEASURED};
pub(crate) use encode::{AboutTokens, TokenSet};
pub use encode::{EncodeConfig, TokenPrecision};
pub use harmonise::{CombatSettings, HarmoniseConfig};
pub(crate) use parcels::Parcels;
pub(crate) use preprocess::settings;
pub(crate) use whiten::WHITENING;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use config::Component;
use encoder::{InputShape, RunPooling};
use flamingo::GenerateConfig;
use preprocess::{
    Kind, Need, Step,
    steps::{
        DenoiseConfig, NormaliseConfig, OrderParcelsConfig, ParcellateConfig, PrepareConfig,
        ResampleTimeConfig, VolumesConfig,
    },
};
use scan::{CleanConfig, VoxelMaskConfig, WhitenConfig, WindowConfig, WindowsConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use train::{FitConfig, PretrainConfig};

use crate::{
    Result,
    phases::{CaptionConfig, ComposeConfig, EvaluateConfig, RenderConfig},
};
use steps::Steps;
use work::{Preparation, Work};

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
    /// Compose reference reports from what was measured and from columns of the table.
    Compose(ComposeConfig),
}

/// What one stage hands to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artifact {
    /// Recordings somewhere between their files and what a model may be shown of them.
    Media(Kind),
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
    /// Reference reports that were composed.
    Composed,
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Media(kind) => return kind.fmt(f),
            Self::Model => "a trained model",
            Self::Reports => "generated reports",
            Self::Evidence => "scores",
            Self::Pages => "pages",
            Self::Pictures => "pictures",
            Self::Captions => "captions",
            Self::Texts => "texts",
            Self::LanguageModel => "a language model",
            Self::Composed => "composed reports",
        })
    }
}

/// What a stage does.
enum Role<'a> {
    /// It prepares recordings, one as another.
    Step(&'a dyn Step),
    /// It prepares them when they are encoded; its own stage looks at the cohort as a whole.
    Deferred(&'a dyn Step, &'a dyn Preparation),
    /// It does something else.
    Work(&'a dyn Work),
}

impl Stage {
    /// Its role; the only place that tells stages apart.
    fn role(&self) -> Role<'_> {
        use Role::{Deferred, Step, Work};
        match self {
            Self::Mask(config) => Work(config),
            Self::Clean(config) => Work(config),
            Self::Window(config) => Work(config),
            Self::Whiten(config) => Work(config),
            Self::Parcellate(config) => Step(config),
            Self::OrderParcels(config) => Step(config),
            Self::Denoise(config) => Step(config),
            Self::ResampleTime(config) => Step(config),
            Self::Normalise(config) => Step(config),
            Self::Prepare(config) => Step(config),
            Self::Volumes(config) => Deferred(config, config),
            Self::Windows(config) => Deferred(config, config),
            Self::Encode(config) => Work(config),
            Self::Embed(config) => Work(config),
            Self::Harmonise(config) => Work(config),
            Self::Finetune(config) => Work(config),
            Self::Generate(config) => Work(config),
            Self::Evaluate(config) => Work(config),
            Self::Render(config) => Work(config),
            Self::Caption(config) => Work(config),
            Self::Pretrain(config) => Work(config),
            Self::Compose(config) => Work(config),
        }
    }

    /// The step, to be changed, where it prepares recordings.
    pub(crate) fn step_mut(&mut self) -> Option<&mut dyn Step> {
        Some(match self {
            Self::Parcellate(config) => config,
            Self::OrderParcels(config) => config,
            Self::Denoise(config) => config,
            Self::ResampleTime(config) => config,
            Self::Normalise(config) => config,
            Self::Prepare(config) => config,
            Self::Volumes(config) => config,
            Self::Windows(config) => config,
            _ => return None,
        })
    }

    /// The step, where it prepares recordings.
    pub(crate) fn step(&self) -> Option<&dyn Step> {
        match self.role() {
            Role::Step(step) | Role::Deferred(step, _) => Some(step),
            Role::Work(_) => None,
        }
    }

    /// Whether parcel series are others after it.
    pub(crate) fn changes_series(&self) -> bool {
        matches!(self.role(), Role::Step(step) if step.volume_policy().is_none())
    }

    /// The component that it names, as seen from where `folder` is.
    pub(crate) fn component_in(&mut self, folder: &Path) {
        if let Self::Compose(ComposeConfig { report: Component::File { file } }) = self {
            *file = files::join(folder, file);
        }
    }

    /// Reads the component that it names.
    pub(crate) fn inline(&mut self, dir: &Path) -> Result<()> {
        if let Self::Compose(config) = self {
            config.report = config.report.clone().inline(dir)?;
        }
        Ok(())
    }

    /// Files that its settings name, relative to the file that says so.
    pub(crate) fn paths(&mut self) -> Vec<&mut PathBuf> {
        self.step_mut().map_or_else(Vec::new, Step::paths)
    }

    /// Whether a scan needs its confounds table.
    pub(crate) fn asks_for_confounds(&self) -> bool {
        match self {
            // windows are weighed by displacement
            Self::Embed(config) => config.run == RunPooling::InverseFd,
            // motion is reported
            Self::Compose(_) => true,
            _ => self.step().is_some_and(Step::asks_for_confounds),
        }
    }

    /// Where it cuts windows out of whole scans.
    pub(crate) fn cut(&self) -> Option<WindowsConfig> {
        self.step().and_then(Step::cut)
    }

    /// Whether what a model is shown of one scan depends on it, where an encoder reads these windows.
    pub(crate) fn serves(&self, windows: InputShape) -> bool {
        matches!(self, Self::Encode(_)) || self.step().is_some_and(|step| step.serves(windows))
    }

    /// Its name in the file.
    pub fn name(&self) -> &'static str {
        match self.role() {
            Role::Step(step) | Role::Deferred(step, _) => step.id().name,
            Role::Work(work) => work.name(),
        }
    }

    /// Raised when the same inputs would now give another result.
    pub(crate) fn version(&self) -> u32 {
        match self.role() {
            Role::Step(step) | Role::Deferred(step, _) => step.id().version,
            Role::Work(work) => work.version(),
        }
    }

    /// Refuses settings that could only fail later.
    pub(crate) fn check(&self) -> Result<()> {
        match self.role() {
            Role::Step(step) | Role::Deferred(step, _) => Ok(step.check()?),
            Role::Work(work) => work.check(),
        }
    }

    /// What it takes, in a word.
    pub(crate) fn takes(&self) -> Artifact {
        match self.role() {
            Role::Step(step) | Role::Deferred(step, _) => Artifact::Media(step.takes()),
            Role::Work(work) => work.signature().0,
        }
    }

    /// What it makes of what is there; none where it cannot use it.
    pub(crate) fn accepts(&self, given: Artifact) -> Option<Artifact> {
        match (self.role(), given) {
            (Role::Work(work), given) => work.gives(given),
            (Role::Step(step) | Role::Deferred(step, _), Artifact::Media(kind)) => {
                step.accepts(kind).map(Artifact::Media)
            }
            _ => None,
        }
    }

    /// Whether this is what it makes of what it takes.
    pub(crate) fn gives(&self, artifact: Artifact) -> bool {
        self.accepts(self.takes()) == Some(artifact)
    }

    /// Every number of frames that it needs.
    pub(crate) fn needs(&self, reads_volumes: bool) -> Vec<Need> {
        match self.role() {
            Role::Step(step) | Role::Deferred(step, _) => step.needs(reads_volumes),
            Role::Work(work) => work.needs(),
        }
    }

    /// Whether it cannot do without recordings that are learned from.
    pub(crate) fn learns(&self) -> bool {
        match self.role() {
            Role::Step(step) | Role::Deferred(step, _) => step.learns(),
            Role::Work(work) => work.learns(),
        }
    }

    /// Whether it needs the section `model`.
    pub(crate) fn needs_model(&self) -> bool {
        matches!(self.role(), Role::Work(work) if work.needs_model())
    }

    /// Itself as a stage of a run, if it prepares scans.
    pub(crate) fn preparation(&self) -> Option<Box<dyn Preparation + '_>> {
        match self.role() {
            Role::Step(step) => Some(Box::new(Steps(step))),
            Role::Deferred(_, preparation) => Some(Box::new(preparation)),
            Role::Work(work) => work.preparation().map(|it| Box::new(it) as Box<dyn Preparation>),
        }
    }
}
