//! The settings of `evaluate`.

use report::evidence::EvidenceConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    stage::{
        Artifact,
        settings::{MOST_DRAWS, MOST_IN_BATCH, Rule, Settings},
        work::Work,
    },
};

/// Beyond these a ridge is all there is, or none.
const STRENGTH: Rule = ("0.000001 to 1000000", |x| (1e-6..=1e6).contains(&x));

/// Numbers of permutations and pairs, and the regularisation of the linear baselines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Has no effect: intervals are computed without draws. Accepted because older files name it.
    #[serde(default = "bootstrap")]
    pub bootstrap: usize,
    /// Permutations behind the p-value of the verdict, at least 999.
    #[serde(default = "permutations")]
    pub permutations: usize,
    /// Uniform permutations of the scans behind the row `shuffled scans`.
    #[serde(default = "shuffles")]
    pub shuffles: usize,
    /// Pairs of test windows whose reports and scans are compared, about. Every pair costs two
    /// likelihoods and two texts. Where there are more pairs, which ones is drawn by the run's seed.
    #[serde(default = "max_pairs")]
    pub max_pairs: usize,
    /// Inverse strength of the logistic regression's ridge.
    #[serde(default = "logistic_c")]
    pub logistic_c: f64,
    /// Reports scored at once.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
}

const fn permutations() -> usize {
    999
}

const fn shuffles() -> usize {
    1_000
}

const fn logistic_c() -> f64 {
    1.
}

const fn batch_size() -> usize {
    32
}

/// All pairs of 200 windows.
const fn max_pairs() -> usize {
    20_000
}

/// The least that older versions took.
const fn bootstrap() -> usize {
    2_000
}

/// All pairs of 8 windows; fewer decide nothing.
const MIN_PAIRS: usize = 28;

impl Work for EvaluateConfig {
    fn name(&self) -> &'static str {
        "evaluate"
    }

    fn version(&self) -> u32 {
        6
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Reports, Artifact::Evidence)
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        settings.at_least(bootstrap(), &[("bootstrap", self.bootstrap)])?;
        let permutations = [("permutations", self.permutations)];
        settings.at_least(EvidenceConfig::MIN_PERMUTATIONS, &permutations)?;
        settings.at_most(&[
            ("bootstrap", self.bootstrap, MOST_DRAWS),
            ("permutations", self.permutations, MOST_DRAWS),
            ("shuffles", self.shuffles, MOST_DRAWS),
            ("batch_size", self.batch_size, MOST_IN_BATCH),
        ])?;
        settings.at_least(MIN_PAIRS, &[("max_pairs", self.max_pairs)])?;
        Ok(settings.numbers(STRENGTH, &[("logistic_c", self.logistic_c)])?)
    }
}
