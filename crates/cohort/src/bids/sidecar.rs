//! `RepetitionTime` of the sidecars that a scan inherits: a deeper one goes before one above it,
//! and in one folder the one that says more of the scan.
//!
//! Source: BIDS specification, common principles, "The Inheritance Principle".

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::folder::Folder;
use crate::{
    entity::BidsName,
    reason::{Part, Reason},
    recording::{RepetitionTime, TrSource},
    root::Root,
};

/// The most bytes a sidecar may have.
const MAX_BYTES: u64 = 16 << 20;

/// Sidecars that were read, each once.
#[derive(Default)]
pub(super) struct Sidecars(HashMap<PathBuf, Result<Option<f64>, Reason>>);

impl Sidecars {
    /// What the sidecars of `levels`, from the top to the scan's folder, say.
    pub(super) fn repetition_time(
        &mut self,
        levels: &[&Folder],
        scan: &BidsName,
        root: &Root,
    ) -> Result<Option<RepetitionTime>, Reason> {
        for folder in levels.iter().rev() {
            let applies = |(_, name): &(&str, &BidsName)| {
                name.suffix == scan.suffix
                    && name.extension == ".json"
                    && scan.entities.includes(&name.entities)
            };
            let mut sidecars: Vec<(&str, &BidsName)> = folder.parsed().filter(applies).collect();
            sidecars.sort_by_key(|(_, name)| std::cmp::Reverse(name.entities.len()));
            for (name, _) in sidecars {
                if let Some(seconds) = self.read(folder.path(), name, root)? {
                    return Ok(Some(RepetitionTime { seconds, source: TrSource::Sidecar }));
                }
            }
        }
        Ok(None)
    }

    fn read(&mut self, folder: &Path, name: &str, root: &Root) -> Result<Option<f64>, Reason> {
        let known = self.0.entry(folder.join(name));
        known
            .or_insert_with(|| seconds(&root.file(folder, Path::new(name), Part::Sidecar)?))
            .clone()
    }
}

fn seconds(path: &Path) -> Result<Option<f64>, Reason> {
    let unreadable = |problem: String| Reason::Unreadable { part: Part::Sidecar, problem };
    let n_bytes = std::fs::metadata(path).map_err(|it| unreadable(it.to_string()))?.len();
    if n_bytes > MAX_BYTES {
        return Err(unreadable(format!("has {n_bytes} bytes, the limit is {MAX_BYTES}")));
    }
    let bytes = scan::read_up_to(path, MAX_BYTES).map_err(|it| unreadable(it.to_string()))?;
    // a value is never repeated in a sentence: sidecars hold dates and names
    let sidecar: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|it| unreadable(format!("is no JSON at line {}", it.line())))?;
    match sidecar.get("RepetitionTime") {
        None if sidecar.get("VolumeTiming").is_some() => {
            let problem = "the sidecar gives VolumeTiming: frames are not evenly spaced".to_owned();
            Err(Reason::RepetitionTime { problem })
        }
        None => Ok(None),
        Some(value) => {
            if let Some(seconds) = value.as_f64() {
                Ok(Some(seconds))
            } else {
                let problem = "RepetitionTime of the sidecar is no number".to_owned();
                Err(Reason::RepetitionTime { problem })
            }
        }
    }
}
