//! Digests of files that were read before, known again by what the system says of them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{Result, read_json, sha256_bytes, sha256_file, to_json, write_json};

/// A file that changed so shortly before it was read may change again without its times telling: some
/// file systems count in whole seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// What the system says of a file; where any of it changes, the file is read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    /// Of content, name or permissions; no program sets it.
    changed: (i64, i64),
    inode: u64,
    device: u64,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    seen: Seen,
    sha256: String,
}

/// Digests of files by path, kept in a file of its own, so that what did not change is not read again.
///
/// A file is known by its path, size, times and inode. Paths are kept as digests.
#[derive(Debug)]
pub struct DigestIndex {
    path: PathBuf,
    trusting: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<String, Known>,
    /// Entries that are not in the file yet.
    new: BTreeMap<String, Known>,
    n_read: usize,
}

/// The list as it is stored, with what shows a change of it.
#[derive(Serialize, Deserialize)]
struct Sealed {
    sha256: String,
    known: BTreeMap<String, Known>,
}

impl Sealed {
    fn of(known: BTreeMap<String, Known>) -> Self {
        Self { sha256: sha256_bytes(to_json(&known).as_bytes()), known }
    }

    /// What was written; nothing where it is not there or damaged.
    fn read(path: &Path) -> BTreeMap<String, Known> {
        let Ok(found) = read_json::<Self>(path) else { return BTreeMap::new() };
        let sealed = Self::of(found.known);
        if sealed.sha256 == found.sha256 { sealed.known } else { BTreeMap::new() }
    }
}

impl DigestIndex {
    /// The index in `path`; an empty one where there is none or it is damaged.
    pub fn open(path: &Path) -> Self {
        let state = State { known: Sealed::read(path), ..State::default() };
        Self { path: path.to_owned(), trusting: true, state: Mutex::new(state) }
    }

    /// The index in `path`, with what is new in a part of its own until [`DigestIndex::gather`]: several
    /// processes add to one index without writing one file. `name` is a file name.
    pub fn open_part(path: &Path, name: &str) -> Self {
        let part = parts_of(path).join(format!("{name}.json"));
        let mut known = Sealed::read(path);
        known.extend(Sealed::read(&part));
        let state = State { known, ..State::default() };
        Self { path: part, trusting: true, state: Mutex::new(state) }
    }

    /// Takes the parts of the index into its file.
    pub fn gather(&self) -> Result<()> {
        let parts = parts_of(&self.path);
        let names = if parts.is_dir() { crate::list(&parts)? } else { Vec::new() };
        if names.is_empty() {
            return Ok(());
        }
        for name in &names {
            let part = Sealed::read(&parts.join(name));
            let mut state = self.state();
            state.new.extend(part.clone());
            if self.trusting {
                state.known.extend(part);
            }
        }
        self.save()?;
        // a process that still works loses what it added at most, and that is read again
        names.iter().try_for_each(|name| crate::remove_file(&parts.join(name)))
    }

    /// An index in `path` that knows nothing: every file is read.
    pub fn verifying(path: &Path) -> Self {
        Self { path: path.to_owned(), trusting: false, state: Mutex::default() }
    }

    /// An index of other files in `path`, which trusts as this one does.
    pub fn beside(&self, path: &Path) -> Self {
        if self.trusting { Self::open(path) } else { Self::verifying(path) }
    }

    /// The SHA-256 of a file, in hexadecimal.
    pub fn sha256(&self, path: &Path) -> io::Result<String> {
        let name = sha256_bytes(std::path::absolute(path)?.as_os_str().as_encoded_bytes());
        let before = seen(path)?;
        if self.trusting
            && let Some(before) = &before
            && let Some(known) = self.state().known.get(&name)
            && known.seen == *before
        {
            return Ok(known.sha256.clone());
        }
        let begun = SystemTime::now();
        let sha256 = sha256_file(path)?;
        let after = seen(path)?;
        let mut state = self.state();
        state.n_read += 1;
        if let Some(seen) = before
            && after.as_ref() == Some(&seen)
            && seen.is_settled(begun)
        {
            let known = Known { seen, sha256: sha256.clone() };
            state.known.insert(name.clone(), known.clone());
            state.new.insert(name, known);
        }
        Ok(sha256)
    }

    /// How many files were read.
    pub fn n_read(&self) -> usize {
        self.state().n_read
    }

    /// Adds what is new to the file; what others added in between stays.
    pub fn save(&self) -> Result<()> {
        let new = std::mem::take(&mut self.state().new);
        if new.is_empty() {
            return Ok(());
        }
        let mut all = Sealed::read(&self.path);
        all.extend(new);
        write_json(&self.path, &Sealed::of(all))
    }

    /// Every change is whole, so a panic elsewhere leaves nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Whether the last change lies far enough before `now` that another one would show.
    fn is_settled(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanoseconds) = self.modified.max(self.changed);
        let changed = Duration::new(seconds.max(0) as u64, nanoseconds.max(0) as u32);
        changed + SETTLED < now
    }
}

