//! What is known of a recording beside its scan: age, sex, site, diagnosis.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use tables::{Cell, Column};

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
    /// A number that is known from below only: an age of `89+`, as privacy rules ask for.
    #[serde(serialize_with = "as_top_coded")]
    AtLeast(f64),
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

    /// The number that a text is, `89` or `89+`; none of other words, nor of a label such as `007`.
    pub fn of_number(text: &str) -> Option<Self> {
        number(text)
    }

    /// The value in words; a whole number without its point.
    pub fn in_words(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::AtLeast(number) => format!("{number}+"),
        }
    }

    /// The values of a column, `None` where they are missing. A column of text whose cells are numbers and
    /// such as `89+` holds numbers.
    pub(crate) fn of_column(column: &Column) -> Vec<Option<Self>> {
        let plain = |row| Self::of(column.cell(row));
        let Column::Text(rows) = column else { return (0..column.n_rows()).map(plain).collect() };
        let is_top_coded = |text: &String| text.trim().ends_with('+');
        let numbers: Option<Vec<Option<Self>>> = rows
            .iter()
            .map(|cell| cell.as_deref().map_or(Some(None), |it| number(it).map(Some)))
            .collect();
        match numbers {
            Some(numbers) if rows.iter().flatten().any(is_top_coded) => numbers,
            _ => (0..rows.len()).map(plain).collect(),
        }
    }

    /// What it is, for sentences.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Number(_) | Self::AtLeast(_) => "numbers",
            Self::Flag(_) => "true or false",
        }
    }
}

/// `89` or `89+`.
fn number(text: &str) -> Option<Value> {
    // a number that begins with a needless 0 is a label
    let is_label = |text: &str| text.len() > 1 && text.starts_with('0') && !text.starts_with("0.");
    let plain = |text: &str| {
        text.parse::<f64>().ok().filter(|number| number.is_finite() && !is_label(text))
    };
    let text = text.trim();
    match text.strip_suffix('+') {
        Some(least) => plain(least).map(Value::AtLeast),
        None => plain(text).map(Value::Number),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn as_top_coded<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{number}+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_known_from_below_are_numbers() {
        let column = |cells: &[&str]| {
            let cells = cells.iter().map(|it| (*it != "n/a").then(|| (*it).to_owned()));
            Value::of_column(&Column::Text(cells.collect()))
        };
        let ages = column(&["71", "89+", "n/a", "88.5"]);
        let expected = [Value::Number(71.0), Value::AtLeast(89.0)];
        assert_eq!(ages[..2], expected.map(Some));
        assert_eq!(ages[2..], [None, Some(Value::Number(88.5))]);
        assert_eq!(ages[1].as_ref().unwrap().in_words(), "89+");
        assert_eq!(serde_json::to_string(&ages[1]).unwrap(), "\"89+\"");
        // words, and labels with a needless 0
        for cells in [["A+", "71"], ["B", "89+"], ["007", "89+"]] {
            assert!(matches!(column(&cells)[0], Some(Value::Text(_))), "{cells:?}");
        }
    }
}
