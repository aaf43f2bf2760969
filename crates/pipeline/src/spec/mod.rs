//! What a pipeline file says, and nothing more.
mod benchmark;
mod cohort;
mod load;
mod model;
mod repeat;

pub use benchmark::{
    AnsweredQuestions, AskedQuestions, BenchmarkSpec, CaptionsLayout, FoldersLayout, MemesLayout,
    QuestionsLayout,
};
pub(crate) use cohort::stack;
pub use cohort::{CohortSpec, CorpusSpec, MediumSpec, OmicsSpec, PairsSpec, PicturesSpec};
pub(crate) use load::CACHE;
pub use load::Loaded;
pub use model::{LmSpec, ModelSpec};
pub use repeat::{FoldsSpec, RepeatSpec, StratifiedFoldsSpec};

use std::path::PathBuf;

use config::Component;
use flamingo::{DeviceName, GenerateConfig};
use preprocess::Step;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use train::FitConfig;

use crate::{
    phases::{AskConfig, FewShotConfig},
    stage::Stage,
};

/// A pipeline: a cohort, a model, and what is done with them. Paths are relative to the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Names the run directory: letters, digits, `-` and `_`.
    pub name: String,
    /// Seed of every random number.
    pub seed: u64,
    /// The input data.
    pub cohort: CohortSpec,
    /// The model to train and use. Absent in a pipeline that trains a language model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelSpec>,
    /// A model package, used unchanged. Only for stages that train nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PathBuf>,
    /// The stages, in order. Each takes the output of the one before it.
    pub stages: Component<Strategy>,
    /// The same run again with other seeds or other splits, each in a folder of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<RepeatSpec>,
    /// Folder of run directories and of the cache.
    pub outputs: PathBuf,
    /// Where models work; `--device` of `run` comes before it. Default: the CPU.
    #[serde(default, skip_serializing_if = "DeviceName::is_default")]
    pub device: DeviceName,
}

/// The stages of a pipeline with all their settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Strategy(pub Vec<Stage>);

impl Spec {
    /// The stages, once components are inlined.
    pub fn stages(&self) -> &[Stage] {
        &self.stages.get().0
    }

    /// The settings of the training on reports, where one is asked for.
    pub(crate) fn finetune(&self) -> Option<&FitConfig> {
        self.stages().iter().find_map(|stage| match stage {
            Stage::Finetune(config) => Some(config),
            _ => None,
        })
    }

    /// How reports are written, where they are.
    pub(crate) fn generate(&self) -> Option<&GenerateConfig> {
        self.stages().iter().find_map(|stage| match stage {
            Stage::Generate(config) => Some(config),
            _ => None,
        })
    }

    /// What is asked about every scan, where a package is asked so.
    pub(crate) fn ask(&self) -> Option<&AskConfig> {
        self.stages().iter().find_map(|stage| match stage {
            Stage::Ask(config) => Some(config),
            _ => None,
        })
    }

    /// How solved examples are shown before questions, where a package is asked so.
    pub(crate) fn few_shot(&self) -> Option<&FewShotConfig> {
        self.stages().iter().find_map(|stage| match stage {
            Stage::EvaluateFewShot(config) => Some(config),
            _ => None,
        })
    }

    /// Those that prepare recordings.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &dyn Step> {
        self.stages().iter().filter_map(Stage::step)
    }
}

/// The JSON Schema of a pipeline file, for editors.
pub fn schema() -> String {
    config::schema::<Spec>()
}
