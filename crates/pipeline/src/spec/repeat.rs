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
    /// Used in place of the table's splits, too: whole units, with values spread evenly over the folds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratified_group_kfold: Option<StratifiedFoldsSpec>,
}

impl RepeatSpec {
    /// Whether it divides the table in place of its splits.
    pub fn divides(&self) -> bool {
        self.folds.is_some() || self.stratified_group_kfold.is_some()
    }
}

/// Folds of whole units: each is tested once in each drawing, the fold before it, in a circle, is for
/// validation, the others are trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StratifiedFoldsSpec {
    /// What stays together.
    pub unit: SplitUnit,
    /// Number of folds, at least 3.
    pub k: usize,
    /// How often the folds are drawn, each time anew; the `r`th time with `seed + r - 1`.
    #[serde(default = "once")]
    pub repeats: usize,
    /// Slots whose true values are spread evenly over the folds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stratify_by: Vec<String>,
    /// Seed that breaks ties.
    pub seed: u64,
}

fn once() -> usize {
    1
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
