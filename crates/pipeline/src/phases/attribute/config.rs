//! The settings of `attribute`.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) const STAGE: &str = "attribute";

/// How many reports are looked into, and how finely.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributeConfig {
    /// Reports that are looked into, the first ones of the test windows. Default: 20.
    #[serde(default = "reports")]
    pub reports: usize,
    /// Parts that are taken away one after another, at most; neighbouring places go together where there are
    /// more. Each costs one reading of the report. Default: 128.
    #[serde(default = "parts")]
    pub parts: usize,
    /// Parts that are read at once. Default: 8.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
}

const fn reports() -> usize {
    20
}

const fn parts() -> usize {
    128
}

const fn batch_size() -> usize {
    8
}
