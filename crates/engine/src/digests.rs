//! The digest of every file of a stored stage result, checked when the result is used.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

const DIGESTS: &str = "digests.json";

/// Writes the digests of all files below `dir`.
pub(crate) fn write(dir: &Path) -> Result<()> {
    let mut digests = BTreeMap::new();
    for path in files::below(dir)? {
        let digest =
            files::sha256_file(dir.join(&path)).map_err(files::at("read", &dir.join(&path)))?;
        digests.insert(path.to_string_lossy().into_owned(), digest);
    }
    Ok(files::write_json(&dir.join(DIGESTS), &digests)?)
}

/// The digests of all files below `dir`, by their path.
///
/// # Errors
/// [`Error::Damaged`] where a file is missing, one too many, or not what was written.
pub fn check(dir: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let list = dir.join(DIGESTS);
    let expected: BTreeMap<String, String> =
        files::read_json(&list).map_err(|_| Error::damaged(&list, "it cannot be read"))?;
    let mut found = BTreeMap::new();
    for path in files::below(dir)?.into_iter().filter(|path| path != Path::new(DIGESTS)) {
        let (name, path) = (path.to_string_lossy().into_owned(), dir.join(&path));
        let digest = files::sha256_file(&path).map_err(files::at("read", &path))?;
        match expected.get(&name) {
            Some(known) if *known == digest => found.insert(path, digest),
            Some(_) => return Err(Error::damaged(&path, Error::CHANGED)),
            None => return Err(Error::damaged(&path, "it is no part of the result")),
        };
    }
    match expected.keys().find(|name| !found.contains_key(&dir.join(name))) {
        Some(name) => Err(Error::damaged(&dir.join(name), "it is missing")),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_a_stored_folder_is_found_and_named() {
        let made = || {
            let dir = tempfile::tempdir().unwrap();
            files::write_atomic(&dir.path().join("a.json"), b"{}").unwrap();
            files::write_atomic(&dir.path().join("model/b.bin"), &[1, 2, 3]).unwrap();
            write(dir.path()).unwrap();
            dir
        };
        let whole = made();
        let found = check(whole.path()).unwrap();
        assert_eq!(found[&whole.path().join("a.json")], files::sha256_bytes(b"{}"));
        assert_eq!(found.len(), 2);
        let problem = |change: &dyn Fn(&Path)| {
            let dir = made();
            change(dir.path());
            check(dir.path()).unwrap_err().to_string()
        };
        let flipped = problem(&|dir| std::fs::write(dir.join("model/b.bin"), [1, 2, 7]).unwrap());
        assert!(flipped.contains("b.bin: the stored result is damaged"), "{flipped}");
        let missing = problem(&|dir| std::fs::remove_file(dir.join("a.json")).unwrap());
        assert!(missing.contains("a.json") && missing.ends_with("it is missing"), "{missing}");
        let more = problem(&|dir| std::fs::write(dir.join("c"), "").unwrap());
        assert!(more.contains("it is no part of the result"), "{more}");
        let list = problem(&|dir| std::fs::remove_file(dir.join(DIGESTS)).unwrap());
        assert!(list.contains(DIGESTS), "{list}");
    }
}
