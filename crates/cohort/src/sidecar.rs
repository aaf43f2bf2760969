//! `RepetitionTime` and `StartTime` of the sidecars that a scan inherits: a deeper one goes before one
//! above it, and in one folder the one that names more entities of the scan.
//!
//! Source: BIDS specification, common principles, "The Inheritance Principle".

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    rc::Rc,
};

use files::FileIndex;
use scan::FailureKind;
use serde::{Deserialize, Serialize};

use crate::{
    bids::EXTENSIONS,
    entity::BidsName,
    folder::Folder,
    reason::{Part, Reason},
    root::Root,
};

/// The most bytes a sidecar may have.
const MAX_BYTES: u64 = 16 << 20;

/// Sidecars and folders that were read, each once.
pub(crate) struct Sidecars<'a> {
    known: &'a FileIndex,
    files: HashMap<PathBuf, Result<Keys, Reason>>,
    folders: HashMap<PathBuf, Option<Rc<Folder>>>,
}

/// What the sidecars of a scan give.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// Seconds between two frames.
    pub(crate) t_r: Option<f64>,
    /// Seconds from the start of the scan to the time that the first frame stands for.
    pub(crate) start_s: Option<f64>,
}

/// The keys of one file.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Keys {
    repetition_time: Option<Entry>,
    start_time: Option<Entry>,
    volume_timing: bool,
}

/// The value of a key.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Entry {
    Number(f64),
    /// Null, a text, ….
    Other,
}

impl<'a> Sidecars<'a> {
    /// None was read yet, in this process; those that `known` has seen are not read again.
    pub(crate) fn new(known: &'a FileIndex) -> Self {
        Self { known, files: HashMap::new(), folders: HashMap::new() }
    }

    /// What the sidecars of `levels`, from the top to the scan's folder, give.
    pub(crate) fn of_levels(
        &mut self,
        levels: &[&Folder],
        scan: &BidsName,
        root: &Root,
    ) -> Result<Said, Reason> {
        let mut said = Said::default();
        for folder in levels.iter().rev() {
            for name in applicable(folder, scan) {
                self.read(folder.path(), name, Some(root))?.add_to(&mut said)?;
            }
        }
        Ok(said)
    }

    /// What the sidecars of one scan give: the file of the same name, then those of its folder and of the
    /// folders `ses-…`, `sub-…` and the dataset above it. None outside of `root` is read. Arrays and tensors
    /// have none: what is made of a scan may have another repetition time.
    pub(crate) fn of_scan(&mut self, scan: &Path, root: Option<&Root>) -> Result<Said, Reason> {
        let mut said = Said::default();
        let name = scan.file_name().and_then(|name| name.to_str());
        let has_sidecars = |name: &&str| EXTENSIONS.iter().any(|ending| name.ends_with(ending));
        let Some(name) = name.filter(has_sidecars) else { return Ok(said) };
        let above = scan.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let own = format!("{}.json", stem(name));
        if above.join(&own).is_file() {
            self.read(above, &own, root)?.add_to(&mut said)?;
        }
        let Some(parsed) = BidsName::parse(name).filter(|_| said.t_r.is_none()) else {
            return Ok(said);
        };
        let place = above.canonicalize().unwrap_or_else(|_| above.to_path_buf());
        let mut level = Some(place.as_path());
        while let Some(path) = level {
            if let Some(folder) = self.folder(path) {
                for name in applicable(&folder, &parsed).into_iter().filter(|it| **it != own) {
                    self.read(path, name, root)?.add_to(&mut said)?;
                }
            }
            level = path.parent().filter(|_| is_inside_dataset(path));
        }
        Ok(said)
    }

    fn folder(&mut self, path: &Path) -> Option<Rc<Folder>> {
        let listed = || Folder::list(path).ok().map(Rc::new);
        self.folders.entry(path.to_path_buf()).or_insert_with(listed).clone()
    }

