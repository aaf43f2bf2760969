//! That there is a table of quality.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Motion, DVARS, temporal signal-to-noise ratio and coverage of each recording that is there, in
/// `quality.tsv` and its dictionary `quality.json`. It has no settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QualityConfig {}
