//! The same pipeline again, with other seeds or other splits.
use scan::SplitUnit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Repetitions: every seed with every fold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepeatSpec {
    /// Used in place of the file's seed.
    pub seeds: Vec<u64>,
    /// Used in place of the table's splits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<FoldsSpec>,
}

/// Leave some units out in turn: each unit is tested once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldsSpec {
    /// What is left out.
    pub unit: SplitUnit,
    /// How many at a time.
    pub size: usize,
    /// How many units before them (cyclically) are for validation; the rest are for training.
    #[serde(alias = "choose")]
    pub validation: usize,
}
