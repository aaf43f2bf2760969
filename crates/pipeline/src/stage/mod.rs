//! The stages of a pipeline: a closed set, each with what it takes and what it gives.
mod altered;
mod chain;
mod clean;
mod cohort_columns;
mod compare;
pub(crate) mod coverage;
mod embed;
mod encode;
mod export;
pub(crate) mod given;
mod harmonise;
mod mask;
mod parcels;
mod probe;
mod quality;
mod select;
mod steps;
mod volumes;
mod whiten;
mod window;
mod windows;
pub(crate) mod work;

pub(crate) use altered::{Altered, Change, series as prepared_series};
pub(crate) use chain::check_chain;
pub use embed::{EmbedConfig, WindowPooling};
pub(crate) use embed::{Embeddings, MEASURED};
pub(crate) use encode::{AboutTokens, TokenSet};
pub use encode::{EncodeConfig, TokenPrecision};
pub use export::{ExportConfig, ExportFormat, ExportedConnectivity, ExportedWindows};
pub use harmonise::{CombatSettings, HarmoniseConfig};
pub(crate) use parcels::Parcels;
pub(crate) use preprocess::settings;
pub use probe::{ProbeConfig, ProbeRows};
pub use quality::QualityConfig;
pub use select::SelectConfig;
pub(crate) use whiten::WHITENING;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use config::Component;
use encoder::{InputShape, RunPooling};
use flamingo::GenerateConfig;
use preprocess::{Kind, NamedStep, Need, Step, StepRegistry};
use scan::{CleanConfig, VoxelMaskConfig, WhitenConfig, WindowConfig, WindowsConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use train::{FitConfig, PretrainConfig};

use crate::{
    Result,
    phases::{CaptionConfig, ComposeConfig, EvaluateConfig, RenderConfig},
};
use work::{Preparation, Work};

/// The stages, with the steps that prepare recordings, and all that tells those apart.
macro_rules! stages {
    ($($(#[$doc:meta])* $step:ident($config:ty),)*) => {
        /// A stage of a pipeline.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Stage {
            /// Keep the voxels that are bright enough in the training scans.
            Mask(VoxelMaskConfig),
            /// Detrend and standardise every scan.
            Clean(CleanConfig),
            /// Cut the event windows of the table out of the scans.
            Window(WindowConfig),
            /// Whiten the noise covariance estimated on the training windows.
            Whiten(WhitenConfig),
            $($(#[$doc])* $step($config),)*
            /// A step that the program brings along.
            Step(NamedStep),
            /// List what was measured of each recording: motion, DVARS, tSNR, coverage.
            Quality(QualityConfig),
            /// Go on with the recordings of which a query over what was measured is true.
            Select(SelectConfig),
            /// Write series, connectivity and embeddings as tables for other programs.
            Export(ExportConfig),
            /// Run a frozen encoder over every scan, once.
            Encode(EncodeConfig),
            /// Write a table of embeddings, one vector per subject.
            Embed(EmbedConfig),
            /// Remove site and covariate effects from that table, fitted on its training subjects.
            Harmonise(HarmoniseConfig),
            /// Try what a linear model reads out of that table: classes and numbers of people.
            Probe(ProbeConfig),
            /// Fit encoder, resampler and gates to the training windows.
            Finetune(FitConfig),
            /// Generate a report for every test window.
            Generate(GenerateConfig),
            /// Measure the reports, and whether they depend on the scans.
            Evaluate(EvaluateConfig),
            /// Draw figures and pages.
            Render(RenderConfig),
            /// Caption every image with the package.
            Caption(CaptionConfig),
            /// Train a small language model from text.
            Pretrain(PretrainConfig),
            /// Compose reference reports from what was measured and from columns of the table.
            Compose(ComposeConfig),
        }

        impl Stage {
            /// The step, where it prepares recordings.
            pub(crate) fn step(&self) -> Option<&dyn Step> {
                match self {
                    $(Self::$step(config) => Some(config),)*
                    Self::Step(named) => Some(named.step()),
                    _ => None,
                }
            }

            /// The step, to be changed, where it prepares recordings.
            pub(crate) fn step_mut(&mut self) -> Option<&mut dyn Step> {
                match self {
                    $(Self::$step(config) => Some(config),)*
                    Self::Step(named) => Some(named.step_mut()),
                    _ => None,
                }
            }
        }
    };
}

preprocess::steps!(stages);

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
    /// It does something else.
    Work(&'a dyn Work),
}

impl Stage {
    /// Its role; with `step` the only place that tells stages apart.
    fn role(&self) -> Role<'_> {
        if let Some(step) = self.step() {
            return Role::Step(step);
        }
        Role::Work(match self {
            Self::Mask(config) => config,
            Self::Clean(config) => config,
            Self::Window(config) => config,
            Self::Whiten(config) => config,
            Self::Quality(config) => config,
            Self::Select(config) => config,
            Self::Export(config) => config,
            Self::Encode(config) => config,
            Self::Embed(config) => config,
            Self::Harmonise(config) => config,
            Self::Probe(config) => config,
            Self::Finetune(config) => config,
            Self::Generate(config) => config,
            Self::Evaluate(config) => config,
            Self::Render(config) => config,
            Self::Caption(config) => config,
            Self::Pretrain(config) => config,
            Self::Compose(config) => config,
            _ => unreachable!("all others are steps"),
        })
    }

    /// Whether parcel series are others after it.
    pub(crate) fn changes_series(&self) -> bool {
        self.step().is_some_and(|step| step.deferred().is_none() && step.volume_policy().is_none())
    }

    /// The component that it names, as seen from where `folder` is.
    pub(crate) fn component_in(&mut self, folder: &Path) {
        if let Self::Compose(ComposeConfig { report: Component::File { file }, .. }) = self {
            *file = files::join(folder, file);
        }
    }

    /// Looks for the step that it names among those that the program brings along.
    pub(crate) fn find_step(&mut self, steps: &StepRegistry) {
        if let Self::Step(named) = self {
            named.find(steps);
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
            Self::Compose(_) | Self::Quality(_) | Self::Select(_) => true,
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
            Role::Step(step) => step.id().name,
            Role::Work(work) => work.name(),
        }
    }

    /// Raised when the same inputs would now give another result.
    pub(crate) fn version(&self) -> u32 {
        match self.role() {
            Role::Step(step) => step.id().version,
            Role::Work(work) => work.version(),
        }
    }

    /// Refuses settings that could only fail later.
    pub(crate) fn check(&self) -> Result<()> {
        match self.role() {
            Role::Step(step) => Ok(step.check()?),
            Role::Work(work) => work.check(),
        }
    }

    /// What it takes, in a word.
    pub(crate) fn takes(&self) -> Artifact {
        match self.role() {
            Role::Step(step) => Artifact::Media(step.takes()),
            Role::Work(work) => work.signature().0,
        }
    }

    /// What it makes of what is there; none where it cannot use it.
    pub(crate) fn accepts(&self, given: Artifact) -> Option<Artifact> {
        match (self.role(), given) {
            (Role::Work(work), given) => work.gives(given),
            (Role::Step(step), Artifact::Media(kind)) => step.accepts(kind).map(Artifact::Media),
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
            Role::Step(step) => step.needs(reads_volumes),
            Role::Work(work) => work.needs(),
        }
    }

    /// Whether it cannot do without recordings that are learned from.
    pub(crate) fn learns(&self) -> bool {
        match self.role() {
            Role::Step(step) => step.learns(),
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
            Role::Step(step) => Some(steps::preparation(step)),
            Role::Work(work) => work.preparation().map(|it| Box::new(it) as Box<dyn Preparation>),
        }
    }
}
