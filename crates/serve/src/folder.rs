//! The files of a run folder that may be shown.
use std::{
    ffi::OsStr,
    fs::{File, read_dir},
    io,
    path::{Component, Path, PathBuf},
    time::SystemTime,
};

use rustix::fs::{self, Mode, OFlags};

/// Folders that hold what no page needs: weights, checkpoints, stored results.
const CLOSED: [&str; 4] = ["cache", "lm", "model", "training"];

/// What may be shown, by the end of its name. Anything else is not there.
const TYPES: [(&str, &str); 10] = [
    ("html", "text/html; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("json", "application/json"),
    ("txt", "text/plain; charset=utf-8"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("yaml", "application/yaml"),
    ("nii", "application/octet-stream"),
    ("gz", "application/gzip"),
];

/// A run folder, by its path without links.
pub(crate) struct Folder {
    root: PathBuf,
}

/// A file that may be shown.
pub(crate) struct Found {
    pub(crate) file: File,
    pub(crate) n_bytes: u64,
    /// Not known to every file system.
    pub(crate) written: Option<SystemTime>,
    pub(crate) content_type: &'static str,
}

impl Folder {
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        let root = dir.canonicalize()?;
        // says what is wrong with a file, and with a folder that may not be read
        read_dir(&root)?;
        Ok(Self { root })
    }

    /// The name of the run: that of its folder.
    pub(crate) fn name(&self) -> String {
        self.root.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The file at `path`, whose names are separated by `/`; `None` where there is none that may be shown.
    pub(crate) fn find(&self, path: &str) -> Option<Found> {
        let is_harmless = |name: &str| {
            !name.is_empty() && !name.starts_with('.') && !name.contains(['\\', '\0', ':'])
        };
        if !path.split('/').all(is_harmless) {
            return None;
        }
        // a link may lead to another file of the folder, and nowhere else
        let real = self.root.join(path).canonicalize().ok()?;
        let inside = real.strip_prefix(&self.root).ok()?;
        let content_type = content_type(inside)?;
        let file = open_below(&self.root, inside).ok()?;
        let about = file.metadata().ok()?;
        // what is no file may never end
        let (n_bytes, written) = (about.len(), about.modified().ok());
        about.is_file().then_some(Found { file, n_bytes, written, content_type })
    }

    /// Whether there is such a page.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// The folders of repetitions that have pages, in order.
    pub(crate) fn repetitions(&self) -> Vec<String> {
        let entries = read_dir(&self.root).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> =
            names.filter(|name| self.has(&format!("{name}/{}", pages::INDEX))).collect();
        names.sort();
        names
    }
}

/// Opens what lies at a path without links below `root`. A part of it that became a link since it was looked up is
/// not followed, and what is no file is not waited for.
fn open_below(root: &Path, path: &Path) -> io::Result<File> {
    let names: Vec<&OsStr> = path.iter().collect();
    let (name, folders) = names.split_last().ok_or(io::ErrorKind::NotFound)?;
    let plain = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = fs::open(root, plain | OFlags::DIRECTORY, Mode::empty())?;
    for name in folders {
        folder = fs::openat(&folder, *name, plain | OFlags::DIRECTORY, Mode::empty())?;
    }
    Ok(fs::openat(&folder, *name, plain | OFlags::NONBLOCK, Mode::empty())?.into())
}

/// What a file is, where it may be shown; `path` is relative to the run folder.
fn content_type(path: &Path) -> Option<&'static str> {
    let mut names = Vec::new();
    for component in path.components() {
        let Component::Normal(name) = component else { return None };
        names.push(name.to_str()?);
    }
    let (name, folders) = names.split_last()?;
    if names.iter().any(|it| it.starts_with('.')) || folders.iter().any(|it| CLOSED.contains(it)) {
        return None;
    }
    let (stem, extension) = name.rsplit_once('.')?;
    // of all that may be compressed, volumes alone
    if extension == "gz" && stem.rsplit_once('.').is_none_or(|(_, inner)| inner != "nii") {
        return None;
    }
    TYPES.iter().find(|(of, _)| *of == extension).map(|(_, it)| *it)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _, os::unix::fs::symlink, process::Command};

    use super::*;

    #[test]
    fn a_folder_shows_what_pages_need_and_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("run");
        for path in [
            "index.html",
            "figures/mean.nii.gz",
            "seed-1/index.html",
            "record.json",
            "answers.csv",
            "weights.safetensors",
            "table.csv.gz",
            "model/model.yaml",
            "seed-1/model/model.yaml",
            ".hidden.html",
            ".git/config.txt",
            "noextension",
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        fs::write(dir.path().join("secret.txt"), "secret").unwrap();
        symlink(dir.path().join("secret.txt"), root.join("link.txt")).unwrap();
        symlink(dir.path(), root.join("outside")).unwrap();
        symlink(root.join("index.html"), root.join("inside.html")).unwrap();
        symlink(root.join(".git/config.txt"), root.join("annexed.txt")).unwrap();
        let folder = Folder::new(&root).unwrap();
        for path in [
            "index.html",
            "figures/mean.nii.gz",
            "record.json",
            "answers.csv",
            "inside.html",
            "seed-1/index.html",
        ] {
            assert!(folder.has(path), "{path}");
        }
        for path in [
            "",
            "/",
            "figures",
            "nowhere.html",
            "weights.safetensors",
            "table.csv.gz",
            "model/model.yaml",
            "seed-1/model/model.yaml",
            ".hidden.html",
            ".git/config.txt",
            "annexed.txt",
            "noextension",
            "link.txt",
            "outside/secret.txt",
            "../secret.txt",
            "figures/../../secret.txt",
            "figures/../index.html",
            "./index.html",
            "figures//mean.nii.gz",
            "..\\secret.txt",
            "index.html\0",
        ] {
            assert!(!folder.has(path), "{path}");
        }
        assert!(!folder.has(&dir.path().join("secret.txt").display().to_string()));
        assert_eq!(folder.repetitions(), ["seed-1"]);
        assert_eq!(folder.name(), "run");
        assert!(Folder::new(&root.join("index.html")).is_err());
        assert!(Folder::new(&root.join("nowhere")).is_err());
    }

    #[test]
    fn a_path_that_became_a_link_or_a_pipe_after_it_was_looked_up_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("run");
        fs::create_dir_all(root.join("figures")).unwrap();
        fs::create_dir(dir.path().join("other")).unwrap();
        fs::write(root.join("figures/a.svg"), "inside").unwrap();
        fs::write(dir.path().join("other/a.svg"), "secret").unwrap();
        symlink(dir.path().join("other"), root.join("linked")).unwrap();
        symlink(dir.path().join("other/a.svg"), root.join("a.svg")).unwrap();
        let open = |path: &str| open_below(&root, Path::new(path));
        let mut text = String::new();
        open("figures/a.svg").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        for path in ["a.svg", "linked/a.svg", "figures/b.svg", ""] {
            assert!(open(path).is_err(), "{path}");
        }
        // nobody writes into the pipe: opened as a file, it would be waited for
        let made = Command::new("mkfifo").arg(root.join("pipe.txt")).status().unwrap();
        assert!(made.success());
        assert!(!open("pipe.txt").unwrap().metadata().unwrap().is_file());
        assert!(!Folder::new(&root).unwrap().has("pipe.txt"));
    }
}
