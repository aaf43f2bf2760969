//! The settings of `render`.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which figures and pages are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenderConfig {
    /// Draw one slice of the mean of every test window.
    #[serde(default)]
    pub window_maps: bool,
    /// Draw a page a person and a page of the cohort from the parcel series: carpet plots, matrices of
    /// correlations, motion and signal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub people: bool,
}
