//! Parts of an unfinished stage, kept so that a stopped run goes on after them.
use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::Result;

/// Parts of one piece of work, each with a number or a key of its own.
#[derive(Clone, Debug)]
pub struct Kept {
    dir: PathBuf,
    name: String,
}

/// A part with its digest, so that a damaged one is computed again.
#[derive(serde::Serialize, serde::Deserialize)]
struct Sealed {
    sha256: String,
    part: Value,
}

impl Kept {
    /// Parts called `name` in the folder where a stage keeps its state.
    pub fn new(dir: &Path, name: &str) -> Self {
        Self { dir: dir.to_owned(), name: name.to_owned() }
    }

    fn path(&self, part: impl Display) -> PathBuf {
        self.dir.join(format!("{}-{part}.json", self.name))
    }

    /// A part that was kept; `None` where there is none or it is damaged.
    pub fn get<T: DeserializeOwned>(&self, part: impl Display) -> Option<T> {
        let sealed: Sealed = files::read_json(&self.path(part)).ok()?;
        if files::sha256_bytes(sealed.part.to_string().as_bytes()) != sealed.sha256 {
            return None;
        }
        serde_json::from_value(sealed.part).ok()
    }

    /// Keeps a part.
    pub fn put(&self, part: impl Display, value: &impl Serialize) -> Result<()> {
        let path = self.path(part);
        let part = serde_json::to_value(value).expect("our own types have string keys");
        let sha256 = files::sha256_bytes(part.to_string().as_bytes());
        Ok(files::write_json(&path, &Sealed { sha256, part })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_part_comes_back_exactly_unless_it_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::new(dir.path(), "nll");
        let part = vec![0.1_f64, -1.0 / 3.0, 5e-324];
        assert_eq!(kept.get::<Vec<f64>>(0), None);
        kept.put(0, &part).unwrap();
        assert_eq!(kept.get(0), Some(part));
        let path = kept.path(0);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("0.1", "0.2")).unwrap();
        assert_eq!(kept.get::<Vec<f64>>(0), None, "one digit differs");
    }
}
