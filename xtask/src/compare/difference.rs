//! In what two folders of runs differ.
//!
//! Published files are compared byte for byte, but for two: `record.json` without times, host and stage
//! keys, and `config_used.yaml` by what it means; the journal, which holds times, is not. Of what is stored, the results of single scans are
//! compared by their arrays; a key that is another one is noted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::kills::below;

const CACHE: &str = "cache";
const RECORD: &str = "record.json";
const JOURNAL: &str = "journal.jsonl";
const CONFIG: &str = "config_used.yaml";

/// The metadata of a stored result that says what it is of.
const ENTRY: &str = "neuroflamingo";

/// Differences of one file that are told.
const MOST: usize = 12;

/// What two folders do not have in common.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) differences: Vec<String>,
    /// What may change and should be known.
    pub(super) notes: Vec<String>,
}

/// Compares two folders of outputs.
pub(super) fn of_runs(old: &Path, new: &Path) -> Result<Found> {
    let mut found = Found::default();
    let published = |dir: &Path| -> Result<BTreeSet<PathBuf>> {
        let is_compared = |path: &PathBuf| !path.starts_with(CACHE) && !path.ends_with(JOURNAL);
        Ok(below(dir)?.into_iter().filter(is_compared).collect())
    };
    let (before, after) = (published(old)?, published(new)?);
    for path in before.union(&after) {
        let name = path.display();
        if !after.contains(path) {
            found.differences.push(format!("{name}: is gone"));
        } else if !before.contains(path) {
            found.differences.push(format!("{name}: is new"));
        } else {
            let lines = of_files(path, &fs::read(old.join(path))?, &fs::read(new.join(path))?);
            let lines = lines.with_context(|| format!("cannot compare {name}"))?;
            found.differences.extend(lines.into_iter().map(|line| format!("{name}: {line}")));
        }
    }
    let (before, after) = (stored(&old.join(CACHE))?, stored(&new.join(CACHE))?);
    for stage in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let (old, new) = (before.get(stage), after.get(stage));
        let results = |it: Option<&Stored>| it.map(|it| it.results.clone()).unwrap_or_default();
        if results(old) != results(new) {
            let line = format!("{CACHE}/{stage}: stored results of scans are others");
            found.differences.push(line);
        }
        if old.map(|it| &it.keys) != new.map(|it| &it.keys) {
            found.notes.push(format!("{CACHE}/{stage}: the keys are others"));
        }
    }
    Ok(found)
}

/// In what the file `path` of a run folder differs, in words.
fn of_files(path: &Path, old: &[u8], new: &[u8]) -> Result<Vec<String>> {
    let name = path.file_name().unwrap_or_default();
    let mut lines = Vec::new();
    if name == RECORD {
        let both = [old, new].map(serde_json::from_slice::<Value>);
        let [old, new] = both.map(|value| value.map(timeless));
        of_values("", &old?, &new?, &mut lines);
    } else if name == CONFIG {
        let [old, new] = [old, new].map(serde_yaml::from_slice::<Value>);
        of_values("", &old?, &new?, &mut lines);
    } else if old != new {
        let both = [old, new].map(serde_json::from_slice::<Value>);
        if let [Ok(old), Ok(new)] = both {
            of_values("", &old, &new, &mut lines);
        }
        if lines.is_empty() {
            lines.push(of_bytes(old, new));
        }
    }
    if lines.len() > MOST {
        let more = lines.len() - MOST;
        lines.truncate(MOST);
        lines.push(format!("and {more} more"));
    }
    Ok(lines)
}

/// A record without what depends on the moment, the machine, and how results are named in the cache.
fn timeless(mut record: Value) -> Value {
    if let Some(record) = record.as_object_mut() {
        for key in ["started", "seconds", "platform", "version", "command"] {
            record.remove(key);
        }
        for stage in record.get_mut("stages").and_then(Value::as_array_mut).into_iter().flatten() {
            for key in ["key", "seconds", "peak_memory_mb"] {
                stage.as_object_mut().and_then(|stage| stage.remove(key));
            }
        }
        // its meaning is compared, not its bytes
        record.get_mut("files").and_then(Value::as_object_mut).and_then(|it| it.remove(CONFIG));
    }
    record
}

/// A line for each value that is another one, named by its keys.
fn of_values(at: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                match new.get(key) {
                    Some(other) => of_values(&below(key), value, other, lines),
                    None => lines.push(format!("{} is gone", below(key))),
                }
            }
            let more = new.keys().filter(|key| !old.contains_key(*key));
            lines.extend(more.map(|key| format!("{} is new", below(key))));
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (idx, (old, new)) in old.iter().zip(new).enumerate() {
                of_values(&below(&idx.to_string()), old, new, lines);
            }
        }
        _ if old == new => {}
        _ => lines.push(format!("{at} was {}, is {}", short(old), short(new))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 80 {
        return text;
    }
    text.chars().take(80).chain(['…']).collect()
}

/// Where bytes differ first: the line of a text, the place in anything else.
fn of_bytes(old: &[u8], new: &[u8]) -> String {
    if let [Ok(old), Ok(new)] = [old, new].map(std::str::from_utf8) {
        let lines = old.split('\n').zip(new.split('\n')).enumerate();
        let mut lines = lines.filter(|(_, (old, new))| old != new);
        if let Some((idx, (old, new))) = lines.next() {
            return format!("line {} was {old:?}, is {new:?}", idx + 1);
        }
    }
    let at = old.iter().zip(new).position(|(a, b)| a != b);
    let at = at.unwrap_or(old.len().min(new.len()));
    format!("{} bytes became {}, which differ from byte {at} on", old.len(), new.len())
}

