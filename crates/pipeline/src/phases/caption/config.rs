//! The settings of `caption`.
use flamingo::GenerateConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How captions are generated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CaptionConfig(pub GenerateConfig);
