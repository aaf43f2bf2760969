//! Fitted normalisations as files of their own: shown, exported, and taken by a pipeline instead of a fit.
use std::path::{Path, PathBuf};

use engine::{Key, Store};
use ndarray::Array1;
use preprocess::steps::FITTED;
use scan::{FittedNormalisation, Normalisation};
use serde::Serialize;
use serde_json::Value;

use crate::{Error, Result, spec::CACHE};

/// A normalisation that was found, and where.
#[derive(Clone, Debug)]
pub struct FoundStats {
    /// Its file.
    pub path: PathBuf,
    /// What was fitted.
    pub fitted: FittedNormalisation,
}

/// What is shown of one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatsSummary {
    /// Its formula.
    pub formula: Normalisation,
    /// Recordings that it was fitted to.
    pub n_recordings: usize,
    /// Parcels; 0 where each recording is asked by itself.
    pub n_parcels: usize,
    /// Smallest, middle and largest median or minimum.
    pub shift: Option<[f64; 3]>,
    /// The same of interquartile ranges or spans, of parcels that have one.
    pub scale: Option<[f64; 3]>,
    /// Parcels, from 1, that had no spread to fit: their series become 0.
    pub unfitted: Vec<usize>,
}

/// What a run says of itself.
const RECORD: &str = "record.json";

/// How deep below a folder normalisations are looked for.
const DEPTH: usize = 4;

/// The normalisations in a file, a package or the folder of a run.
///
/// # Errors
/// Where nothing is there, or a file is damaged.
pub fn find_stats(source: &Path) -> Result<Vec<FoundStats>> {
    let mut paths = Vec::new();
    if source.is_dir() {
        below(source, DEPTH, &mut paths)?;
        paths.sort();
        paths.dedup();
    } else {
        paths.push(source.to_owned());
    }
    if paths.is_empty() {
        let problem = format!("holds no {FITTED}, which the stages normalise and prepare write");
        return Err(Error::Stats { path: source.to_owned(), problem });
    }
    let read = |path: PathBuf| Ok(FoundStats { fitted: files::read_json(&path)?, path });
    paths.into_iter().map(read).collect()
}

fn below(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let read = |source| files::at("read", dir)(source);
    for entry in std::fs::read_dir(dir).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.is_dir() && depth > 0 {
            below(&path, depth - 1, found)?;
        } else if path.file_name().is_some_and(|name| name == FITTED) {
            found.push(path);
        } else if path.file_name().is_some_and(|name| name == RECORD) {
            found.extend(used_by(&path)?);
        }
    }
    Ok(())
}

/// The normalisations that a run used, by its record: they lie in the cache beside its folder.
fn used_by(record: &Path) -> Result<Vec<PathBuf>> {
    let said: Value = files::read_json(record)?;
    let stages = said["stages"].as_array().map_or(&[][..], Vec::as_slice);
    let whole = std::path::absolute(record).unwrap_or_else(|_| record.to_owned());
    let stores = || {
        let folders = record.ancestors().chain(whole.ancestors());
        folders.map(|folder| Store::new(&folder.join(CACHE)))
    };
    let found = stages.iter().filter_map(|stage| {
        let (stage, key) = (stage["stage"].as_str()?, Key::recorded(stage["key"].as_str()?)?);
        // no name out of a file becomes a path
        let stage = ["normalise", "prepare"].into_iter().find(|name| *name == stage)?;
        stores().map(|store| store.dir(stage, &key).join(FITTED)).find(|path| path.is_file())
    });
    Ok(found.collect())
}

impl FoundStats {
    /// What is shown of it.
    pub fn summary(&self) -> StatsSummary {
        let fitted = &self.fitted;
        StatsSummary {
            formula: fitted.kind(),
            n_recordings: fitted.n_recordings(),
            n_parcels: fitted.shift().len(),
            shift: three(fitted.shift()),
            scale: three(fitted.scale()),
            unfitted: fitted.unfitted().into_iter().map(|at| at + 1).collect(),
        }
    }

    /// Writes it as a table (`.csv`, `.tsv`: parcel, shift, scale) or as the program's JSON.
    ///
    /// # Errors
    /// Where nothing was fitted that a table could hold, or the file cannot be written.
    pub fn export(&self, to: &Path) -> Result<()> {
        let to = &std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
        let separator = match preprocess::ending(to).as_str() {
            "json" => return Ok(files::write_json(to, &self.fitted)?),
            "csv" => ',',
            "tsv" => '\t',
            _ => {
                let problem = "is no .json, .csv or .tsv file".to_owned();
                return Err(Error::Stats { path: to.to_owned(), problem });
            }
        };
        if self.fitted.shift().is_empty() {
            let path = self.path.clone();
            let problem =
                "each recording is brought to scale by itself: there are no numbers to export"
                    .to_owned();
            return Err(Error::Stats { path, problem });
        }
        let mut text = ["parcel", "shift", "scale"].join(&separator.to_string());
        let rows = self.fitted.shift().iter().zip(self.fitted.scale());
        for (at, (shift, scale)) in rows.enumerate() {
            let scale = if scale.is_finite() { scale.to_string() } else { "n/a".to_owned() };
            let number = (at + 1).to_string();
            let cells = [number.as_str(), &shift.to_string(), &scale];
            text.push('\n');
            text += &cells.join(&separator.to_string());
        }
        text.push('\n');
        Ok(files::write_atomic(to, text.as_bytes())?)
    }
}

/// Smallest, middle and largest of the numbers that are some.
fn three(values: &Array1<f64>) -> Option<[f64; 3]> {
    let mut known: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
    known.sort_by(f64::total_cmp);
    Some([*known.first()?, known[known.len() / 2], *known.last()?])
}
