//! The state of a training on disk, so that a stopped one goes on exactly.
//!
//! A state is a folder `step-NNNNNN` written aside, synced and renamed; the one before is removed
//! afterwards. A kill at any moment leaves the last whole state.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use nn::weights::save as save_tensors;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

const TENSORS: &str = "state.safetensors";
const FACTS: &str = "state.json";

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::Io { path, source }
}

/// Whole states in `folder`, oldest first.
fn states(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut states = Vec::new();
    for entry in fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        let named = path.file_name().and_then(|name| name.to_str());
        if named.is_some_and(|name| name.starts_with("step-")) {
            states.push(path);
        }
    }
    states.sort();
    Ok(states)
}

/// Saves tensors and facts as the state after `step`.
pub(crate) fn save(
    folder: &Path,
    step: usize,
    tensors: &HashMap<String, Tensor>,
    facts: &impl Serialize,
) -> Result<()> {
    let old = states(folder)?;
    let staged = folder.join("writing");
    if staged.exists() {
        fs::remove_dir_all(&staged).map_err(io(&staged))?;
    }
    fs::create_dir_all(&staged).map_err(io(&staged))?;
    save_tensors(&staged.join(TENSORS), tensors)?;
    let json = serde_json::to_vec(facts)
        .map_err(|error| Error::Checkpoint { path: staged.clone(), reason: error.to_string() })?;
    fs::write(staged.join(FACTS), json).map_err(io(&staged))?;
    for name in [TENSORS, FACTS] {
        let path = staged.join(name);
        fs::File::open(&path).and_then(|file| file.sync_all()).map_err(io(&path))?;
    }
    let path = folder.join(format!("step-{step:06}"));
    if !path.exists() {
        fs::rename(&staged, &path).map_err(io(&path))?;
    }
    for old in old.iter().filter(|old| **old != path) {
        fs::remove_dir_all(old).map_err(io(old))?;
    }
    Ok(())
}

/// The newest state in `folder`, if any.
pub(crate) fn load<F: DeserializeOwned>(
    folder: &Path,
) -> Result<Option<(HashMap<String, Tensor>, F)>> {
    let Some(path) = states(folder)?.pop() else { return Ok(None) };
    let tensors = candle_core::safetensors::load(path.join(TENSORS), &Device::Cpu)?;
    let facts = path.join(FACTS);
    let json = fs::read(&facts).map_err(io(&facts))?;
    let facts = serde_json::from_slice(&json)
        .map_err(|error| Error::Checkpoint { path: facts, reason: error.to_string() })?;
    Ok(Some((tensors, facts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_state_is_read_and_debris_is_not() -> Result<()> {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("state");
        assert!(load::<usize>(&folder)?.is_none());
        let tensor =
            |x: f32| Tensor::new(&[x], &Device::Cpu).map(|t| HashMap::from([("a".to_owned(), t)]));
        save(&folder, 10, &tensor(1.)?, &10usize)?;
        save(&folder, 200, &tensor(2.)?, &200usize)?;
        fs::create_dir(folder.join("writing")).unwrap();
        fs::write(folder.join("writing").join(TENSORS), b"half").unwrap();
        let (tensors, facts) = load::<usize>(&folder)?.unwrap();
        assert_eq!((tensors["a"].to_vec1::<f32>()?, facts), (vec![2.], 200));
        assert_eq!(states(&folder)?.len(), 1);
        save(&folder, 300, &tensor(3.)?, &300usize)?;
        assert_eq!(load::<usize>(&folder)?.unwrap().1, 300);
        Ok(())
    }
}
