//! `--set a.b=c`: what the file says, changed in one place before it is typed.
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Error, Result, yaml};

/// One `KEY.KEY=VALUE`; a key of a list is an index, or the name of an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    text: String,
    keys: Vec<String>,
    value: Value,
}

impl Override {
    /// Takes `a.b=c`, where `c` is YAML.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse =
            |problem: &str| Error::Override { set: text.to_owned(), problem: problem.to_owned() };
        let (path, value) =
            text.split_once('=').ok_or_else(|| refuse("expected KEY.KEY=VALUE, found no ="))?;
        let keys: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) {
            return Err(refuse("expected KEY.KEY=VALUE, found an empty key"));
        }
        let value = yaml::parse(Path::new("--set"), value).map_err(|error| {
            match error.message.as_str() {
                problem if problem.starts_with("expected a finite number") => refuse(problem),
                problem => refuse(&format!("value is not YAML: {problem}")),
            }
        })?;
        Ok(Self { text: text.to_owned(), keys, value })
    }

    /// As the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it wrote the value of `keys`, by itself or together with what is around it.
    pub fn decides(&self, keys: &[&str]) -> bool {
        let mut wanted = keys.iter().copied();
        let mut next = wanted.next();
        self.keys.iter().enumerate().all(|(idx, key)| {
            if next == Some(key.as_str()) {
                next = wanted.next();
                return true;
            }
            // a stage by its index, where its name is wanted: the name comes after
            idx + 1 < self.keys.len() && key.parse::<usize>().is_ok()
        })
    }

    /// Changes `tree`, which was read from a file in `dir`; component files on the way are opened.
    pub fn apply(&self, tree: &mut Value, dir: &Path) -> Result<()> {
        let (last, parents) = self.keys.split_last().expect("split gives at least one key");
        let mut here = tree;
        let mut seen = PathBuf::new();
        for key in parents {
            open_component(here, dir)?;
            here = self.child(here, key, &seen)?;
            seen.push(key);
        }
        open_component(here, dir)?;
        // a new last key is fine: whether it belongs there, the types decide
        match here {
            Value::Object(map) if !map.contains_key(last) => {
                map.insert(last.clone(), self.value.clone());
            }
            _ => *self.child(here, last, &seen)? = self.value.clone(),
        }
        Ok(())
    }

    fn child<'a>(&self, node: &'a mut Value, key: &str, seen: &Path) -> Result<&'a mut Value> {
        let place = seen.display().to_string().replace('/', ".");
        let place = if place.is_empty() { "the file".to_owned() } else { place };
        let (found, names) = match node {
            Value::Object(map) => {
                let names = map.keys().cloned().collect();
                (map.get_mut(key), names)
            }
            Value::Array(items) => in_list(items, key),
            _ => (None, Vec::new()),
        };
        found.ok_or_else(|| {
            let problem = match names.as_slice() {
                [] => format!("{place} is not a block of keys, found no {key:?} in it"),
                names => {
                    format!("there is no {key:?} in {place}, expected one of {}", names.join(", "))
                }
            };
            Error::Override { set: self.text.clone(), problem }
        })
    }
}

/// An item by index, or the inside of the one-key item of that name: `stages.finetune.steps`.
fn in_list<'a>(items: &'a mut [Value], key: &str) -> (Option<&'a mut Value>, Vec<String>) {
    let name_of = |item: &Value| item.as_object().and_then(only_key).map(str::to_owned);
    let names = items.iter().filter_map(name_of).collect();
    let found = match key.parse::<usize>() {
        Ok(idx) => items.get_mut(idx),
        Err(_) => items
            .iter_mut()
            .find(|item| name_of(item).as_deref() == Some(key))
            .and_then(|item| item.get_mut(key)),
    };
    (found, names)
}

fn only_key(map: &Map<String, Value>) -> Option<&str> {
    let mut keys = map.keys();
    keys.next().filter(|_| map.len() == 1).map(String::as_str)
}

fn open_component(node: &mut Value, dir: &Path) -> Result<()> {
    let file = match node.as_object() {
        Some(map) if only_key(map) == Some("file") => map["file"].as_str().map(PathBuf::from),
        _ => None,
    };
    if let Some(file) = file {
        let path = files::join(dir, &file);
        *node = yaml::parse(&path, &files::read_text(&path)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree() -> Value {
        json!({ "seed": 1, "model": { "gates": { "every": 1 } },
                "stages": [{ "mask": { "above_mean": 0.6 } }, { "finetune": { "steps": 100 } }] })
    }

    fn set(text: &str) -> Result<Value> {
        let mut tree = tree();
        Override::parse(text)?.apply(&mut tree, Path::new("."))?;
        Ok(tree)
    }

    #[test]
    fn keys_stage_names_and_indices_are_found() {
        assert_eq!(set("seed=7").unwrap()["seed"], 7);
        assert_eq!(set("stages.finetune.steps=50").unwrap()["stages"][1]["finetune"]["steps"], 50);
        assert_eq!(set("stages.1.finetune.steps=5").unwrap()["stages"][1]["finetune"]["steps"], 5);
        assert_eq!(
            set("repeat.seeds=[1, 2]").unwrap_err().to_string(),
            "--set repeat.seeds=[1, 2]: there is no \"repeat\" in the file, expected one of seed, model, stages"
        );
        assert_eq!(set("repeat={seeds: [1, 2]}").unwrap()["repeat"]["seeds"], json!([1, 2]));
    }

    #[test]
    fn a_wrong_key_is_named_with_its_siblings() {
        let error = set("stages.finetun.steps=50").unwrap_err().to_string();
        assert_eq!(
            error,
            "--set stages.finetun.steps=50: there is no \"finetun\" in stages, expected one of mask, finetune"
        );
        assert!(set("seed").unwrap_err().to_string().contains("found no ="));
        assert!(set("a..b=1").unwrap_err().to_string().contains("an empty key"));
    }

    #[test]
    fn a_component_file_on_the_way_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("g.yaml"), "every: 1\nwidth: 4\n").unwrap();
        let mut tree = json!({ "model": { "gates": { "file": "g.yaml" } } });
        Override::parse("model.gates.every=3").unwrap().apply(&mut tree, dir.path()).unwrap();
        assert_eq!(tree, json!({ "model": { "gates": { "every": 3, "width": 4 } } }));
    }
}
