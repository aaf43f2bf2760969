//! What settings were read from, for mistakes that are seen only after they were read.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Error, Result,
    overrides::Override,
    yaml::{self, Outline, YamlError},
};

/// A file and the `--set`s that change it.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    text: String,
    sets: Vec<Override>,
}

impl Source {
    /// Reads `path`, and `sets`, each `KEY.KEY=VALUE`.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self> {
        let sets = sets.iter().map(|set| Override::parse(set)).collect::<Result<Vec<_>>>()?;
        let path = files::join(path, Path::new(""));
        let text = files::read_text(&path)?;
        Ok(Self { path, text, sets })
    }

    /// What the file's paths are relative to.
    pub fn dir(&self) -> &Path {
        folder_of(&self.path)
    }

    /// `path`, which the file names, as seen from here.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        files::join(self.dir(), path)
    }

    /// What the file says with the `--set`s applied; `inline` writes out components, and is given the
    /// folder that paths are relative to.
    ///
    /// # Errors
    /// The file's own mistakes are shown in the file; those of a `--set` name the `--set`.
    pub fn typed<T: DeserializeOwned, E: From<Error>>(
        &self,
        inline: impl Fn(T, &Path) -> Result<T, E>,
    ) -> Result<T, E> {
        let as_written = || {
            let value = yaml::parse(&self.path, &self.text).map_err(Error::from)?;
            inline(value, self.dir())
        };
        if self.sets.is_empty() {
            return as_written();
        }
        let mut tree: Value = yaml::parse(&self.path, &self.text).map_err(Error::from)?;
        let mut applied = Vec::new();
        for set in &self.sets {
            set.apply(&mut tree, self.dir())?;
            applied.push(yaml::parse(Path::new("--set"), &yaml::write(&tree)));
        }
        match applied.pop() {
            Some(Ok(value)) => return inline(value, self.dir()),
            last => applied.extend(last),
        }
        as_written()?;
        let first_wrong = applied.into_iter().zip(&self.sets).find_map(|(result, set)| {
            let problem = result.err()?.message;
            Some(Error::Override { set: set.text().to_owned(), problem })
        });
        Err(first_wrong.expect("the last of them was wrong").into())
    }

    /// `problem` of the value of `keys`, where that was written: the `--set`, or file, line and
    /// column; `None` where the file is no YAML any more.
    pub fn place(&self, keys: &[&str], problem: String) -> Option<Error> {
        if let Some(set) = self.sets.iter().rev().find(|set| set.decides(keys)) {
            return Some(Error::Override { set: set.text().to_owned(), problem });
        }
        point(&self.path, &self.text, keys, problem).map(Error::Yaml)
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

    /// Where a mistake is shown of a source whose stages lie in a file of their own.
    fn place(sets: &[&str], keys: &[&str], problem: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("s.yaml"), "- mask: {}\n- finetune:\n    steps: 0\n")
            .unwrap();
        let path = dir.path().join("p.yaml");
        std::fs::write(&path, "name: a b\nstages: { file: s.yaml }\n").unwrap();
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let source = Source::read(&path, &sets).unwrap();
        let placed = source.place(keys, problem.to_owned()).unwrap();
        placed.to_string().replace(&format!("{}/", dir.path().display()), "")
    }

    const STEPS: [&str; 3] = ["stages", "finetune", "steps"];

    #[test]
    fn a_key_is_shown_in_the_file_that_holds_it() {
        let name = place(&[], &["name"], "it is wrong");
        assert!(name.starts_with("p.yaml:1:1: it is wrong"), "{name}");
        assert!(name.ends_with("1 | name: a b\n  | ^^^^"), "{name}");
        let steps = place(&[], &STEPS, "it is 0");
        assert!(steps.starts_with("s.yaml:3:5: it is 0"), "{steps}");
        let stages = place(&[], &["stages"], "there are none");
        assert!(stages.starts_with("p.yaml:2:1: there are none"), "{stages}");
    }

    #[test]
    fn the_last_set_of_a_key_is_named() {
        for set in ["stages.finetune.steps=0", "stages.1.finetune={steps: 0}", "stages=[]"] {
            let said = place(&["stages.finetune.steps=3", set], &STEPS, "it is 0");
            assert_eq!(said, format!("--set {set}: it is 0"));
        }
        for other in ["stages.finetune.batch_size=0", "stages.0={mask: {}}", "seed=1"] {
            assert!(place(&[other], &STEPS, "it is 0").starts_with("s.yaml:3:5: "), "{other}");
        }
    }
}
