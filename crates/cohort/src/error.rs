//! What keeps a whole cohort from being listed, as sentences about the user's files.

use std::{io, path::PathBuf};

use crate::{
    query::QueryError,
    recording::{Count, Excluded},
};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure of this crate. What is wrong with one recording is no error but a
/// [`Reason`](crate::Reason). No subject is named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the sentence beside each variant says what its fields hold")]
pub enum Error {
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {problem}", path.display())]
    Folder { path: PathBuf, problem: String },
    #[error(transparent)]
    Table(#[from] tables::Error),
    #[error(transparent)]
    Scan(#[from] scan::Error),

    // tables
    #[error("{}: no column says the {role}, expected one of {}", path.display(), allowed.join(", "))]
    NoColumn { path: PathBuf, role: &'static str, allowed: Vec<String>, settable: bool },
    #[error("{}: columns {first} and {second} may both say the {role}", path.display())]
    TwoColumns { path: PathBuf, role: &'static str, first: String, second: String, settable: bool },
    #[error("{}: rows {first} and {second} are both about {what}", path.display())]
    SameRow { path: PathBuf, first: usize, second: usize, what: &'static str },
    #[error(
        "{}: rows {first} and {second} spell one label of column {column} in two ways: `_` and `-` \
         are no part of a label",
        path.display()
    )]
    Spellings { path: PathBuf, column: String, first: usize, second: usize },
    #[error("{}: {} about a recording of the cohort: {why}", path.display(), none_of(*n))]
    NoRow { path: PathBuf, n: usize, why: String },
    #[error("{}: row {row}: {problem}", path.display())]
    Row { path: PathBuf, row: usize, problem: String },
    #[error("column {column} stands in {} and in {}", first.display(), second.display())]
    SameColumn { column: String, first: PathBuf, second: PathBuf },

    // what was asked for
    #[error(
        "{}: {n} recordings are there in more than one form; choose by {}",
        path.display(), choices.join("; ")
    )]
    Ambiguous { path: PathBuf, n: usize, choices: Vec<String> },
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("{}: no recording is left:\n  {}", path.display(), counted(excluded))]
    NothingLeft { path: PathBuf, excluded: Vec<Excluded>, unmet: Option<String> },
    #[error("{}: holds no recording: {sought}", path.display())]
    Nothing { path: PathBuf, sought: String, cure: Option<String> },

    #[error("{}: holds nothing that could be a cohort{}", path.display(), listed(why))]
    NoProposal { path: PathBuf, why: Vec<String> },

    // splits
    #[error(
        "{}: column {column} puts one subject into split {first} and into split {second}{}",
        path.display(), in_rows(*rows)
    )]
    SplitLeak {
        path: PathBuf,
        column: String,
        first: scan::Split,
        second: scan::Split,
        rows: Option<(usize, usize)>,
    },
    #[error(
        "{}: the scan of one subject in split {first} and of another in split {second} is the same file{}",
        path.display(), in_rows(*rows)
    )]
    SameScan {
        path: PathBuf,
        first: scan::Split,
        second: scan::Split,
        rows: Option<(usize, usize)>,
    },
    #[error("{}: split {split} would have no subject: {groups} for {asked}", path.display())]
    EmptySplit { path: PathBuf, split: scan::Split, groups: String, asked: String },
    #[error("{field} is {found}, expected {expected}")]
    Setting { field: &'static str, found: String, expected: String },
    #[error("{}: column {column} is not there, which split.{field} asks for", path.display())]
    NoLabel { path: PathBuf, column: String, field: &'static str },
    #[error("{}: {n} recordings have no {column}, which split.{field} asks for", path.display())]
    MissingLabel { path: PathBuf, column: String, field: &'static str, n: usize },
}

fn counted(excluded: &[Excluded]) -> String {
    let lines: Vec<String> = Count::all(excluded).iter().flat_map(Count::lines).collect();
    lines.join("\n  ")
}

fn listed(lines: &[String]) -> String {
    let indented: Vec<String> = lines.iter().map(|line| format!("  {line}")).collect();
    if indented.is_empty() { String::new() } else { format!("\n{}", indented.join("\n")) }
}

fn in_rows(rows: Option<(usize, usize)>) -> String {
    rows.map_or(String::new(), |(first, second)| format!(" (rows {first} and {second})"))
}

fn none_of(n: usize) -> String {
    match n {
        0 => "it has no row".to_owned(),
        1 => "its row is not".to_owned(),
        n => format!("none of its {n} rows is"),
    }
}

impl Error {
    /// What the user could do, where there is a cure.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TwoColumns { role, settable: true, .. } => {
                Some(format!("say which with `columns: {{ {role}: … }}`"))
            }
            Self::TwoColumns { second, .. } => {
                Some(format!("call {second} otherwise in the table"))
            }
            Self::NoColumn { role, settable: true, .. } => {
                Some(format!("name another with `columns: {{ {role}: … }}`"))
            }
            Self::NoColumn { role, allowed, .. } => {
                let name = allowed.first()?;
                Some(format!("rename the column that says the {role} to {name}"))
            }
            Self::SplitLeak { .. } => Some("give all rows of a subject the same split".to_owned()),
            Self::NothingLeft { unmet, .. } => unmet.clone(),
            Self::Nothing { cure, .. } => cure.clone(),
            Self::SameRow { what: "one recording", .. } => {
                Some("tell them apart by a column session_id, task or run".to_owned())
            }
            Self::MissingLabel { column, .. } => {
                Some(format!("leave these out with `where: {column} is not missing`"))
            }
            _ => None,
        }
    }
}
