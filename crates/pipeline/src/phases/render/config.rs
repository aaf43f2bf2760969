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
    /// Draw the pages of a run that measures and evaluates no texts, too: one of the cohort, one a person, with
    /// carpet plots, matrices of correlations, motion and signal of its parcel series.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub people: bool,
}
