//! Files that appear under their name only when they are whole.

use std::{fs::File, io, path::Path};

use crate::error::{Error, Result};

/// Writes beside the name, waits for the disk, then renames; leaves nothing behind on failure.
pub(crate) fn write(path: &Path, content: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let attempt = || {
        let mut file = File::create(&aside)?;
        content(&mut file)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    };
    let written = attempt().map_err(|source| Error::Write { path: path.to_path_buf(), source });
    if written.is_err() {
        // The first error is the one to report; what is left of the attempt is only in the way.
        let _ = std::fs::remove_file(&aside);
    }
    written
}
