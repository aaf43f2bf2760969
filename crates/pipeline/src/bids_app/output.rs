//! Files of the derivatives, and sentences about places.
use std::path::Path;

use serde_json::Value;

use crate::{Error, Result};

pub(super) fn refused(place: &Path, problem: &str) -> Error {
    Error::BidsApp { place: files::shown(place), problem: problem.to_owned() }
}

/// Writes a file unless it is there with these bytes.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    Ok(files::write_atomic(path, bytes)?)
}

pub(super) fn put_json(path: &Path, value: &Value) -> Result<()> {
    put(path, (files::to_json(value) + "\n").as_bytes())
}