/// The folder of the parts of an index.
fn parts_of(path: &Path) -> PathBuf {
    path.with_extension("parts")
}

/// `None` where the system does not say enough to know a file again.
#[cfg(unix)]
fn seen(path: &Path) -> io::Result<Option<Seen>> {
    use std::os::unix::fs::MetadataExt as _;
    let it = fs::metadata(path)?;
    Ok(Some(Seen {
        size: it.len(),
        modified: (it.mtime(), it.mtime_nsec()),
        changed: (it.ctime(), it.ctime_nsec()),
        inode: it.ino(),
        device: it.dev(),
    }))
}

#[cfg(not(unix))]
fn seen(path: &Path) -> io::Result<Option<Seen>> {
    fs::metadata(path).map(|_| None)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn settle() {
        std::thread::sleep(SETTLED + Duration::from_millis(50));
    }

    #[test]
    fn parts_of_an_index_are_gathered_into_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, list] = ["a", "b", "digests.json"].map(|name| dir.path().join(name));
        fs::write(&a, "abc").unwrap();
        fs::write(&b, "abd").unwrap();
        settle();
        for (name, path) in [("run-1", &a), ("run-2", &b)] {
            let part = DigestIndex::open_part(&list, name);
            part.sha256(path).unwrap();
            part.save().unwrap();
            assert!(!list.exists(), "a part writes its own file only");
        }
        let again = DigestIndex::open_part(&list, "run-1");
        assert_eq!((again.sha256(&a).unwrap(), again.n_read()), (sha256_bytes(b"abc"), 0));
        DigestIndex::open(&list).gather().unwrap();
        assert!(crate::list(&parts_of(&list)).unwrap().is_empty());
        let whole = DigestIndex::open(&list);
        assert_eq!(
            [&a, &b].map(|path| whole.sha256(path).unwrap()),
            [sha256_bytes(b"abc"), sha256_bytes(b"abd")]
        );
        assert_eq!(whole.n_read(), 0);
    }

    #[test]
    fn a_file_is_read_once_and_again_when_anything_of_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let [path, list] = ["scan", "digests.json"].map(|name| dir.path().join(name));
        fs::write(&path, "abc").unwrap();
        let fresh = DigestIndex::open(&list);
        assert_eq!(fresh.sha256(&path).unwrap(), sha256_bytes(b"abc"));
        assert_eq!(fresh.sha256(&path).unwrap(), sha256_bytes(b"abc"));
        assert_eq!(fresh.n_read(), 2, "it may have changed within the same moment");
        fresh.save().unwrap();
        assert!(!list.exists(), "nothing is known yet");
        settle();
        fresh.sha256(&path).unwrap();
        fresh.save().unwrap();
        let read = |index: &DigestIndex| (index.sha256(&path).unwrap(), index.n_read());
        assert_eq!(read(&DigestIndex::open(&list)), (sha256_bytes(b"abc"), 0));
        assert_eq!(read(&DigestIndex::verifying(&list)), (sha256_bytes(b"abc"), 1));
        // another content of the same length, with the time of the first
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "abd").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(read(&DigestIndex::open(&list)), (sha256_bytes(b"abd"), 1));
        // another file under the same name
        let beside = dir.path().join("beside");
        fs::write(&beside, "abc").unwrap();
        fs::rename(&beside, &path).unwrap();
        assert_eq!(read(&DigestIndex::open(&list)), (sha256_bytes(b"abc"), 1));
        settle();
        let whole = DigestIndex::open(&list);
        whole.sha256(&path).unwrap();
        whole.save().unwrap();
        assert_eq!(read(&DigestIndex::open(&list)).1, 0);
        // one digit of a digest
        let text = fs::read_to_string(&list).unwrap();
        let digit = sha256_bytes(b"abc");
        fs::write(&list, text.replace(&digit, &sha256_bytes(b"abd"))).unwrap();
        let damaged = DigestIndex::open(&list);
        assert_eq!(read(&damaged), (digit, 1), "a damaged list is an empty one");
        assert!(DigestIndex::open(&list).sha256(&dir.path().join("nowhere")).is_err());
    }

    #[test]
    fn two_runs_keep_what_the_other_learned_and_no_path_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("digests.json");
        let paths = ["sub-01", "sub-02"].map(|name| dir.path().join(name));
        paths.iter().for_each(|path| fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap());
        settle();
        let runs = [DigestIndex::open(&list), DigestIndex::open(&list)];
        for (run, path) in runs.iter().zip(&paths) {
            run.sha256(path).unwrap();
            run.save().unwrap();
        }
        let third = DigestIndex::open(&list);
        paths.iter().for_each(|path| drop(third.sha256(path).unwrap()));
        assert_eq!(third.n_read(), 0);
        assert!(!fs::read_to_string(&list).unwrap().contains("sub-0"));
    }
}
