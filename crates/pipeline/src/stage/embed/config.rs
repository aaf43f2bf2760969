//! The settings of `embed`.
use encoder::RunPooling;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Window to run to subject. Runs of a subject count alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbedConfig {
    /// Versioned name of the recipe, which stands in the table: `rsfmri_brainlm_windows_v1`.
    pub strategy: String,
    /// How the tokens of a window become one vector.
    pub window: WindowPooling,
    /// How the windows of a run are joined.
    pub run: RunPooling,
}

/// How the tokens of a window become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowPooling {
    /// The class token.
    Cls,
    /// The mean of the tokens that saw data.
    Mean,
}
