//! What the cache of an outputs folder holds, and which of it no run folder refers to.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use engine::{Key, Lock, Outcomes, Store, utc};
use serde::Serialize;
use serde_json::Value;

use crate::{Error, Result, RunState, journal::JOURNAL, shard::TASKS, spec::CACHE, status::status};

/// What one stage left in the cache.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StoredStage {
    /// Stage name.
    pub stage: String,
    /// Results of whole stages.
    pub n_results: usize,
    /// Results of single scans.
    pub n_scans: usize,
    /// Bytes of all of them.
    pub n_bytes: u64,
    /// Bytes of those that a run folder refers to.
    pub n_bytes_in_use: u64,
    /// When the newest was written, in UTC.
    pub last_written: Option<String>,
    /// When the last run that refers to one ended, in UTC.
    pub last_used: Option<String>,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pruned {
    /// Files and folders.
    pub n: usize,
    /// Their bytes.
    pub n_bytes: u64,
    /// Run folders that are not finished: what they made so far is removed too.
    pub unfinished: Vec<PathBuf>,
}

/// A result in the cache.
struct Entry {
    stage: String,
    path: PathBuf,
    is_scan: bool,
    n_bytes: u64,
    written: SystemTime,
}

/// What each stage left in the cache below `outputs`.
pub fn stored(outputs: &Path) -> Result<Vec<StoredStage>> {
    let cache = cache(outputs)?;
    let used = used(&cache, &records(outputs)?)?;
    let mut stages: BTreeMap<String, (StoredStage, Option<SystemTime>, Option<SystemTime>)> =
        BTreeMap::new();
    for entry in entries(&cache)? {
        let (stage, written, last_used) = stages.entry(entry.stage.clone()).or_default();
        stage.stage.clone_from(&entry.stage);
        stage.n_scans += usize::from(entry.is_scan);
        stage.n_results += usize::from(!entry.is_scan);
        stage.n_bytes += entry.n_bytes;
        *written = (*written).max(Some(entry.written));
        if let Some(time) = used.get(&entry.path) {
            stage.n_bytes_in_use += entry.n_bytes;
            *last_used = (*last_used).max(Some(*time));
        }
    }
    let said =
        |time: SystemTime| utc(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
    let stage = |(stage, written, used): (StoredStage, Option<SystemTime>, Option<SystemTime>)| {
        StoredStage { last_written: written.map(said), last_used: used.map(said), ..stage }
    };
    Ok(stages.into_values().map(stage).collect())
}

/// Removes what no run folder of `outputs` refers to; with `dry_run`, only says what it would remove.
///
/// # Errors
/// Where a run works in the cache, and, unless `unfinished` is set, where a run was stopped or tasks of one
/// are not gathered: nothing says yet which results it goes on with.
pub fn prune(outputs: &Path, dry_run: bool, unfinished: bool) -> Result<Pruned> {
    let cache = cache(outputs)?;
    let lock = Lock::take(&Store::new(&cache).lock("store-prune"), &cache)?;
    if !lock.is_alone()? {
        return Err(Error::CacheInUse { path: cache });
    }
    let stopped = stopped(outputs)?;
    if let (Some(path), false) = (stopped.first(), unfinished) {
        return Err(Error::Unfinished { path: path.clone() });
    }
    let used = used(&cache, &records(outputs)?)?;
    let mut pruned = Pruned { unfinished: stopped, ..Pruned::default() };
    for entry in entries(&cache)?.into_iter().filter(|it| !used.contains_key(&it.path)) {
        pruned.n += 1;
        pruned.n_bytes += entry.n_bytes;
        match (dry_run, entry.path.is_dir()) {
            (true, _) => {}
            (false, true) => files::remove_dir(&entry.path)?,
            (false, false) => files::remove_file(&entry.path)?,
        }
    }
    Ok(pruned)
}

fn cache(outputs: &Path) -> Result<PathBuf> {
    let cache = outputs.join(CACHE);
    match fs::read_dir(&cache) {
        Ok(_) => Ok(cache),
        Err(source) => Err(files::at("read", &cache)(source).into()),
    }
}

/// Every result: `<stage>/<key>/` of stages, `<stage>/scans/<key>.safetensors` of scans.
fn entries(cache: &Path) -> Result<Vec<Entry>> {
    let mut all = Vec::new();
    for stage in files::list(cache)?.into_iter().filter(|name| name != "locks") {
        let dir = cache.join(&stage);
        if !dir.is_dir() {
            continue;
        }
        for name in files::list(&dir)? {
            let (path, is_scan) = (dir.join(&name), false);
            if name != "scans" {
                let (n_bytes, written) = size(&path)?;
                all.push(Entry { stage: stage.clone(), path, is_scan, n_bytes, written });
                continue;
            }
            for name in files::list(&path)? {
                let (path, is_scan) = (path.join(name), true);
                let (n_bytes, written) = size(&path)?;
                all.push(Entry { stage: stage.clone(), path, is_scan, n_bytes, written });
            }
        }
    }
    Ok(all)
}

/// Bytes of a file or of all files of a folder, and when the last of them was written.
fn size(path: &Path) -> Result<(u64, SystemTime)> {
    let about = fs::symlink_metadata(path).map_err(files::at("read", path))?;
    let written = about.modified().unwrap_or(UNIX_EPOCH);
    if !about.is_dir() {
        return Ok((about.len(), written));
    }
    let mut all = (0, written);
    for name in files::list(path)? {
        let (n_bytes, written) = size(&path.join(name))?;
        all = (all.0 + n_bytes, all.1.max(written));
    }
    Ok(all)
}

/// The run folders below `outputs`, and those of repetitions below them.
fn run_folders(outputs: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for name in files::list(outputs)?.into_iter().filter(|name| name != CACHE) {
        let dir = outputs.join(name);
        if dir.is_dir() {
            let below = files::list(&dir)?.into_iter().map(|name| dir.join(name));
            folders.extend(below.filter(|path| path.is_dir()));
            folders.push(dir);
        }
    }
    Ok(folders)
}

/// The stages of every record, and when it was written.
fn records(outputs: &Path) -> Result<Vec<(SystemTime, String, Key)>> {
    let mut all = Vec::new();
    for dir in run_folders(outputs)? {
        let path = dir.join("record.json");
        let Ok(about) = fs::metadata(&path) else { continue };
        // a record that cannot be read might name anything
        let record: Value = files::read_json(&path)?;
        crate::record::check_format(&path, &record)?;
        let written = about.modified().unwrap_or(UNIX_EPOCH);
        for stage in record["stages"].as_array().into_iter().flatten() {
            let key = stage["key"].as_str().and_then(Key::recorded);
            if let (Some(name), Some(key)) = (stage["stage"].as_str(), key) {
                all.push((written, name.to_owned(), key));
            }
        }
    }
    Ok(all)
}

/// Results that records refer to, each with the time of the last.
fn used(
    cache: &Path,
    records: &[(SystemTime, String, Key)],
) -> Result<BTreeMap<PathBuf, SystemTime>> {
    let store = Store::new(cache);
    let mut used: BTreeMap<PathBuf, SystemTime> = BTreeMap::new();
    let mut seen: BTreeSet<(&str, &Key)> = BTreeSet::new();
    let mut newest: Vec<&(SystemTime, String, Key)> = records.iter().collect();
    newest.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
    for (time, stage, key) in newest {
        if !seen.insert((stage, key)) {
            continue;
        }
        let dir = store.dir(stage, key);
        if dir.join("units.json").is_file() {
            for key in Outcomes::read(&dir)?.keys.iter().flatten() {
                used.entry(store.unit(stage, key)).or_insert(*time);
            }
        }
        used.entry(dir).or_insert(*time);
    }
    Ok(used)
}

/// Run folders whose last run did not finish, or whose tasks no run has gathered.
fn stopped(outputs: &Path) -> Result<Vec<PathBuf>> {
    let mut stopped = Vec::new();
    for dir in run_folders(outputs)? {
        let is_unfinished =
            dir.join(JOURNAL).is_file() && status(&dir)?.state != RunState::Finished;
        if is_unfinished || has_tasks_to_gather(&dir)? {
            stopped.push(dir);
        }
    }
    Ok(stopped)
}

/// Whether a task ended after the last record was written.
fn has_tasks_to_gather(dir: &Path) -> Result<bool> {
    let tasks = dir.join(TASKS);
    if !tasks.is_dir() {
        return Ok(false);
    }
    let (_, ended) = size(&tasks)?;
    let record = fs::metadata(dir.join("record.json")).and_then(|about| about.modified());
    Ok(record.map_or(true, |written| written < ended))
}
