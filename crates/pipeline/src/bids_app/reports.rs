//! Reports of a run, one file a recording with its windows inside.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cohort::{Entities, Entity};
use serde_json::{Map, Value, json};

use super::{names::Names, put_json};
use crate::{Result, plan::Plan};

/// What every window of a recording shares, and what each has of its own.
const SHARED: [&str; 6] = ["disclaimer", "subject", "session", "model_id", "data_digest", "seed"];

/// Writes the reports of a finished run; those of an earlier run whose recordings have none now are removed.
pub(super) fn write(plan: &Plan, record: &Value, out_dir: &Path) -> Result<()> {
    let published = record["files"].as_object().into_iter().flat_map(|it| it.keys());
    let mut written: BTreeMap<PathBuf, Value> = BTreeMap::new();
    for name in published.filter(|it| it.ends_with("_desc-generated_report.json")) {
        let report: Map<String, Value> = files::read_json(&plan.run_dir.join(name))?;
        let Some(path) = of_scan(&report) else { continue };
        let own = report.iter().filter(|(key, _)| !SHARED.contains(&key.as_str()));
        let own: Map<String, Value> = own.map(|(key, it)| (key.clone(), it.clone())).collect();
        let shared = || {
            let shared = SHARED.iter().filter_map(|key| Some((*key, report.get(*key)?)));
            let mut all: Map<String, Value> =
                shared.map(|(key, it)| (key.to_owned(), it.clone())).collect();
            all.insert("windows".to_owned(), json!([]));
            Value::Object(all)
        };
        let entry = written.entry(path).or_insert_with(shared);
        if let Some(windows) = entry["windows"].as_array_mut() {
            windows.push(Value::Object(own));
        }
    }
    remove_others(out_dir, &written)?;
    for (path, mut report) in written {
        if let Some(windows) = report["windows"].as_array_mut() {
            let onset = |it: &Value| it["window"]["onset_s"].as_f64().unwrap_or_default();
            windows.sort_by(|a, b| onset(a).total_cmp(&onset(b)));
        }
        put_json(&out_dir.join(path), &report)?;
    }
    Ok(())
}

/// Where the report of a window's scan belongs.
fn of_scan(report: &Map<String, Value>) -> Option<PathBuf> {
    let scan = Path::new(report["window"]["scan"].as_str()?).file_name()?.to_str()?.to_owned();
    let entities = cohort::entities_of(&scan)
        .filter(|it| it.get(Entity::Subject).is_some())
        .or_else(|| of_labels(report, &scan))?;
    let names = Names::new(&entities).of_no_space();
    Some(names.path(&[(Entity::Description, "generated")], "report.json"))
}

/// Of a scan that has no BIDS name: the labels of the table, and the name as that of a task.
fn of_labels(report: &Map<String, Value>, scan: &str) -> Option<Entities> {
    let label = |key: &str| Some(super::names::as_label(report.get(key)?.as_str()?));
    let task = super::names::as_label(scan.split('.').next()?);
    let session = label("session").map_or_else(String::new, |it| format!("_ses-{it}"));
    cohort::entities_of(&format!("sub-{}{session}_task-{task}_bold.nii", label("subject")?))
}

fn remove_others(out_dir: &Path, written: &BTreeMap<PathBuf, Value>) -> Result<()> {
    for name in files::list(out_dir)?.into_iter().filter(|it| it.starts_with("sub-")) {
        let folder = out_dir.join(&name);
        if !folder.is_dir() {
            continue;
        }
        for path in files::below(&folder)? {
            let is_report = path.to_string_lossy().ends_with("_desc-generated_report.json");
            if is_report && !written.contains_key(&Path::new(&name).join(&path)) {
                files::remove_file(&folder.join(&path))?;
            }
        }
    }
    Ok(())
}
