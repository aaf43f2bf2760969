//! Which rows are learned from, chosen by, and tested on; and what must not be in two of these.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a row is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Learned from.
    Train,
    /// Settings are chosen by it.
    Choose,
    /// Looked at once, at the end.
    Test,
}

/// What must lie in one split as a whole.
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
            Self::Choose => "choose",
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
