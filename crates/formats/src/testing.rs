//! Files made by tests.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// A file of these bytes, gone when dropped.
pub(crate) fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// What opening these bytes says, without the file's name.
pub(crate) fn refusal(bytes: &[u8]) -> String {
    let file = file(bytes);
    let error = crate::open(file.path()).unwrap_err().to_string();
    let name = format!("{}: ", file.path().display());
    error.strip_prefix(&name).expect("the error begins with the file's name").to_owned()
}

/// A file of `fixtures/formats`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats").join(name)
}
