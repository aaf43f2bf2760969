//! Files, with the path in every error and nothing ever half-written.
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Component, Path, PathBuf},
};

use serde::Serialize;

use crate::{Error, Result};

fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

/// The whole file as text.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).map_err(at("read", path))?;
    refuse_pointer(path, text.as_bytes())?;
    Ok(text)
}

/// The whole file as bytes.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).map_err(at("read", path))?;
    refuse_pointer(path, &bytes)?;
    Ok(bytes)
}

/// Refuses what version control leaves in place of a file that was not fetched.
fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<()> {
    match flamingo::pointer(bytes) {
        Some(found) => Err(at("read", path)(std::io::Error::other(format!("it is {found}")))),
        None => Ok(()),
    }
}

/// The folder and those above it.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(at("create", path))
}

/// Removes a folder that may not be there.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    fs::remove_dir_all(path).map_err(at("remove", path))
}

/// Names of what lies in the folder, sorted.
pub(crate) fn list(path: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(path).map_err(at("list", path))?;
    let mut names = entries
        .map(|entry| {
            Ok(entry.map_err(at("list", path))?.file_name().to_string_lossy().into_owned())
        })
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Writes beside the target, syncs, and renames: a reader sees the old file or the new one.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    make_dir(dir)?;
    let mut aside = tempfile::Builder::new()
        .prefix(".partial-")
        .tempfile_in(dir)
        .map_err(at("create a file in", dir))?;
    aside.write_all(bytes).map_err(at("write", path))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let readable = fs::Permissions::from_mode(0o644);
        aside.as_file().set_permissions(readable).map_err(at("write", path))?;
    }
    aside.as_file().sync_all().map_err(at("sync", path))?;
    aside.persist(path).map_err(|error| at("rename into place", path)(error.error))?;
    sync_dir(dir)
}

/// [`write_atomic`] of indented JSON with a line end.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = to_json(value);
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

/// Indented JSON.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("our own types have string keys and finite numbers")
}

/// Reads what [`write_json`] wrote.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
}

/// Makes a finished folder visible under its final name; an equal one that is there first stays.
pub(crate) fn publish_dir(from: &Path, to: &Path) -> Result<()> {
    for name in list(from)? {
        let path = from.join(name);
        if path.is_file() {
            File::open(&path).and_then(|file| file.sync_all()).map_err(at("sync", &path))?;
        }
    }
    sync_dir(from)?;
    match fs::rename(from, to) {
        Ok(()) => sync_dir(to.parent().unwrap_or(Path::new("."))),
        Err(_) if to.is_dir() => remove_dir(from),
        Err(source) => Err(at("rename into place", to)(source)),
    }
}

/// Copies beside the target, syncs, and renames.
pub(crate) fn copy_atomic(from: &Path, to: &Path) -> Result<()> {
    let dir = to.parent().unwrap_or(Path::new("."));
    make_dir(dir)?;
    let aside = tempfile::Builder::new()
        .prefix(".partial-")
        .tempfile_in(dir)
        .map_err(at("create a file in", dir))?;
    fs::copy(from, aside.path()).map_err(at("copy", from))?;
    aside.as_file().sync_all().map_err(at("sync", to))?;
    aside.persist(to).map_err(|error| at("rename into place", to)(error.error))?;
    sync_dir(dir)
}

/// Removes a file named by an earlier record, and the folders it leaves empty; never outside `dir`.
pub(crate) fn remove_inside(dir: &Path, path: &str) -> Result<()> {
    let path = Path::new(path);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(());
    }
    match fs::remove_file(dir.join(path)) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(at("remove", &dir.join(path))(source));
        }
        _ => {}
    }
    // a folder that still holds something stays
    let above = path.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty());
    above.map_while(|it| fs::remove_dir(dir.join(it)).ok()).for_each(drop);
    Ok(())
}

fn sync_dir(dir: &Path) -> Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir).and_then(|file| file.sync_all()).map_err(at("sync", dir))
}

/// `path` as seen from `dir`, with `..` folded away so that messages stay readable.
pub(crate) fn join(dir: &Path, path: &Path) -> PathBuf {
    let mut folded = PathBuf::new();
    for part in dir.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(folded.components().next_back(), Some(Component::Normal(_))) =>
            {
                folded.pop();
            }
            other => folded.push(other),
        }
    }
    if folded.as_os_str().is_empty() { PathBuf::from(".") } else { folded }
}

/// `path` written relative to `dir`, if they share more than the root.
pub(crate) fn relative(path: &Path, dir: &Path) -> Option<PathBuf> {
    let absolute =
        |path: &Path| std::path::absolute(path).ok().map(|path| join(&path, Path::new("")));
    let (path, dir) = (absolute(path)?, absolute(dir)?);
    let shared = path.components().zip(dir.components()).take_while(|(a, b)| a == b).count();
    if shared < 2 {
        return None;
    }
    let up = dir.components().skip(shared).map(|_| Component::ParentDir);
    Some(up.chain(path.components().skip(shared)).collect())
}

/// `path` for a record or a page: never with the reader's home folder in it.
pub(crate) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    match path.strip_prefix(&here) {
        Ok(inside) => inside.display().to_string(),
        Err(_) if path.is_absolute() => {
            let parts: Vec<_> = path.components().rev().take(3).collect();
            let tail: PathBuf =
                parts.into_iter().rev().filter(|part| part != &Component::RootDir).collect();
            format!("…/{}", tail.display())
        }
        Err(_) => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        write_atomic(&path, b"old").unwrap();
        // a folder of that name cannot be replaced by a file
        let blocked = dir.path().join("b");
        fs::create_dir_all(blocked.join("inside")).unwrap();
        assert!(write_atomic(&blocked, b"new").is_err());
        assert_eq!(read_text(&path).unwrap(), "old");
        assert_eq!(list(dir.path()).unwrap(), ["a.json", "b"], "no partial file stays");
    }

    #[test]
    fn publishing_twice_keeps_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("key");
        for text in ["first", "second"] {
            let from = dir.path().join(text);
            make_dir(&from).unwrap();
            write_atomic(&from.join("x"), text.as_bytes()).unwrap();
            publish_dir(&from, &to).unwrap();
            assert!(!from.exists());
        }
        assert_eq!(read_text(&to.join("x")).unwrap(), "first");
    }

    #[test]
    fn paths_are_folded_and_made_relative() {
        assert_eq!(
            join(Path::new("pipelines"), Path::new("../fixtures/a")),
            Path::new("fixtures/a")
        );
        assert_eq!(join(Path::new("."), Path::new("../a")), Path::new("../a"));
        let relative = relative(Path::new("/w/fixtures/a"), Path::new("/w/runs/x")).unwrap();
        assert_eq!(relative, Path::new("../../fixtures/a"));
        assert_eq!(super::relative(Path::new("/a"), Path::new("/b")), None);
    }
}
