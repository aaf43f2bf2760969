//! What a pipeline was read from, for mistakes that are seen only after it was read.
use std::path::{Path, PathBuf};

use crate::{
    Error, Result,
    overrides::Override,
    yaml::{Outline, YamlError},
};

/// A file and the `--set`s that change it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) sets: Vec<Override>,
}

impl Source {
    pub(super) fn read(path: &Path, sets: &[String]) -> Result<Self> {
        let sets = sets.iter().map(|set| Override::parse(set)).collect::<Result<Vec<_>>>()?;
        let path = files::join(path, Path::new(""));
        let text = files::read_text(&path)?;
        Ok(Self { path, text, sets })
    }

    /// What the file's paths are relative to.
    pub(super) fn dir(&self) -> &Path {
        folder_of(&self.path)
    }

    /// `error` where its key was written: the `--set`, or file, line and column.
    pub(super) fn place(&self, error: Error) -> Error {
        let Some(key) = error.key() else { return error };
        let keys: Vec<&str> = key.split('.').collect();
        let problem = error.to_string();
        if let Some(set) = self.sets.iter().rev().find(|set| set.decides(&keys)) {
            return Error::Override { set: set.text().to_owned(), problem };
        }
        match point(&self.path, &self.text, &keys, problem) {
            Some(pointed) => Error::Yaml(exactly(pointed, &error)),
            None => error,
        }
    }
}

/// A mistake inside a query, at its place, where the query stands in one line.
fn exactly(pointed: YamlError, error: &Error) -> YamlError {
    let Error::Cohort { source, .. } = error else { return pointed };
    let ::cohort::Error::Query(query) = source.as_ref() else { return pointed };
    match pointed.source_line.find(&query.text) {
        Some(start) => {
            let column = pointed.source_line[..start].chars().count() + query.at + 1;
            let (message, len) = (query.problem.clone(), Some(query.len));
            YamlError { column, len, message, ..pointed }
        }
        None => pointed,
    }
}

/// At the last of `keys` that is there, if need be in the file of a component.
fn point(path: &Path, text: &str, keys: &[&str], message: String) -> Option<YamlError> {
    let outline = Outline::read(text)?;
    let (place, inside, rest) = outline.descend(keys);
    if !rest.is_empty()
        && let Some(file) = inside.file()
    {
        let file = files::join(folder_of(path), Path::new(file));
        let text = files::read_text(&file).ok()?;
        return point(&file, &text, rest, message);
    }
    Some(YamlError::at(path, text, place, message))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source whose stages lie in a file of their own.
    fn place(sets: &[&str], error: Error) -> String {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s.yaml"), "- mask: {}\n- finetune:\n    steps: 0\n")
            .unwrap();
        let path = dir.path().join("p.yaml");
        std::fs::write(&path, "name: a b\nstages: { file: s.yaml }\n").unwrap();
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let placed = Source::read(&path, &sets).unwrap().place(error);
        placed.to_string().replace(&format!("{}/", dir.path().display()), "")
    }

    fn steps() -> Error {
        let (found, expected) = ("0".to_owned(), "at least 1".to_owned());
        Error::Setting { stage: "finetune", field: "steps", found, expected }
    }

    #[test]
    fn a_key_is_shown_in_the_file_that_holds_it() {
        let name = place(&[], Error::Name { name: "a b".to_owned() });
        assert!(name.starts_with("p.yaml:1:1: name \"a b\" cannot be"), "{name}");
        assert!(name.ends_with("1 | name: a b\n  | ^^^^"), "{name}");
        let steps = place(&[], steps());
        assert!(steps.starts_with("s.yaml:3:5: stages.finetune.steps is 0"), "{steps}");
        let stages = place(&[], Error::NoStages);
        assert!(stages.starts_with("p.yaml:2:1: there are no stages"), "{stages}");
    }

    #[test]
    fn the_last_set_of_a_key_is_named() {
        for set in ["stages.finetune.steps=0", "stages.1.finetune={steps: 0}", "stages=[]"] {
            let said = place(&["stages.finetune.steps=3", set], steps());
            assert_eq!(
                said,
                format!("--set {set}: stages.finetune.steps is 0, expected at least 1")
            );
        }
        for other in ["stages.finetune.batch_size=0", "stages.0={mask: {}}", "seed=1"] {
            assert!(place(&[other], steps()).starts_with("s.yaml:3:5: "), "{other}");
        }
    }

    #[test]
    fn what_is_about_no_key_stays_as_it_is() {
        assert_eq!(place(&[], Error::Interrupted), Error::Interrupted.to_string());
    }
}
