//! The stages of a pipeline: what each takes, what it gives, and how it is run.
mod altered;
mod artifact;
mod chain;
mod cohort_columns;
mod compare;
pub(crate) mod coverage;
mod cut;
mod each_window;
mod embed;
mod embeddings;
mod encode;
mod export;
pub(crate) mod given;
mod harmonise;
mod probe;
mod quality;
mod select;
mod series_set;
mod stages;
mod steps;
mod token_set;
mod volumes;
pub(crate) mod work;

pub(crate) use altered::{Altered, Change, series as prepared_series};
pub use artifact::Artifact;
pub(crate) use chain::check_chain;
pub use embed::{EmbedConfig, WindowPooling};
pub(crate) use embeddings::{Embeddings, MEASURED};
pub use encode::{EncodeConfig, TokenPrecision};
pub use export::{ExportConfig, ExportFormat, ExportedConnectivity, ExportedWindows};
pub use harmonise::{CombatSettings, HarmoniseConfig};
pub(crate) use preprocess::settings;
pub use probe::{ProbeConfig, ProbeRows};
pub use quality::QualityConfig;
pub use select::SelectConfig;
pub(crate) use select::labels_with;
pub(crate) use series_set::SeriesSet;
pub use stages::Stage;
pub(crate) use token_set::{AboutTokens, TokenSet};

use std::path::{Path, PathBuf};

use config::Component;
use encoder::{InputShape, RunPooling};
use preprocess::{Cut, Need, Step, StepRegistry};

use crate::{Result, phases::ComposeConfig};
use work::{Preparation, Work};

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
            Self::Attribute(config) => config,
            Self::Render(config) => config,
            Self::Caption(config) => config,
            Self::EvaluateFewShot(config) => config,
            Self::Ask(config) => config,
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
        match self {
            Self::EvaluateFewShot(config) => config.paths(),
            Self::Finetune(config) => config.from.iter_mut().collect(),
            _ => self.step_mut().map_or_else(Vec::new, Step::paths),
        }
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

    /// Where it cuts windows out of scans.
    pub(crate) fn cut(&self) -> Option<Cut> {
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
