//! Which recordings are wanted, in a line: `age >= 50 and site == "A"`.
//!
//! ```text
//! query   = all { "or" all }
//! all     = one { "and" one }
//! one     = "not" one | "(" query ")" | column [ test ]
//! test    = ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) value
//!         | [ "not" ] "in" "[" value { "," value } "]"
//!         | "is" [ "not" ] "missing"
//! value   = number | "text" | 'text' | "true" | "false"
//! column  = name | `any name`
//! ```
//!
//! A column by itself is one of true and false. What asks for a missing value is neither true nor
//! false, as in SQL, and so is its opposite; only `is missing` asks for that. `t_r` is the repetition time
//! in seconds, where no table has a column of that name.

mod check;
mod lex;
mod parse;

use std::{borrow::Cow, fmt};

use crate::{
    entity::{Entities, Entity},
    reason::Reason,
    recording::Recording,
    spelling::label_from,
    value::{Labels, Value},
};

/// A query that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    text: String,
    root: Node,
}

/// What is wrong with a query, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// The query.
    pub text: String,
    /// Characters before the place.
    pub at: usize,
    /// Characters of the place, at least 1.
    pub len: usize,
    /// What is wrong there.
    pub problem: String,
}

impl std::error::Error for QueryError {}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, at, len, problem } = self;
        write!(f, "{problem}\n  {text}\n  {}{}", " ".repeat(*at), "^".repeat(*len))
    }
}

/// A part of a query.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare { column: Name, sign: Sign, value: Given },
    Among { column: Name, values: Vec<Given> },
    Missing { column: Name },
}

/// Where something stands in the text, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    at: usize,
    len: usize,
}

/// A column as it was written.
#[derive(Clone, Debug, PartialEq)]
struct Name {
    text: String,
    span: Span,
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
struct Given {
    value: Value,
    span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// What a query is of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    True,
    False,
    /// This column is missing.
    Unknown(&'a str),
}

/// What a query may ask of headers and sidecars.
pub(crate) const T_R: &str = "t_r";

use Answer as A;

impl Query {
    /// Reads a query; columns are looked up by [`Query::check`].
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let tokens = lex::tokens(text)?;
        Ok(Self { text: text.to_owned(), root: parse::query(text, &tokens)? })
    }

    /// Whether every column is there and holds what it is compared with.
    ///
    /// # Errors
    /// Shows the place of the first that is not.
    pub fn check(&self, recordings: &[Recording]) -> Result<(), QueryError> {
        check::check(self, recordings)
    }

    /// The columns that it asks of tables: all that are not entities.
    pub fn columns(&self) -> Vec<&str> {
        let mut columns = self.root.columns();
        columns.retain(|column| Entity::of_name(column).is_none());
        columns
    }

    /// Whether it asks for the repetition time, which no table says.
    pub(crate) fn asks_headers(&self, recordings: &[Recording]) -> bool {
        self.columns().contains(&T_R) && !recordings.iter().any(|it| it.labels.contains_key(T_R))
    }

    /// Whether it could be true of a recording with these entities, whatever tables say of it.
    pub(crate) fn may_hold(&self, entities: &Entities) -> bool {
        self.root.possible(entities).0
    }

    /// Why a recording is not wanted; nothing where the query is true of it.
    pub fn refuses(&self, recording: &Recording) -> Option<Reason> {
        match self.answer(recording) {
            Answer::True => None,
            Answer::False => Some(Reason::Query),
            Answer::Unknown(column) => Some(Reason::Unknown { column: column.to_owned() }),
        }
    }

    pub(crate) fn answer<'a>(&'a self, recording: &Recording) -> Answer<'a> {
        self.root.answer(recording)
    }

    fn error(&self, span: Span, problem: String) -> QueryError {
        error(&self.text, span, problem)
    }
}

fn error(text: &str, span: Span, problem: String) -> QueryError {
    QueryError { text: text.to_owned(), at: span.at, len: span.len.max(1), problem }
}

