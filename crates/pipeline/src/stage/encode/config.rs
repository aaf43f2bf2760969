//! The settings of `encode`.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How tokens are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EncodeConfig {
    /// Precision of stored tokens.
    pub precision: TokenPrecision,
}

/// Precision of stored tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenPrecision {
    /// 32.
    F32,
    /// 16, with the range of 32 and three decimal places: half the disk.
    Bf16,
}

impl EncodeConfig {
    /// Bytes of one number of a stored token.
    pub(crate) fn bytes_of_number(&self) -> u64 {
        match self.precision {
            TokenPrecision::F32 => 4,
            TokenPrecision::Bf16 => 2,
        }
    }
}
