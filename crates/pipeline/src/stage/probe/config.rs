//! The settings of `probe`.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Linear models of columns of the table of embeddings, each fitted many times to some of the people and
/// tried on the others. Vectors are those of `embed`: what `harmonise` fits knows people of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeConfig {
    /// Columns of classes: logistic regression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Columns of numbers: ridge regression, whose penalty is chosen by leaving out one sample at a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<String>,
    /// What is one sample.
    #[serde(default)]
    pub rows: ProbeRows,
    /// Divisions of the people, drawn by the seed of the run, alike in classes. A person is never on both
    /// sides of one.
    #[serde(default = "n_splits")]
    pub n_splits: usize,
    /// Share of the people that a model is tried on.
    #[serde(default = "test_share")]
    pub test_share: f64,
    /// Weight of the data against the penalty of the logistic regression, scikit-learn's `C`.
    #[serde(default = "logistic_c")]
    pub logistic_c: f64,
    /// Draws of people behind each interval.
    #[serde(default = "bootstrap")]
    pub bootstrap: usize,
}

/// What is one sample of a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeRows {
    /// A person, by the mean over the recordings.
    #[default]
    People,
    /// A recording; those of one person stay together.
    Recordings,
}

const fn n_splits() -> usize {
    100
}

const fn test_share() -> f64 {
    0.2
}

const fn logistic_c() -> f64 {
    1.0
}

const fn bootstrap() -> usize {
    2000
}
