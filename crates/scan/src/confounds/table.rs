//! A confounds table as fMRIPrep writes it: tab separated, one row a frame, `n/a` for no value.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::nameless;
use crate::error::{Error, Result, brief, one_line};

/// The most bytes a confounds table may have: a thousand columns of ten thousand frames.
const MAX_BYTES: u64 = 512 << 20;

/// The columns of a confounds table, and what its sidecar says of its components.
#[derive(Clone, Debug)]
pub struct ConfoundTable {
    path: PathBuf,
    names: Vec<String>,
    /// One series a column; NaN where the table says `n/a`.
    columns: Vec<Vec<f64>>,
    sidecar: Option<Sidecar>,
}

/// Component name to what is known of it, in the order of the file.
pub(super) type Sidecar = BTreeMap<String, Component>;

/// What the sidecar says of one component.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Component {
    #[serde(rename = "Mask")]
    pub(super) mask: Option<String>,
}

impl ConfoundTable {
    /// Reads a table, and the `.json` beside it where there is one.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        crate::pointer::refuse(path)?;
        let attach = |source| Error::Read { path: path.to_path_buf(), source };
        let n_bytes = std::fs::metadata(path).map_err(attach)?.len();
        if n_bytes > MAX_BYTES {
            let (found, limit) = (u128::from(n_bytes), MAX_BYTES);
            return Err(Error::TooLarge { path: path.to_path_buf(), found, limit });
        }
        let damaged =
            |row: usize, problem: String| Error::Row { path: path.to_path_buf(), row, problem };
        if let Some(problem) = nameless::problem(path, &first_line(path)?) {
            return Err(damaged(1, problem));
        }
        let file = File::open(path).map_err(attach)?;
        let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').from_reader(file);
        let header = reader.headers().map_err(|e| damaged(1, brief(&e.to_string())))?;
        let bare = |name: &str| one_line(name.trim_start_matches('\u{feff}').trim());
        let names: Vec<String> = header.iter().map(bare).collect();
        let problem = match names.first() {
            Some(only) if names.len() == 1 && only.contains([',', ';']) => {
                "its columns are divided by commas or semicolons, expected tabs"
            }
            Some(first) if first.is_empty() => {
                "its first column has no name: leave row numbers out (`index=False` in pandas)"
            }
            _ if names.iter().any(|name| name.is_empty() || name.parse::<f64>().is_ok()) => {
                "expected the names of the columns"
            }
            _ => "",
        };
        if !problem.is_empty() {
            return Err(damaged(1, problem.to_owned()));
        }
        let mut columns = vec![Vec::new(); names.len()];
        for (index, record) in reader.records().enumerate() {
            let row = index + 2;
            let record = record.map_err(|e| damaged(row, brief(&e.to_string())))?;
            for ((cell, name), column) in record.iter().zip(&names).zip(&mut columns) {
                let value = match cell.trim() {
                    "" | "n/a" | "NA" | "NaN" | "nan" => f64::NAN,
                    cell => cell.parse().map_err(|_| {
                        let [name, cell] = [name, cell].map(brief);
                        damaged(row, format!("column {name} is {cell:?}, expected a number"))
                    })?,
                };
                column.push(value);
            }
        }
        let sidecar = read_sidecar(&path.with_extension("json"))?;
        Ok(Self { path: path.to_path_buf(), names, columns, sidecar })
    }

    /// Columns of a table, and the most bytes that reading one of so many frames takes, by its first
    /// line.
    pub fn footprint(path: impl AsRef<Path>, n_frames: usize) -> Result<(usize, u64)> {
        let path = path.as_ref();
        let first = first_line(path)?;
        let n_columns = first.split(|byte| *byte == b'\t').count();
        // columns grow as rows come, each to twice its length at most; names, and a row as text
        let sidecar = std::fs::metadata(path.with_extension("json")).map_or(0, |file| file.len());
        let values = 16 * n_columns as u64 * n_frames as u64;
        Ok((n_columns, values + 8 * first.len() as u64 + 8 * sidecar + (1 << 16)))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the columns, in the order of the file.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of frames.
    pub fn n_frames(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }

    /// The series of a column, NaN where there is no value.
    pub fn column(&self, name: &str) -> Option<&[f64]> {
        let place = self.names.iter().position(|known| known == name)?;
        Some(&self.columns[place])
    }

    /// The series of a column that must be there.
    pub(super) fn needed(&self, name: &str) -> Result<&[f64]> {
        self.column(name).ok_or_else(|| Error::MissingConfound {
            path: self.path.clone(),
            column: name.to_owned(),
        })
    }

    pub(super) fn sidecar(&self) -> Option<&Sidecar> {
        self.sidecar.as_ref()
    }
}

/// The bytes of the first line.
fn first_line(path: &Path) -> Result<Vec<u8>> {
    crate::pointer::refuse(path)?;
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    let file = BufReader::new(File::open(path).map_err(attach)?);
    let mut first = Vec::new();
    file.take(MAX_BYTES).read_until(b'\n', &mut first).map_err(attach)?;
    Ok(first)
}

fn read_sidecar(path: &Path) -> Result<Option<Sidecar>> {
    crate::pointer::refuse(path)?;
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    match formats::read_up_to(path, formats::MAX_SETTINGS) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(attach(source)),
        Ok(bytes) => {
            // Only components matter; entries of other shapes are none.
            let wrong = |problem| Error::Sidecar { path: path.to_path_buf(), problem };
            let serde_json::Value::Object(entries) = crate::parse_sidecar(&bytes).map_err(wrong)?
            else {
                return Err(wrong("is not a JSON object keyed by column".to_owned()));
            };
            let component = |(name, value): (String, serde_json::Value)| {
                serde_json::from_value(value).ok().map(|component| (name, component))
            };
            Ok(Some(entries.into_iter().filter_map(component).collect()))
        }
    }
}
