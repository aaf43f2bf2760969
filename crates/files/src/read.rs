//! Files that are read as a whole.

use std::{fs, io, path::Path};

use formats::{MAX_SETTINGS, MAX_TABLE, read_text_up_to};

use crate::{Error, Result, at};

/// A file of settings as text.
pub fn read_text(path: &Path) -> Result<String> {
    let text = read_text_up_to(path, MAX_SETTINGS).map_err(at("read", path))?;
    refuse_pointer(path, text.as_bytes())?;
    Ok(text)
}

/// A table or a list of texts as text.
pub fn read_table(path: &Path) -> Result<String> {
    let text = read_text_up_to(path, MAX_TABLE).map_err(at("read", path))?;
    refuse_pointer(path, text.as_bytes())?;
    Ok(text)
}

/// The whole file as bytes.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).map_err(at("read", path))?;
    refuse_pointer(path, &bytes)?;
    Ok(bytes)
}

/// Reads what [`crate::write_json`] wrote.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    // written by this program: as long as its cohort is large
    let text = fs::read_to_string(path).map_err(at("read", path))?;
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.to_owned(), source })
}

/// Refuses what version control leaves in place of a file that was not fetched.
fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<()> {
    match formats::pointer(bytes) {
        Some(found) => Err(at("read", path)(io::Error::other(format!("it is {found}")))),
        None => Ok(()),
    }
}
