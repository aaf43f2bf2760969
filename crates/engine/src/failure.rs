//! Why a unit is left out.

use serde::{Deserialize, Serialize};

/// One reason twice: in the words of tables, which name the unit, and in those of a terminal, which
/// name nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For tables and records: the unit is named.
    pub named: String,
    /// For logs.
    pub anonymous: String,
}

impl Reason {
    /// A reason that names nothing of the unit.
    pub fn plain(text: String) -> Self {
        Self { anonymous: text.clone(), named: text }
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
