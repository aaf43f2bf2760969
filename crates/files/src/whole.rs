//! Files and folders that appear under their name only when they are whole.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use serde::Serialize;
use tempfile::{NamedTempFile, TempDir, TempPath};

use crate::{
    Result, at,
    digest::sha256_file,
    folder::{below, make_dir, remove_dir},
};

/// Prefix of every file and folder that is still being written.
pub const PARTIAL: &str = ".partial-";

/// The folder that a path lies in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new file in `dir` with the permissions that the umask leaves.
fn new_file(dir: &Path) -> io::Result<NamedTempFile> {
    partial(0o666).tempfile_in(dir)
}

fn partial(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    builder
}

/// The place beside a name where a library writes a file of its own; removed unless it is kept.
#[derive(Debug)]
pub struct Aside {
    path: TempPath,
    target: PathBuf,
}

impl Aside {
    /// An empty file beside `target`, in its folder, which must be there.
    pub fn new(target: &Path) -> io::Result<Self> {
        let path = new_file(folder_of(target))?.into_temp_path();
        Ok(Self { path, target: target.to_owned() })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the disk and gives the file its name.
    pub fn keep(self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        self.path.persist(&self.target).map_err(|error| error.error)?;
        File::open(folder_of(&self.target))?.sync_all()
    }
}

/// A folder that is filled beside its place; removed unless it is kept.
#[derive(Debug)]
pub struct FolderAside {
    dir: TempDir,
    target: PathBuf,
    /// The system frees the lock when the program ends, however it ends. Some file systems lock no
    /// folder: then none is swept there either.
    _lock: Option<File>,
}

/// How often another program may take a new folder for one that was left.
const ATTEMPTS: usize = 8;

impl FolderAside {
    /// An empty folder beside `target`; the folder that both lie in is made if it is not there, and those
    /// in it that killed programs left are removed.
    pub fn new(target: &Path) -> Result<Self> {
        let above = folder_of(target);
        make_dir(above)?;
        sweep(above)?;
        let new = || partial(0o777).tempdir_in(above).map_err(at("create a folder in", above));
        let (mut dir, mut lock) = (new()?, None);
        for _ in 0..ATTEMPTS {
            lock = File::open(dir.path()).ok().filter(|it| it.lock().is_ok());
            if dir.path().is_dir() {
                break;
            }
            dir = new()?;
        }
        Ok(Self { dir, target: target.to_owned(), _lock: lock })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Gives it its name; an equal one that is there first stays.
    pub fn publish(self) -> Result<()> {
        publish_dir(&self.dir.keep(), &self.target)
    }

    /// Gives it its name; a folder that is there is removed before.
    pub fn replace(self) -> Result<()> {
        sync_below(self.path())?;
        remove_dir(&self.target)?;
        let from = self.dir.keep();
        fs::rename(&from, &self.target).map_err(at("rename into place", &self.target))?;
        sync(folder_of(&self.target))
    }
}

/// Removes the folders in `above` that no program writes in any more.
fn sweep(above: &Path) -> Result<()> {
    for entry in fs::read_dir(above).map_err(at("read", above))?.flatten() {
        let is_partial = entry.file_name().to_string_lossy().starts_with(PARTIAL);
        if !is_partial || !entry.file_type().is_ok_and(|it| it.is_dir()) {
            continue;
        }
        let path = entry.path();
        let Ok(folder) = File::open(&path) else { continue };
        if folder.try_lock().is_ok() {
            // another program may sweep it at the same time
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

/// A new file in the folder of `path`, which is made if it is not there.
fn beside(path: &Path) -> Result<NamedTempFile> {
    let dir = folder_of(path);
    make_dir(dir)?;
    new_file(dir).map_err(at("create a file in", dir))
}

/// Syncs the finished file and gives it its name.
fn settle(aside: NamedTempFile, path: &Path) -> Result<()> {
    aside.as_file().sync_all().map_err(at("sync", path))?;
    aside.persist(path).map_err(|error| at("rename into place", path)(error.error))?;
    sync(folder_of(path))
}

/// Writes beside the target, syncs, and renames: a reader sees the old file or the new one.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = beside(path)?;
    // by the file itself: an error of `aside` names the path a second time
    aside.as_file().write_all(bytes).map_err(at("write", path))?;
    settle(aside, path)
}

/// [`write_atomic`] of indented JSON with a line end.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = to_json(value);
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

/// Indented JSON.
pub fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("our own types have string keys and finite numbers")
}

/// Makes a finished folder visible under its final name; an equal one that is there first stays.
pub fn publish_dir(from: &Path, to: &Path) -> Result<()> {
    sync_below(from)?;
    match fs::rename(from, to) {
        Ok(()) => sync(folder_of(to)),
        Err(_) if to.is_dir() => remove_dir(from),
        Err(source) => Err(at("rename into place", to)(source)),
    }
}

/// Copies beside the target, syncs, and renames; `false`, and the target stays as it was, where the
/// bytes that were copied have another digest than `sha256`.
pub fn copy_checked(from: &Path, to: &Path, sha256: &str) -> Result<bool> {
    let mut source = File::open(from).map_err(at("read", from))?;
    let aside = beside(to)?;
    let mut piece = vec![0; 1 << 20];
    loop {
        match source.read(&mut piece).map_err(at("read", from))? {
            0 => break,
            n => aside.as_file().write_all(&piece[..n]).map_err(at("write", to))?,
        }
    }
    if sha256_file(aside.path()).map_err(at("read", aside.path()))? != sha256 {
        return Ok(false);
    }
    settle(aside, to)?;
    Ok(true)
}

fn sync_below(dir: &Path) -> Result<()> {
    below(dir)?.iter().try_for_each(|path| sync(&dir.join(path)))?;
    sync(dir)
}

/// Waits until a file or folder is on the disk.
fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(at("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{list, read_text, sha256_bytes};

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
    fn a_copy_is_made_of_the_expected_bytes_only() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        assert!(!copy_checked(&from, &to, &sha256_bytes(b"other")).unwrap());
        assert_eq!(read_text(&to).unwrap(), "old");
        assert!(copy_checked(&from, &to, &sha256_bytes(b"new")).unwrap());
        assert_eq!(read_text(&to).unwrap(), "new");
        assert_eq!(list(dir.path()).unwrap(), ["from", "to"]);
    }

    #[test]
    fn what_a_library_writes_aside_is_kept_or_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h5");
        for kept in [false, true] {
            let aside = Aside::new(&path).unwrap();
            fs::write(aside.path(), "x").unwrap();
            assert!(!path.exists());
            if kept {
                aside.keep().unwrap();
            }
        }
        assert_eq!(list(dir.path()).unwrap(), ["a.h5"]);
        assert!(Aside::new(&dir.path().join("nowhere/a.h5")).is_err());
    }

    #[test]
    fn a_folder_is_filled_aside_and_replaces_another_or_yields_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("above/model");
        let filled = |text: &str| {
            let aside = FolderAside::new(&to).unwrap();
            fs::write(aside.path().join(text), text).unwrap();
            aside
        };
        filled("first").publish().unwrap();
        filled("second").publish().unwrap();
        assert_eq!(list(&to).unwrap(), ["first"]);
        filled("third").replace().unwrap();
        assert_eq!(list(&to).unwrap(), ["third"]);
        drop(filled("fourth"));
        assert_eq!(list(to.parent().unwrap()).unwrap(), ["model"]);
    }

    #[test]
    fn what_a_killed_program_left_is_swept_and_what_another_writes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in [".partial-killed/lm", ".partial-written/lm", "other/lm"] {
            fs::create_dir_all(at(name)).unwrap();
            fs::write(at(name).join("config.json"), "{}").unwrap();
        }
        fs::write(at(".partial-file"), "").unwrap();
        // a lock is of an open file: this one is another program's
        let written = File::open(at(".partial-written")).unwrap();
        written.lock().unwrap();
        let aside = FolderAside::new(&at("model")).unwrap();
        let there = |name: &str| at(name).exists();
        assert!(!there(".partial-killed"));
        assert!(there(".partial-written/lm/config.json") && there("other/lm/config.json"));
        assert!(there(".partial-file"), "files are swept by who knows the time of the run");
        // two at a time do not sweep each other
        let other = FolderAside::new(&at("model")).unwrap();
        assert!(aside.path().is_dir() && other.path().is_dir());
    }
}
