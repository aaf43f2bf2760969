//! What lies in a folder, and what is taken out of it.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use crate::{Result, at};

/// The folder and those above it.
pub fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(at("create", path))
}

/// Removes a folder that may not be there.
pub fn remove_dir(path: &Path) -> Result<()> {
    removed(path, fs::remove_dir_all(path))
}

/// Removes a file that may not be there.
pub fn remove_file(path: &Path) -> Result<()> {
    removed(path, fs::remove_file(path))
}

fn removed(path: &Path, result: io::Result<()>) -> Result<()> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(at("remove", path)(source)),
        _ => Ok(()),
    }
}

/// Removes a file named by an earlier record, and the folders it leaves empty; never outside `dir`.
pub fn remove_inside(dir: &Path, path: &str) -> Result<()> {
    let path = Path::new(path);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(());
    }
    remove_file(&dir.join(path))?;
    // a folder that still holds something stays
    let above = path.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty());
    above.map_while(|it| fs::remove_dir(dir.join(it)).ok()).for_each(drop);
    Ok(())
}

/// Names of what lies in the folder, sorted.
pub fn list(path: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(path).map_err(at("list", path))?;
    let mut names = entries
        .map(|entry| {
            Ok(entry.map_err(at("list", path))?.file_name().to_string_lossy().into_owned())
        })
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Every file below `dir`, relative to it, sorted; links are not followed.
pub fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let here = dir.join(&folder);
        for entry in fs::read_dir(&here).map_err(at("list", &here))? {
            let entry = entry.map_err(at("list", &here))?;
            let path = folder.join(entry.file_name());
            if entry.file_type().map_err(at("list", &here))?.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_file_is_removed_with_its_empty_folders_and_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("run");
        for name in ["run/a/b/c.txt", "run/a/d.txt", "outside.txt"] {
            crate::write_atomic(&dir.path().join(name), b"x").unwrap();
        }
        remove_inside(&inside, "a/b/c.txt").unwrap();
        remove_inside(&inside, "../outside.txt").unwrap();
        remove_inside(&inside, &dir.path().join("outside.txt").display().to_string()).unwrap();
        remove_inside(&inside, "a/nowhere.txt").unwrap();
        let left = below(dir.path()).unwrap();
        assert_eq!(left, [Path::new("outside.txt"), Path::new("run/a/d.txt")]);
        assert_eq!(list(&inside.join("a")).unwrap(), ["d.txt"]);
    }
}
