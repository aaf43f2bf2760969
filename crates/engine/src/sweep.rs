//! What killed runs left behind.
use std::{fs, path::Path, time::SystemTime};

use crate::Result;

/// Removes every unfinished file and folder below `root` that is older than `before`.
pub fn leftovers(root: &Path, before: SystemTime) -> Result<()> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            if !name.starts_with(files::PARTIAL) {
                if kind.is_dir() {
                    folders.push(path);
                }
                continue;
            }
            let written = entry.metadata().and_then(|it| it.modified());
            if written.is_ok_and(|written| written < before) {
                if kind.is_dir() {
                    files::remove_dir(&path)?;
                } else {
                    files::remove_file(&path)?;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn old_unfinished_files_are_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| files::write_atomic(&dir.path().join(name), b"x").unwrap();
        for name in ["a/b.json", "a/.partial-1", "a/.partial-2/model/c", ".partial-3/d", "e"] {
            put(name);
        }
        let later = SystemTime::now() + Duration::from_mins(1);
        leftovers(dir.path(), SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(files::below(dir.path()).unwrap().len(), 5);
        leftovers(dir.path(), later).unwrap();
        let left = files::below(dir.path()).unwrap();
        assert_eq!(left, [Path::new("a/b.json"), Path::new("e")]);
        leftovers(&dir.path().join("nowhere"), later).unwrap();
    }
}
