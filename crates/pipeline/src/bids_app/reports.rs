//! Reports of a run, one file a recording with its windows inside.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cohort::{Entities, Entity};
use serde_json::{Map, Value, json};

use super::{
    names::{Names, as_label},
    output::put_json,
};
use crate::Result;

/// What every window of a recording shares, and what each has of its own.
const SHARED: [&str; 6] = ["disclaimer", "subject", "session", "model_id", "data_digest", "seed"];

/// Writes the reports of a finished run in `run_dir`, whose record is given; those of an earlier run whose recordings have none now are removed.
pub(super) fn write(run_dir: &Path, record: &Value, out_dir: &Path) -> Result<()> {
    let published = record["files"].as_object().into_iter().flat_map(|it| it.keys());
    let mut written: BTreeMap<PathBuf, Value> = BTreeMap::new();
    for name in published.filter(|it| it.ends_with("_desc-generated_report.json")) {
        let report: Map<String, Value> = files::read_json(&run_dir.join(name))?;
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
    let label = |key: &str| Some(as_label(report.get(key)?.as_str()?));
    let task = as_label(scan.split('.').next()?);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_a_recording_stand_in_one_file_and_what_is_old_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (run, out) = (dir.path().join("run"), dir.path().join("out"));
        let mut published = Map::new();
        let mut report = |name: &str, scan: &str, onset_s: f64| {
            let report = json!({
                "disclaimer": "none", "subject": "A_1", "session": "2", "model_id": "m",
                "data_digest": "d", "seed": 1, "text": format!("at {onset_s}"),
                "window": { "scan": scan, "onset_s": onset_s, "duration_s": 8.0 },
            });
            let name = format!("sub-A1/ses-2/{name}_desc-generated_report.json");
            files::write_json(&run.join(&name), &report).unwrap();
            published.insert(name, json!("digest"));
        };
        let scan = "sub-A1_ses-2_task-rest_space-T1w_desc-preproc_bold.nii.gz";
        report("sub-A1_ses-2_run-01_win-10", scan, 72.0);
        report("sub-A1_ses-2_run-01_win-02", scan, 8.0);
        report("sub-A1_ses-2_run-02_win-01", "my_scan.nii.gz", 0.0);
        let stale = out.join("sub-B/func/sub-B_task-rest_desc-generated_report.json");
        files::write_json(&stale, &json!({})).unwrap();
        write(&run, &json!({ "files": published }), &out).unwrap();
        assert!(!stale.exists());
        let read = |name: &str| -> Value {
            files::read_json(&out.join("sub-A1/ses-2/func").join(name)).unwrap()
        };
        let both = read("sub-A1_ses-2_task-rest_desc-generated_report.json");
        let texts: Vec<&Value> =
            both["windows"].as_array().unwrap().iter().map(|it| &it["text"]).collect();
        assert_eq!(texts, ["at 8", "at 72"]);
        assert_eq!((&both["subject"], &both["seed"]), (&json!("A_1"), &json!(1)));
        assert!(both["windows"][0].get("subject").is_none() && both.get("text").is_none());
        let other = read("sub-A1_ses-2_task-myscan_desc-generated_report.json");
        assert_eq!(other["windows"].as_array().unwrap().len(), 1);
    }
}
