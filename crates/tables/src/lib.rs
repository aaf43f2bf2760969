//! Tables of subjects and of embeddings: CSV, TSV and Parquet as named columns.
//!
//! ```text
//! manifest.csv ─┐
//! participants.tsv ── read ─→ Table { name: Column } ── write ─→ embeddings.parquet, .csv, .tsv
//! brain_idps.parquet ─┘
//! ```
//!
//! What a file is read as is decided by its content. Nothing outside this crate sees polars.

mod error;
mod parquet;
mod read;
mod table;
mod text;

pub use error::{Error, Result};
pub use parquet::read_parquet;
pub use read::{read, read_with};
pub use table::{Cell, Column, Table, first_twice};
pub use text::{Missing, Separator, is_missing};
