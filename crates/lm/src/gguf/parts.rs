//! The files of one model: one, or the parts that `llama-gguf-split` makes of it.

use std::path::{Path, PathBuf};

use formats::{Container, Entry, Format, Value};
use nn::weights::Frozen;

use crate::{Error, Result};

/// All files of a model, none of their tensors read.
pub(super) struct Parts(Vec<Container>);

impl Parts {
    /// Opens a file, and where it is a part of a model the others beside it.
    ///
    /// # Errors
    /// Where a part is not there, or is a part of another model.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let given = open(path)?;
        let Some(n_parts) = count(&given, "split.count").filter(|&n| n > 1) else {
            return Ok(Self(vec![given]));
        };
        let part = |idx: usize| {
            let part = sibling(path, idx, n_parts)?;
            if !part.is_file() && formats::dangling(&part).is_none() {
                let reason = format!(
                    "is one of {n_parts} parts of a model, but {} is not there",
                    part.file_name().unwrap_or_default().to_string_lossy()
                );
                return Err(wrong(path, reason));
            }
            let container = open(&part)?;
            let found = ["split.no", "split.count"].map(|key| count(&container, key));
            if found != [Some(idx), Some(n_parts)] {
                let reason = format!(
                    "its split.no and split.count are {}, expected part {idx}, counted from 0, of \
                     {n_parts}",
                    found.map(|it| it.map_or("none".to_owned(), |n| n.to_string())).join(" and "),
                );
                return Err(wrong(&part, reason));
            }
            Ok(container)
        };
        let parts = Self((0..n_parts).map(part).collect::<Result<_>>()?);
        let found: usize = parts.0.iter().map(|part| part.entries().len()).sum();
        match count(parts.first(), "split.tensors.count").filter(|&expected| expected != found) {
            Some(expected) => {
                let reason = format!("its parts hold {found} tensors, expected {expected}");
                Err(wrong(path, reason))
            }
            None => Ok(parts),
        }
    }

    /// The file with the metadata.
    pub(super) fn first(&self) -> &Container {
        &self.0[0]
    }

    /// The files.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.0.iter().map(|part| part.path().to_owned()).collect()
    }

    /// A tensor, and the file that holds it.
    pub(super) fn get(&self, name: &str) -> Option<(&Container, &Entry)> {
        self.0.iter().find_map(|part| Some((part, part.get(name)?)))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The tensors of all files.
    pub(super) fn weights(self) -> Result<Frozen> {
        let path = self.first().path().to_owned();
        let mut parts: Vec<Frozen> = self.0.into_iter().map(Frozen::from_container).collect();
        if parts.len() == 1 { Ok(parts.remove(0)) } else { Ok(Frozen::joined(&path, &parts)?) }
    }
}

fn wrong(path: &Path, reason: String) -> Error {
    Error::Config { path: path.to_owned(), reason }
}

fn open(path: &Path) -> Result<Container> {
    let container = formats::open(path)?;
    if container.format() == Format::Gguf {
        return Ok(container);
    }
    let reason = "found weights alone, expected a folder with a config.json, or a GGUF file";
    Err(wrong(path, reason.to_owned()))
}

fn count(container: &Container, key: &str) -> Option<usize> {
    container.metadata().get(key).and_then(Value::as_int)
}

/// The path of part `idx`, counted from 0, of the model that `path` is one of the parts of.
fn sibling(path: &Path, idx: usize, n_parts: usize) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let end = format!("-of-{n_parts:05}.gguf");
    let stem = name.strip_suffix(&end).and_then(|rest| {
        let (stem, number) = rest.rsplit_once('-')?;
        (number.len() == 5 && number.bytes().all(|digit| digit.is_ascii_digit())).then_some(stem)
    });
    let Some(stem) = stem else {
        let reason = format!(
            "is one of {n_parts} parts of a model, expected a name that ends in -00001{end}, by which \
             the others are found"
        );
        return Err(wrong(path, reason));
    };
    Ok(path.with_file_name(format!("{stem}-{:05}{end}", idx + 1)))
}
