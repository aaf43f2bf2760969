//! What can be wrong with a table, as sentences about the user's file.

use std::{io, path::PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure of this crate; a sentence names the file, and row and column where there are any.
///
/// Rows are counted as a spreadsheet does: the line of names is row 1. No cell is ever repeated in
/// a sentence, because it may say who somebody is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the sentence beside each variant says what its fields hold")]
pub enum Error {
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: is {found}, expected a table: CSV, TSV or Parquet", path.display())]
    NotATable { path: PathBuf, found: &'static str },
    #[error("{}: {problem}", path.display())]
    Text { path: PathBuf, problem: &'static str },
    #[error("{}: row {row}: {problem}", path.display())]
    Row { path: PathBuf, row: usize, problem: String },
    #[error("{}: column {name} appears twice", path.display())]
    DoubleColumn { path: PathBuf, name: String },
    #[error("{}: cannot be read as Parquet: {problem}", path.display())]
    Parquet { path: PathBuf, problem: String },

    // tables in memory
    #[error("column {name} appears twice")]
    SameName { name: String },
    #[error("column {position} has no name")]
    NoName { position: usize },
    #[error("column {name} has {found} rows, expected {expected} as in column {first}")]
    Rows { name: String, found: usize, first: String, expected: usize },
    #[error("column {name} holds {found} numbers, expected a multiple of its width {width}")]
    Width { name: String, found: usize, width: usize },
    #[error("column {name} holds {kind}, which is not written")]
    Opaque { name: String, kind: String },
    #[error("table cannot be written as Parquet: {problem}")]
    Unwritable { problem: String },
}
