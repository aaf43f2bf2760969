//! The state of a training on disk, so that a stopped one goes on exactly.
//!
//! A state is a folder `step-NNNNNN` written aside, synced and renamed, with the digests of its files.
//! The two newest are kept: a kill at any moment leaves a whole state, and where the newest is damaged
//! the training goes on from the one before.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use nn::weights::save as save_tensors;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Progress, Result};

const TENSORS: &str = "state.safetensors";
const FACTS: &str = "state.json";
const DIGESTS: &str = "digests.json";

/// States that stay.
const KEPT: usize = 2;

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
    let staged = folder.join("writing");
    if staged.exists() {
        fs::remove_dir_all(&staged).map_err(io(&staged))?;
    }
    fs::create_dir_all(&staged).map_err(io(&staged))?;
    save_tensors(&staged.join(TENSORS), tensors)?;
    write_json(&staged.join(FACTS), facts)?;
    let mut digests = BTreeMap::new();
    for name in [TENSORS, FACTS] {
        digests
            .insert(name, files::sha256_file(staged.join(name)).map_err(io(&staged.join(name)))?);
    }
    write_json(&staged.join(DIGESTS), &digests)?;
    files::publish_dir(&staged, &folder.join(format!("step-{step:06}")))?;
    let states = states(folder)?;
    for old in &states[..states.len().saturating_sub(KEPT)] {
        fs::remove_dir_all(old).map_err(io(old))?;
    }
    Ok(())
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(value)
        .map_err(|error| Error::Checkpoint { path: path.to_owned(), reason: error.to_string() })?;
    fs::write(path, json).map_err(io(path))
}

/// Gives the newest state that is whole and that `take` accepts; the ones that are not are removed and
/// told to `watch`.
///
/// `take` changes nothing where a state is not whole, and says what it lacks; its error ends the search.
pub(crate) fn resume<F: DeserializeOwned>(
    folder: &Path,
    watch: &mut dyn FnMut(&Progress),
    mut take: impl FnMut(HashMap<String, Tensor>, F) -> Result<Result<(), String>>,
) -> Result<()> {
    for path in states(folder)?.into_iter().rev() {
        let taken = match read(&path)? {
            Ok((tensors, facts)) => take(tensors, facts)?,
            Err(reason) => Err(reason),
        };
        let Err(reason) = taken else { return Ok(()) };
        fs::remove_dir_all(&path).map_err(io(&path))?;
        let state = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        watch(&Progress::StateLost { state, reason });
    }
    Ok(())
}

/// Tensors and facts, or what is wrong with them.
type State<F> = Result<(HashMap<String, Tensor>, F), String>;

/// A state; an error of the system ends the training.
fn read<F: DeserializeOwned>(path: &Path) -> Result<State<F>> {
    let mut texts = Vec::new();
    for name in [DIGESTS, FACTS] {
        match fs::read(path.join(name)) {
            Ok(bytes) => texts.push(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Err(format!("{name} is missing")));
            }
            Err(error) => return Err(io(&path.join(name))(error)),
        }
    }
    let Ok(expected) = serde_json::from_slice::<BTreeMap<String, String>>(&texts[0]) else {
        return Ok(Err(format!("{DIGESTS} is damaged")));
    };
    for name in [TENSORS, FACTS] {
        match files::sha256_file(path.join(name)) {
            Ok(found) if expected.get(name) == Some(&found) => {}
            Ok(_) => return Ok(Err(format!("{name} is not what was written"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Err(format!("{name} is missing")));
            }
            Err(error) => return Err(io(&path.join(name))(error)),
        }
    }
    let tensors = nn::weights::load(&path.join(TENSORS));
    let facts = serde_json::from_slice(&texts[1]);
    Ok(match (tensors, facts) {
        (Ok(tensors), Ok(facts)) => Ok((tensors, facts)),
        (Err(error), _) => Err(format!("{TENSORS}: {error}")),
        (_, Err(error)) => Err(format!("{FACTS}: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(x: f32) -> Result<HashMap<String, Tensor>> {
        Ok(HashMap::from([("a".to_owned(), Tensor::new(&[x], &candle_core::Device::Cpu)?)]))
    }

    /// The value that was gone on with, and the states that were lost.
    fn resumed(folder: &Path) -> (Option<(f32, usize)>, Vec<Progress>) {
        let (mut taken, mut lost) = (None, Vec::new());
        resume(folder, &mut |news| lost.push(news.clone()), |tensors, facts: usize| {
            taken = Some((tensors["a"].to_vec1::<f32>()?[0], facts));
            Ok(Ok(()))
        })
        .unwrap();
        (taken, lost)
    }

    #[test]
    fn the_newest_whole_state_is_read_and_debris_is_not() -> Result<()> {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("state");
        assert_eq!(resumed(&folder), (None, Vec::new()));
        for step in [10, 200, 300] {
            save(&folder, step, &tensor(step as f32)?, &step)?;
        }
        fs::create_dir(folder.join("writing")).unwrap();
        fs::write(folder.join("writing").join(TENSORS), b"half").unwrap();
        assert_eq!(resumed(&folder), (Some((300., 300)), Vec::new()));
        assert_eq!(states(&folder)?.len(), KEPT);
        save(&folder, 400, &tensor(4.)?, &400usize)?;
        assert_eq!(resumed(&folder).0, Some((4., 400)));
        Ok(())
    }

    #[test]
    fn a_damaged_state_is_removed_and_the_one_before_is_read() -> Result<()> {
        let flip = |path: &Path| {
            let mut bytes = fs::read(path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        };
        for name in [TENSORS, FACTS, DIGESTS] {
            for gone in [false, true] {
                let root = tempfile::tempdir().unwrap();
                for step in [10, 200] {
                    save(root.path(), step, &tensor(step as f32)?, &step)?;
                }
                let path = root.path().join("step-000200").join(name);
                if gone {
                    fs::remove_file(&path).unwrap();
                } else {
                    flip(&path);
                }
                let (taken, lost) = resumed(root.path());
                assert_eq!(taken, Some((10., 10)), "{name}");
                let [Progress::StateLost { state, reason }] = &lost[..] else { panic!("{lost:?}") };
                assert!(state == "step-000200" && reason.contains(name), "{state} {reason}");
                // the step is saved again when it is reached again
                save(root.path(), 200, &tensor(200.)?, &200usize)?;
                assert_eq!(resumed(root.path()), (Some((200., 200)), Vec::new()));
                states(root.path())?.iter().for_each(|state| flip(&state.join(TENSORS)));
                let (taken, lost) = resumed(root.path());
                assert!(taken.is_none() && lost.len() == 2, "{lost:?}");
            }
        }
        Ok(())
    }
}
