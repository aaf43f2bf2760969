//! In which numbers frozen weights are kept.

use serde::{Deserialize, Serialize};

/// In which numbers the matrices of a frozen model are kept in memory. Sums, norms and softmax are
/// in `f32` whatever it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// As their file stores them: read where they lie in the file, where that can be.
    Stored,
    /// Widened to `f32`.
    #[default]
    F32,
    /// Rounded to the upper half of an `f32`.
    Bf16,
    /// Rounded to IEEE half precision.
    F16,
    /// Quantised to blocks of thirty-two bytes and a scale; rows that are no whole blocks stay as
    /// they are stored.
    #[serde(rename = "q8_0")]
    Q8_0,
}
