//! What is known of a recording beside its scan: age, sex, site, diagnosis.

use std::collections::BTreeMap;

use serde::Serialize;
use tables::Cell;

/// One label of a recording. A missing value is no value: it stands in no [`Labels`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Words.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
}

/// Labels by the name of their column.
pub type Labels = BTreeMap<String, Value>;

impl Value {
    /// The value of a cell; none where it is missing, no number, or a list.
    pub(crate) fn of(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text(text) => Some(Self::Text(text.to_owned())),
            Cell::Integer(number) => Some(Self::Number(number as f64)),
            Cell::Number(number) => (!number.is_nan()).then_some(Self::Number(number)),
            Cell::Flag(flag) => Some(Self::Flag(flag)),
            Cell::Missing | Cell::Vector(_) | Cell::Opaque => None,
        }
    }

    /// The value in words; a whole number without its point.
    pub fn in_words(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }

    /// What it is, for sentences.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number(_) => "numbers",
            Self::Flag(_) => "true or false",
        }
    }
}
