//! The stages of a pipeline: a closed set, each with its settings.
use flamingo::GenerateConfig;
use preprocess::{NamedStep, Step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use train::{FitConfig, PretrainConfig};

use super::{
    EmbedConfig, EncodeConfig, ExportConfig, HarmoniseConfig, ProbeConfig, QualityConfig,
    SelectConfig,
};
use crate::phases::{
    AskConfig, AttributeConfig, CaptionConfig, ComposeConfig, EvaluateConfig, FewShotConfig,
    RenderConfig,
};

/// The stages, with the steps that prepare recordings, and all that tells those apart.
macro_rules! stages {
    ($($(#[$doc:meta])* $step:ident($config:ty),)*) => {
        /// A stage of a pipeline.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Stage {
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
            /// Show what of a scan each report leans on.
            Attribute(AttributeConfig),
            /// Draw figures and pages.
            Render(RenderConfig),
            /// Caption every image with the package.
            Caption(CaptionConfig),
            /// Ask the package about pictures after so many solved examples, as OpenFlamingo's evaluation.
            EvaluateFewShot(FewShotConfig),
            /// Ask the package questions with allowed answers about every scan.
            Ask(AskConfig),
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
