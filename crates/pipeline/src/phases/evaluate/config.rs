//! The settings of `evaluate`.
use report::evidence::EvidenceConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

impl EvaluateConfig {
    /// What is drawn for the evidence.
    pub(super) fn drawing(&self, seed: u64) -> EvidenceConfig {
        EvidenceConfig { n_permutations: self.permutations, n_shuffles: self.shuffles, seed }
    }
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
pub(super) const fn bootstrap() -> usize {
    2_000
}
