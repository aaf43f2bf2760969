//! Where the numbers of a published encoder come from, and which of them move.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an encoder's numbers come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightsSource {
    /// A file as it was published; relative to the file that names it.
    File(PathBuf),
    /// Drawn from this seed and the tensors' names: nothing was learned.
    Seed(u64),
}

/// Which weights of an encoder are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trainable {
    /// None: its tokens are computed once and kept.
    #[default]
    None,
    /// The last so many blocks, and what comes after them.
    LastNBlocks(usize),
    /// All.
    All,
}
