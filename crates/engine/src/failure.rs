//! Why a unit is left out.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// A kind of failure, to count by: one word of whoever works on units.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kind(Cow<'static, str>);

impl Kind {
    /// A kind by its word.
    pub const fn new(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    /// Its word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Kind {
    fn default() -> Self {
        Self::new("other")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One reason twice: in the words of tables, which name the unit, and in those of a terminal, which
/// name nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For tables and records: the unit is named.
    pub named: String,
    /// For logs.
    pub anonymous: String,
    /// What kind of failure it is; lists of earlier versions do not say it.
    #[serde(default)]
    pub kind: Kind,
}

impl Reason {
    /// A reason that names nothing of the unit, of no certain kind.
    pub fn plain(text: String) -> Self {
        Self { anonymous: text.clone(), named: text, kind: Kind::default() }
    }

    /// The same, of this kind.
    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}

/// A unit that is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Its place among all units, from 0.
    #[serde(rename = "scan_idx")]
    pub unit: usize,
    /// Why.
    pub reason: Reason,
    /// What it is made of is not to blame: the next run tries it again.
    pub transient: bool,
}

impl Failure {
    /// The contents are to blame, whenever they are read.
    pub fn of_contents(unit: usize, reason: Reason) -> Self {
        Self { unit, reason, transient: false }
    }
}
