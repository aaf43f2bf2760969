//! Files, with the path in every error and nothing ever half-written.
use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Component, Path, PathBuf},
};

use serde::Serialize;
use tempfile::NamedTempFile;

use crate::{Error, Result};

/// Prefix of every file and folder that is still being written.
pub(crate) const PARTIAL: &str = ".partial-";

pub(crate) fn at<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

/// A file of settings as text.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let text = scan::read_text_up_to(path, scan::MAX_SETTINGS).map_err(at("read", path))?;
    refuse_pointer(path, text.as_bytes())?;
    Ok(text)
}

/// A table or a list of texts as text.
pub(crate) fn read_table(path: &Path) -> Result<String> {
    let text = scan::read_text_up_to(path, scan::MAX_TABLE).map_err(at("read", path))?;
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
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(at("remove", path)(source))
        }
        _ => Ok(()),
    }
}

/// Removes a file that may not be there.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(at("remove", path)(source))
        }
        _ => Ok(()),
    }
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

/// A new file in `dir` with the permissions that the umask leaves.
fn aside(dir: &Path) -> Result<NamedTempFile> {
    make_dir(dir)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(dir).map_err(at("create a file in", dir))
}

/// Syncs the finished file and gives it its name.
fn settle(aside: NamedTempFile, path: &Path) -> Result<()> {
    aside.as_file().sync_all().map_err(at("sync", path))?;
    aside.persist(path).map_err(|error| at("rename into place", path)(error.error))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Writes beside the target, syncs, and renames: a reader sees the old file or the new one.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut aside = aside(path.parent().unwrap_or(Path::new(".")))?;
    aside.write_all(bytes).map_err(at("write", path))?;
    settle(aside, path)
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
    // written by this program: as long as its cohort is large
    let text = fs::read_to_string(path).map_err(at("read", path))?;
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
}

/// Makes a finished folder visible under its final name; an equal one that is there first stays.
pub(crate) fn publish_dir(from: &Path, to: &Path) -> Result<()> {
    for path in below(from)? {
        let path = from.join(path);
        File::open(&path).and_then(|file| file.sync_all()).map_err(at("sync", &path))?;
    }
    sync_dir(from)?;
    match fs::rename(from, to) {
        Ok(()) => sync_dir(to.parent().unwrap_or(Path::new("."))),
        Err(_) if to.is_dir() => remove_dir(from),
        Err(source) => Err(at("rename into place", to)(source)),
    }
}

/// Every file below `dir`, relative to it, sorted; links are not followed.
pub(crate) fn below(dir: &Path) -> Result<Vec<PathBuf>> {
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

/// Copies beside the target, syncs, and renames; the target stays as it was unless the bytes copied
/// have the digest `sha256`.
pub(crate) fn copy_checked(from: &Path, to: &Path, sha256: &str) -> Result<()> {
    let mut source = File::open(from).map_err(at("read", from))?;
    let mut aside = aside(to.parent().unwrap_or(Path::new(".")))?;
    let mut piece = vec![0; 1 << 20];
    loop {
        match source.read(&mut piece).map_err(at("read", from))? {
            0 => break,
            n => aside.write_all(&piece[..n]).map_err(at("write", to))?,
        }
    }
    if scan::sha256_file(aside.path())? != sha256 {
        return Err(Error::damaged(from, CHANGED));
    }
    settle(aside, to)
}

/// The problem of a stored file whose digest is another one.
pub(crate) const CHANGED: &str = "its content is not what was written";

/// Removes a file named by an earlier record, and the folders it leaves empty; never outside `dir`.
pub(crate) fn remove_inside(dir: &Path, path: &str) -> Result<()> {
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
            let home = std::env::home_dir().and_then(|home| path.strip_prefix(home).ok());
            let mut parts: Vec<_> = home.unwrap_or(path).components().collect();
            parts.retain(|part| matches!(part, Component::Normal(_)));
            if parts
                .first()
                .is_some_and(|part| ["home", "Users"].iter().any(|it| part.as_os_str() == *it))
            {
                // somebody's name stands below
                parts.drain(..parts.len().min(2));
            }
            let tail: PathBuf = parts.split_off(parts.len().saturating_sub(3)).iter().collect();
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
