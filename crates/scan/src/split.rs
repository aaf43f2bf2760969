//! Training, validation and test rows, and what must not be in two of these splits.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a row is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// The model learns from these.
    Train,
    /// Select the step to keep, and fit the temperature. Older files say `choose`.
    #[serde(alias = "choose")]
    Validation,
    /// Evaluated once, at the end.
    Test,
}

/// The unit that stays in one split as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitUnit {
    /// A person.
    Subject,
    /// A person's visit.
    Session,
    /// A file.
    Scan,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

impl fmt::Display for SplitUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "subject",
            Self::Session => "session",
            Self::Scan => "scan",
        })
    }
}
