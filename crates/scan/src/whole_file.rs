//! Files that appear under their name only when they are whole.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// Writes beside the name, waits for the disk, then renames; leaves nothing behind on failure.
pub(crate) fn write(path: &Path, content: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let aside = Aside::new(path);
    let attempt = || content(&mut File::create(&aside.path)?);
    attempt().map_err(|source| Error::Write { path: path.to_path_buf(), source })?;
    aside.keep()
}

/// The place beside a name where a file is written; what lies there is removed unless it is kept.
#[derive(Debug)]
pub(crate) struct Aside {
    path: PathBuf,
    target: PathBuf,
}

impl Aside {
    pub(crate) fn new(target: &Path) -> Self {
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = format!(".{}.{}.partial", name.unwrap_or_default(), std::process::id());
        Self { path: target.with_file_name(name), target: target.to_path_buf() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the disk and gives the file its name.
    pub(crate) fn keep(self) -> Result<()> {
        let attempt = || {
            File::open(&self.path)?.sync_all()?;
            std::fs::rename(&self.path, &self.target)
        };
        attempt().map_err(|source| Error::Write { path: self.target.clone(), source })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // The first error is the one to report; what is left of the attempt is only in the way.
        let _ = std::fs::remove_file(&self.path);
    }
}
