//! What a process did, line by line: for whoever asks from outside, also on another machine.
//!
//! A journal is a file of JSON objects, one a line, that one process appends to. A line is written at
//! once, so what a killed process leaves is whole lines and at most one torn one, which is not read.
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
};

use serde::Serialize;
use serde_json::Value;

use crate::Result;

/// A journal that is written.
#[derive(Debug)]
pub struct Journal {
    /// None after a line could not be written: a journal stops no work.
    file: Option<File>,
}

impl Journal {
    /// Begins anew at `path` with this line; an earlier journal is replaced when that is whole.
    pub fn begin(path: &Path, first: &impl Serialize) -> Result<Self> {
        files::write_atomic(path, line(first).as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).map_err(files::at("open", path))?;
        Ok(Self { file: Some(file) })
    }

    /// Adds a line.
    pub fn add(&mut self, entry: &impl Serialize) {
        if let Some(file) = &mut self.file
            && file.write_all(line(entry).as_bytes()).is_err()
        {
            self.file = None;
        }
    }

    /// The entries of the journal at `path`, in order. A line that is torn, as a kill or a full disk may
    /// leave it, is left out.
    pub fn read(path: &Path) -> Result<Vec<Value>> {
        let bytes = fs::read(path).map_err(files::at("read", path))?;
        let whole = bytes.split_inclusive(|byte| *byte == b'\n').filter(|it| it.ends_with(b"\n"));
        Ok(whole.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

/// JSON without line breaks, and one at its end.
fn line(entry: &impl Serialize) -> String {
    serde_json::to_string(entry).expect("entries are plain values") + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_torn_last_line_is_dropped_and_a_new_journal_replaces_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/journal.jsonl");
        let mut journal = Journal::begin(&path, &json!({ "begun": 1 })).unwrap();
        journal.add(&json!({ "text": "two\nlines" }));
        journal.add(&json!({ "unit": 2 }));
        assert_eq!(Journal::read(&path).unwrap().len(), 3);
        let bytes = fs::read(&path).unwrap();
        for n_torn in 1..=10 {
            fs::write(&path, &bytes[..bytes.len() - n_torn]).unwrap();
            let read = Journal::read(&path).unwrap();
            assert_eq!(read, [json!({ "begun": 1 }), json!({ "text": "two\nlines" })], "{n_torn}");
        }
        Journal::begin(&path, &json!({ "begun": 2 })).unwrap();
        assert_eq!(Journal::read(&path).unwrap(), [json!({ "begun": 2 })]);
        assert!(Journal::read(&dir.path().join("none")).is_err());
    }
}
