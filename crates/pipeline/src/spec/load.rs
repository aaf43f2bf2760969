//! From a file and `--set`s to a [`Spec`] with every component written out.
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{CohortSpec, LmSpec, Spec};
use crate::{Error, Result, files, overrides::Override, plan::RunPlan, yaml};

/// A pipeline file as read, components written out.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub spec: Spec,
    /// The file.
    pub path: PathBuf,
}

impl Loaded {
    /// Reads `path` and applies `sets`, each `KEY.KEY=VALUE`.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self> {
        let sets = sets.iter().map(|set| Override::parse(set)).collect::<Result<Vec<_>>>()?;
        let path = files::join(path, Path::new(""));
        let text = files::read_text(&path)?;
        let dir = folder_of(&path);
        let spec: Spec = if sets.is_empty() {
            yaml::parse(&path, &text)?
        } else {
            with_overrides(&path, &text, dir, &sets)?
        };
        let spec = inline(spec, dir)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if spec.name.is_empty() || !spec.name.chars().all(fits) {
            return Err(Error::Name { name: spec.name });
        }
        Ok(Self { spec, path })
    }

    /// A path of the file, as seen from here.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        files::join(folder_of(&self.path), path)
    }

    /// One run of the spec as YAML that says the same from inside `run_dir`.
    pub(crate) fn as_used(&self, run_dir: &Path, run: &RunPlan) -> String {
        let mut spec = self.spec.clone();
        spec.seed = run.seed;
        // a fold cannot be said in one file: the whole series stays written there
        spec.repeat.take_if(|repeat| repeat.folds.is_none());
        let moved = |path: &mut PathBuf| {
            if !path.is_absolute()
                && let Some(relative) = files::relative(&self.resolve(path), run_dir)
            {
                *path = relative;
            }
        };
        moved(&mut spec.outputs);
        match &mut spec.cohort {
            CohortSpec::Pairs(pairs) => moved(&mut pairs.table),
            CohortSpec::Corpus(corpus) => moved(&mut corpus.texts),
        }
        if let Some(model) = &mut spec.model {
            let LmSpec::Hf(lm) = &mut model.lm;
            moved(lm);
        }
        let yaml = serde_yaml::to_string(&spec).expect("a spec that was read can be written");
        let which = run.label.as_ref().map(|label| format!("# Repetition {label}.\n"));
        let which = which.unwrap_or_default();
        format!("# What was run, with --set applied and components written out.\n{which}{yaml}")
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// The file's own mistakes are shown in the file; those of a `--set` name the `--set`.
fn with_overrides(path: &Path, text: &str, dir: &Path, sets: &[Override]) -> Result<Spec> {
    let mut tree: Value = yaml::parse(path, text)?;
    let as_written = yaml::parse::<Spec>(path, text);
    let mut applied = Vec::new();
    for set in sets {
        set.apply(&mut tree, dir)?;
        applied.push(typed(&tree));
    }
    match applied.last() {
        Some(Ok(spec)) => return Ok(spec.clone()),
        _ => as_written?,
    };
    let first_wrong = applied.into_iter().zip(sets).find_map(|(result, set)| {
        let problem = result.err()?.message;
        Some(Error::Override { set: set.text().to_owned(), problem })
    });
    Err(first_wrong.expect("the last of them was wrong"))
}

fn typed(tree: &Value) -> Result<Spec, yaml::YamlError> {
    let text = serde_yaml::to_string(tree).expect("what was parsed can be written");
    yaml::parse(Path::new("--set"), &text)
}

fn inline(mut spec: Spec, dir: &Path) -> Result<Spec> {
    if let CohortSpec::Pairs(pairs) = &mut spec.cohort {
        pairs.slots = pairs.slots.clone().inline(dir)?;
    }
    spec.model = spec.model.map(|model| model.inline(dir)).transpose()?;
    Ok(spec)
}