impl Node {
    /// Every column that it names.
    fn columns(&self) -> Vec<&str> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::columns).collect(),
            Self::Not(part) => part.columns(),
            Self::Missing { column }
            | Self::Compare { column, .. }
            | Self::Among { column, .. } => vec![&column.text],
        }
    }

    /// Whether it could be true, and whether it could be false, by entities alone.
    fn possible(&self, entities: &Entities) -> (bool, bool) {
        match self {
            Self::All(parts) => {
                let parts = || parts.iter().map(|part| part.possible(entities));
                (parts().all(|it| it.0), parts().any(|it| it.1))
            }
            Self::Any(parts) => {
                let parts = || parts.iter().map(|part| part.possible(entities));
                (parts().any(|it| it.0), parts().all(|it| it.1))
            }
            Self::Not(part) => {
                let (may_be_true, may_be_false) = part.possible(entities);
                (may_be_false, may_be_true)
            }
            Self::Missing { column }
            | Self::Compare { column, .. }
            | Self::Among { column, .. } => {
                let Some(entity) = Entity::of_name(&column.text) else { return (true, true) };
                let label = entities.get(entity).map(|it| Value::Text(it.to_owned()));
                match self.holds(label.as_ref()) {
                    Some(holds) => (holds, !holds),
                    None => (false, false),
                }
            }
        }
    }

    /// Whether a test of one column holds of its value; `None` where that is not known.
    fn holds(&self, found: Option<&Value>) -> Option<bool> {
        match self {
            Self::Missing { .. } => Some(found.is_none()),
            Self::Compare { column, sign, value } => sign.holds(found?, &meant(column, value)),
            Self::Among { column, values } => {
                let found = found?;
                let each = values.iter().map(|it| Sign::Equal.holds(found, &meant(column, it)));
                let each: Vec<Option<bool>> = each.collect();
                if each.contains(&Some(true)) {
                    return Some(true);
                }
                each.iter().all(Option::is_some).then_some(false)
            }
            Self::All(_) | Self::Any(_) | Self::Not(_) => None,
        }
    }

    fn answer<'a>(&'a self, recording: &Recording) -> Answer<'a> {
        match self {
            // one that is false decides, then one that is unknown
            Self::All(parts) => decided(parts.iter().map(|part| part.answer(recording)), A::False),
            Self::Any(parts) => decided(parts.iter().map(|part| part.answer(recording)), A::True),
            Self::Not(part) => match part.answer(recording) {
                A::True => A::False,
                A::False => A::True,
                unknown @ A::Unknown(_) => unknown,
            },
            Self::Missing { column }
            | Self::Compare { column, .. }
            | Self::Among { column, .. } => {
                let found = look_up(recording, &column.text);
                self.holds(found.as_ref()).map_or(A::Unknown(&column.text), A::of)
            }
        }
    }
}

impl Answer<'_> {
    fn of(holds: bool) -> Self {
        if holds { A::True } else { A::False }
    }
}

/// `decisive` if any answer is; else the first unknown; else the other one.
fn decided<'a>(answers: impl Iterator<Item = Answer<'a>>, decisive: Answer<'a>) -> Answer<'a> {
    let mut unknown = None;
    for answer in answers {
        match answer {
            answer if answer == decisive => return decisive,
            A::Unknown(_) => unknown = unknown.or(Some(answer)),
            _ => {}
        }
    }
    unknown.unwrap_or(if decisive == A::True { A::False } else { A::True })
}

impl Sign {
    /// Whether it holds; `None` where a value that is known from below only does not decide it.
    fn holds(self, found: &Value, given: &Value) -> Option<bool> {
        let order = match (found, given) {
            (Value::Number(found), Value::Number(given)) => found.partial_cmp(given),
            (Value::Text(found), Value::Text(given)) => Some(found.cmp(given)),
            (Value::Flag(found), Value::Flag(given)) => Some(found.cmp(given)),
            (Value::AtLeast(least), Value::Number(given)) => {
                return match self {
                    Self::AtLeast if least >= given => Some(true),
                    Self::Greater | Self::Unequal if least > given => Some(true),
                    Self::Less if least >= given => Some(false),
                    Self::AtMost | Self::Equal if least > given => Some(false),
                    _ => None,
                };
            }
            _ => None,
        };
        let Some(order) = order else { return Some(false) };
        Some(match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        })
    }
}

/// The value that is compared with: a label is meant as the cohort writes it.
fn meant<'a>(column: &Name, given: &'a Given) -> Cow<'a, Value> {
    match &given.value {
        Value::Text(text) if Entity::of_name(&column.text).is_some() => match label_from(text) {
            Some(label) => Cow::Owned(Value::Text(label)),
            None => Cow::Borrowed(&given.value),
        },
        value => Cow::Borrowed(value),
    }
}

/// The repetition time in seconds to four decimals: headers hold 32 bits, so that 0.72 is not equal to 0.72.
fn rounded(recording: &Recording) -> Option<Value> {
    recording.t_r.map(|t_r| Value::Number((t_r.seconds * 1e4).round() / 1e4))
}

/// Entities go before columns of the same name, and those before what the header says.
fn look_up(recording: &Recording, column: &str) -> Option<Value> {
    if let Some(entity) = Entity::of_name(column) {
        recording.entities.get(entity).map(|it| Value::Text(it.to_owned()))
    } else {
        let labels: &Labels = &recording.labels;
        let header = || (column == T_R).then(|| rounded(recording)).flatten();
        labels.get(column).cloned().or_else(header)
    }
}

#[cfg(test)]
mod tests;
