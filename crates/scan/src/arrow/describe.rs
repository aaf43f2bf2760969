//! The facts of an Arrow file, without the text in it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::ArrowRows;
use crate::{error::Result, open::OpenOptions};

/// The facts of an Arrow file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArrowDescription {
    /// The file.
    pub path: PathBuf,
    /// `arrow`
    pub format: &'static str,
    /// Size on disk in bytes.
    pub n_bytes: u64,
    /// Number of rows.
    pub n_rows: usize,
    /// Frames of the longest row, and parcels of most rows.
    pub shape: [usize; 2],
    /// Repetition time in seconds, where all rows have one.
    pub t_r: Option<f64>,
    /// Where the repetition time comes from, or why there is none.
    pub t_r_source: String,
    /// Names of the columns of text.
    pub private_fields: Vec<String>,
    /// What each column holds.
    pub columns: BTreeMap<String, &'static str>,
}

impl ArrowDescription {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let rows = ArrowRows::open(path, &OpenOptions::default())?;
        let columns = rows.columns();
        let texts = columns.iter().filter(|(_, what)| *what == "text");
        Ok(Self {
            path: path.to_path_buf(),
            format: "arrow",
            n_bytes: rows.n_bytes(),
            n_rows: rows.n_rows(),
            shape: [rows.max_frames(), rows.n_parcels()],
            t_r: rows.t_r(),
            t_r_source: rows.t_r_source(),
            private_fields: texts.map(|(name, _)| name.clone()).collect(),
            columns: columns.into_iter().collect(),
        })
    }
}