/// What a stage stored.
#[derive(Default, PartialEq)]
struct Stored {
    /// Of scans, in the order of what they say; without their keys.
    results: Vec<(String, Vec<u8>)>,
    /// Names of results.
    keys: BTreeSet<String>,
}

fn stored(cache: &Path) -> Result<BTreeMap<String, Stored>> {
    let mut stages: BTreeMap<String, Stored> = BTreeMap::new();
    for path in below(cache)? {
        let mut parts = path.iter().map(|part| part.to_string_lossy().into_owned());
        let (Some(stage), Some(name)) = (parts.next(), parts.next()) else { continue };
        let stage = stages.entry(stage).or_default();
        match parts.next() {
            Some(file) if name == "scans" => {
                stage.results.push(result(&fs::read(cache.join(&path))?)?);
                stage.keys.insert(file);
            }
            _ => drop(stage.keys.insert(name)),
        }
    }
    for stage in stages.values_mut() {
        stage.results.sort();
    }
    Ok(stages)
}

/// What a stored result of a scan says of itself, and its arrays.
fn result(bytes: &[u8]) -> Result<(String, Vec<u8>)> {
    let (n_header, metadata) = safetensors::SafeTensors::read_metadata(bytes)?;
    let entry = metadata.metadata().as_ref().and_then(|it| it.get(ENTRY));
    let mut said: Value = serde_json::from_str(entry.context("it does not say what it is of")?)?;
    for key in ["key", "arrays_sha256", "header_sha256"] {
        said.as_object_mut().and_then(|said| said.remove(key));
    }
    Ok((said.to_string(), bytes[8 + n_header..].to_vec()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn differ(path: &str, old: &[u8], new: &[u8]) -> Vec<String> {
        of_files(Path::new(path), old, new).unwrap()
    }

    #[test]
    fn bytes_count_but_for_times_keys_and_what_means_the_same() {
        assert_eq!(differ("a.txt", b"x\ny\n", b"x\nz\n"), ["line 2 was \"y\", is \"z\""]);
        assert_eq!(
            differ("a.bin", &[255, 1, 2], &[255, 1]),
            ["3 bytes became 2, which differ from byte 2 on"]
        );
        assert_eq!(
            differ("m.json", b"{\"a\": [1, 2]}", b"{\"a\": [1, 3], \"b\": 0}"),
            ["a.1 was 2, is 3", "b is new"]
        );
        // the same values, written otherwise
        assert_eq!(differ("m.json", b"{\"a\":1}", b"{\"a\": 1}").len(), 1);
        let record = |seconds: f64, key: &str, n: usize| {
            let stages =
                json!([{ "stage": "mask", "key": key, "seconds": seconds, "stored": false }]);
            let record = json!({ "seconds": seconds, "stages": stages, "n": n,
                                 "files": { CONFIG: key, "status.tsv": "aa" } });
            record.to_string().into_bytes()
        };
        assert!(differ("x/record.json", &record(1.0, "k", 1), &record(2.0, "l", 1)).is_empty());
        let lines = differ("x/record.json", &record(1.0, "k", 1), &record(2.0, "l", 2));
        assert_eq!(lines, ["n was 1, is 2"]);
        assert!(differ(CONFIG, b"# a\na: 1\nb: [2]\n", b"a: 1\nb:\n- 2\n").is_empty());
        assert_eq!(differ(CONFIG, b"a: 1\n", b"a: 2\n"), ["a was 1, is 2"]);
    }

    fn scan(key: &str, value: u8) -> Vec<u8> {
        let said = json!({ "key": key, "what": "tokens", "facts": {}, "arrays_sha256": key });
        let metadata = [(ENTRY.to_owned(), said.to_string())].into_iter().collect();
        let data = [value];
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, vec![1], &data);
        safetensors::serialize([("a", view.unwrap())], Some(metadata)).unwrap()
    }

    #[test]
    fn stored_results_are_compared_by_their_arrays_and_keys_are_noted() {
        let folder = |key: &str, value: u8| {
            let dir = tempfile::tempdir().unwrap();
            let scans = dir.path().join("cache/encode/scans");
            fs::create_dir_all(&scans).unwrap();
            fs::write(scans.join(format!("{key}.safetensors")), scan(key, value)).unwrap();
            fs::write(dir.path().join("status.tsv"), "x").unwrap();
            dir
        };
        let found = |new: &tempfile::TempDir| of_runs(folder("k", 1).path(), new.path()).unwrap();
        let same = found(&folder("k", 1));
        assert!(same.differences.is_empty() && same.notes.is_empty(), "{same:?}");
        let renamed = found(&folder("l", 1));
        assert!(renamed.differences.is_empty(), "{renamed:?}");
        assert_eq!(renamed.notes, ["cache/encode: the keys are others"]);
        let other = found(&folder("k", 2));
        assert_eq!(other.differences, ["cache/encode: stored results of scans are others"]);
        let fewer = folder("k", 1);
        fs::remove_file(fewer.path().join("status.tsv")).unwrap();
        assert_eq!(found(&fewer).differences, ["status.tsv: is gone"]);
    }
}
