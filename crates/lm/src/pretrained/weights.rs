//! The weight files of a Hugging Face folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use nn::weights::Frozen;
use serde::Deserialize;

use super::config_error;
use crate::Result;
use crate::error::read_text;

/// What a folder's weights may be called, the preferred first; a list of shards ends in `.json`.
const NAMES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Which shard holds which tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    fn open(path: &Path) -> Result<Self> {
        let text = read_text(path)?;
        let index: Self = serde_json::from_str(&text).map_err(|error| config_error(path, error))?;
        let outside = |shard: &&String| shard.contains(['/', '\\']) || shard.starts_with('.');
        match index.weight_map.values().find(outside) {
            Some(shard) => Err(config_error(path, format!("shard `{shard}` is no name of a file"))),
            None => Ok(index),
        }
    }

    /// Its shards, each once.
    fn shards(&self, folder: &Path) -> Vec<PathBuf> {
        let names: BTreeSet<&String> = self.weight_map.values().collect();
        names.into_iter().map(|name| folder.join(name)).collect()
    }
}

/// The one file, or the list of shards, that a folder has.
fn found(folder: &Path) -> Result<PathBuf> {
    let mut paths = NAMES.iter().map(|name| folder.join(name));
    let is_there = |path: &PathBuf| path.is_file() || formats::dangling(path).is_some();
    paths.find(is_there).ok_or_else(|| {
        config_error(folder, format!("found no weights, expected one of {}", NAMES.join(", ")))
    })
}

fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

/// Every file that belongs to a folder's weights.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let path = found(folder)?;
    let shards = if is_index(&path) { Index::open(&path)?.shards(folder) } else { Vec::new() };
    Ok([vec![path], shards].concat())
}

/// Describes a folder's weights, under the names of its files.
pub(super) fn open(folder: &Path) -> Result<Frozen> {
    let path = found(folder)?;
    if !is_index(&path) {
        return Ok(Frozen::open(&path)?);
    }
    let index = Index::open(&path)?;
    let mut parts = BTreeMap::new();
    for shard in index.shards(folder) {
        let part = Frozen::open(&shard)?;
        parts.insert(shard, part);
    }
    for (name, shard) in &index.weight_map {
        let path = folder.join(shard);
        if !parts[&path].contains(name) {
            return Err(nn::Error::Missing { path, name: name.clone() }.into());
        }
    }
    let parts: Vec<Frozen> = parts.into_values().collect();
    Ok(Frozen::joined(&path, &parts)?)
}