    fn read(&mut self, folder: &Path, name: &str, root: Option<&Root>) -> Result<Keys, Reason> {
        let entry = self.files.entry(folder.join(name));
        let keys = |path: &Path| self.known.fact(path, &[], "sidecar", || keys(path));
        let read = || match root {
            Some(root) => keys(&root.file(folder, Path::new(name), Part::Sidecar)?),
            None => keys(&folder.join(name)),
        };
        entry.or_insert_with(read).clone()
    }
}

impl Keys {
    /// Adds what no deeper sidecar gave.
    fn add_to(self, said: &mut Said) -> Result<(), Reason> {
        let number = |key: &str, entry: Entry| match entry {
            Entry::Number(number) => Ok(Some(number)),
            Entry::Other => {
                let problem = format!("{key} of the sidecar is not a number");
                Err(Reason::RepetitionTime { problem })
            }
        };
        if said.start_s.is_none()
            && let Some(value) = self.start_time
        {
            said.start_s = number("StartTime", value)?;
        }
        match self.repetition_time {
            _ if said.t_r.is_some() => {}
            Some(value) => said.t_r = number("RepetitionTime", value)?,
            None if self.volume_timing => {
                let problem = "the sidecar gives VolumeTiming: frames are not evenly spaced";
                return Err(Reason::RepetitionTime { problem: problem.to_owned() });
            }
            None => {}
        }
        Ok(())
    }
}

/// The repetition time in seconds that one sidecar says.
pub(crate) fn repetition_time(path: &Path) -> Option<f64> {
    match keys(path).ok()?.repetition_time? {
        Entry::Number(seconds) => Some(seconds),
        Entry::Other => None,
    }
}

/// Names of the sidecars of a folder that apply to a scan, the most specific first.
fn applicable<'a>(folder: &'a Folder, scan: &BidsName) -> Vec<&'a str> {
    let applies = |(_, name): &(&str, &BidsName)| {
        name.suffix == scan.suffix && scan.entities.includes(&name.entities)
    };
    let mut sidecars: Vec<(&str, &BidsName)> = folder.sidecars().filter(applies).collect();
    sidecars.sort_by_key(|(_, name)| std::cmp::Reverse(name.entities.len()));
    sidecars.into_iter().map(|(name, _)| name).collect()
}

/// Whether the folder above belongs to the same dataset.
fn is_inside_dataset(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == "func" || name.starts_with("ses-") || name.starts_with("sub-")
}

/// A file's name without what says its form.
fn stem(name: &str) -> &str {
    const ENDINGS: [&str; 5] =
        [".nii.gz", ".dtseries.nii", ".ptseries.nii", ".tsv.gz", ".func.gii"];
    let known = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
    known.unwrap_or_else(|| name.rsplit_once('.').map_or(name, |(stem, _)| stem))
}

fn keys(path: &Path) -> Result<Keys, Reason> {
    let unreadable = |problem: String| Reason::Unreadable {
        part: Part::Sidecar,
        problem,
        kind: FailureKind::Sidecar,
    };
    let n_bytes = std::fs::metadata(path).map_err(|it| unreadable(it.to_string()))?.len();
    if n_bytes > MAX_BYTES {
        return Err(unreadable(format!("has {n_bytes} bytes, the limit is {MAX_BYTES}")));
    }
    let bytes = scan::read_up_to(path, MAX_BYTES).map_err(|it| unreadable(it.to_string()))?;
    if let Some(found) = scan::pointer(&bytes) {
        return Err(unreadable(format!("is {found}")));
    }
    // a value is never repeated in a sentence: sidecars hold dates and names
    let sidecar = scan::parse_sidecar(&bytes).map_err(unreadable)?;
    let number = |key: &str| {
        let value = sidecar.get(key)?;
        Some(value.as_f64().map_or(Entry::Other, Entry::Number))
    };
    Ok(Keys {
        repetition_time: number("RepetitionTime"),
        start_time: number("StartTime"),
        volume_timing: sidecar.get("VolumeTiming").is_some(),
    })
}
