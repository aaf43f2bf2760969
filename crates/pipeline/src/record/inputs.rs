//! What a run read, by digest, and whether it is still the same.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use report::counted;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Value, json};

use crate::{
    Error, Result,
    media::Media,
    plan::{Plan, SourcePlan},
    spec::Loaded,
};

/// The file beside a record that says what was run.
const CONFIG: &str = "config_used.yaml";

/// What the recordings of a run were made of; written entry by entry, because a cohort has many.
pub(super) struct Inputs<'a>(pub(super) &'a Media<'a>);

/// A recording, with the digests of what was read of it.
#[derive(Serialize)]
struct Row {
    scan: String,
    t_r: Option<cohort::RepetitionTime>,
    n_frames: Option<usize>,
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confounds_sha256: Option<String>,
}

/// Serialised as a list, item by item.
struct Each<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_seq((self.0)())
    }
}

impl Serialize for Inputs<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let media = self.0;
        let file =
            |path: &Path, sha256: &str| json!({ "path": files::shown(path), "sha256": sha256 });
        let mut map = to.serialize_map(None)?;
        match &media.plan.source {
            SourcePlan::Cohort(cohort) => {
                map.serialize_entry("table", &file(&cohort.table, &cohort.sha256))?;
                let of_media = cohort.omics.iter().filter_map(|it| {
                    Some(json!({ "medium": it.name, "sha256": it.sha256.as_ref()? }))
                });
                let of_media: Vec<_> = of_media.collect();
                if !of_media.is_empty() {
                    map.serialize_entry("tables_of_media", &of_media)?;
                }
                let scan = |(idx, it): (usize, &crate::plan::ScanPlan)| {
                    let mut row = json!({ "scan": it.name, "sha256": it.sha256 });
                    if let Some(sha256) = media.confounds_digest(idx).ok().flatten() {
                        row["confounds_sha256"] = json!(sha256);
                    }
                    row
                };
                map.serialize_entry("scans", &Each(|| cohort.scans.iter().enumerate().map(scan)))?;
            }
            SourcePlan::Pictures(pictures) => {
                map.serialize_entry("table", &file(&pictures.table, &pictures.sha256))?;
                let picture = |it: &crate::plan::PicturePlan| json!({ "image": it.name, "sha256": it.sha256 });
                map.serialize_entry("pictures", &Each(|| pictures.pictures.iter().map(picture)))?;
            }
            SourcePlan::Benchmark(it) => {
                let shown = || it.pictures.iter().filter(|picture| picture.sha256.is_some());
                let picture = |it: &crate::plan::BenchmarkPicture| json!({ "image": it.name, "sha256": it.sha256 });
                map.serialize_entry("pictures", &Each(|| shown().map(picture)))?;
            }
            SourcePlan::Recordings(recordings) => {
                map.serialize_entry("cohort", &files::shown(&recordings.cohort.path))?;
                map.serialize_entry("n_recordings", &recordings.recordings().len())?;
                map.serialize_entry("n_subjects", &recordings.cohort.n_subjects())?;
                map.serialize_entry("left_out", &recordings.cohort.counts())?;
                let labels = files::to_json(&media.labels());
                map.serialize_entry("labels_sha256", &files::sha256_bytes(labels.as_bytes()))?;
                let row = |(idx, it): (usize, &cohort::Recording)| Row {
                    scan: it.name(),
                    t_r: it.t_r,
                    n_frames: it.n_frames,
                    sha256: media.digest(idx).ok(),
                    confounds_sha256: media.confounds_digest(idx).ok().flatten(),
                };
                let rows = || recordings.recordings().iter().enumerate().map(row);
                map.serialize_entry("recordings", &Each(rows))?;
            }
            SourcePlan::Corpus { path, sha256, .. } => {
                map.serialize_entry("texts", &file(path, sha256))?;
            }
        }
        let named = media.plan.loaded.named_files(|path| media.digest_of(path).ok()).into_iter();
        let named = named.map(|(file, sha256)| json!({ "file": file, "sha256": sha256 }));
        map.serialize_entry("named", &named.collect::<Vec<_>>())?;
        map.end()
    }
}

/// What is read of a record to repeat its run.
#[derive(Deserialize)]
struct Recorded {
    format: Option<u32>,
    version: String,
    hashed_ids: Option<String>,
    repetition: Option<String>,
    inputs: Value,
    language_model: Option<Value>,
    files: BTreeMap<String, String>,
}

impl Recorded {
    fn read(path: &Path) -> Result<Self> {
        match files::read_json(path) {
            Err(files::Error::Json { .. }) => {
                Err(refusal(path, "it is no record of a run that can be repeated"))
            }
            read => {
                let read: Self = read?;
                super::check_format(
                    path,
                    &json!({ "format": read.format.unwrap_or(super::FORMAT) }),
                )?;
                Ok(read)
            }
        }
    }
}

/// A run that is to be repeated from its record.
#[derive(Clone, Debug)]
pub struct Repeated {
    /// What was run, with further changes of the user.
    pub loaded: Loaded,
    /// The version that made the record, where it is another one.
    pub other_version: Option<String>,
    record: PathBuf,
}

impl Repeated {
    /// The pipeline of a `record.json`, as it lies beside it, with changes that are each `KEY.KEY=VALUE`.
    ///
    /// # Errors
    /// Where it is no record of a single run, or what lies beside it is not what was run.
    pub fn read(record: &Path, sets: &[String]) -> Result<Self> {
        let recorded = Recorded::read(record)?;
        if let Some(label) = &recorded.repetition {
            let problem = format!(
                "it is of repetition {label} of a series: repeat the series with its pipeline file"
            );
            return Err(refusal(record, &problem));
        }
        let config = record.with_file_name(CONFIG);
        let sha256 = files::sha256_file(&config).map_err(files::at("read", &config))?;
        if recorded.files.get(CONFIG) != Some(&sha256) {
            return Err(refusal(record, "config_used.yaml beside it is not what that run used"));
        }
        let other = (recorded.version != env!("CARGO_PKG_VERSION")).then_some(recorded.version);
        let loaded = Loaded::read(&config, sets)?;
        Ok(Self { loaded, other_version: other, record: record.to_owned() })
    }

    /// Refuses to go on where a file is not the one that was read then.
    pub fn check(&self, plan: &Plan) -> Result<()> {
        let recorded = Recorded::read(&self.record)?;
        if recorded.hashed_ids != plan.hashed_ids() {
            let problem =
                "cannot be repeated: its labels are hashed otherwise, expected the same --hash-ids";
            return Err(refusal(&self.record, problem));
        }
        let media = Media::new(plan, &plan.runs[0]);
        let now = serde_json::to_value(Inputs(&media)).expect("plain values");
        let changed = changed(&recorded.inputs, &now).or_else(|| {
            let then = recorded.language_model.as_ref().map(|it| &it["sha256"]);
            let lm = plan.lm.as_ref().map(|it| json!(it.digests));
            (then != lm.as_ref()).then(|| "the language model is not the one of then".to_owned())
        });
        changed.map_or(Ok(()), |problem| {
            Err(refusal(&self.record, &format!("cannot be repeated: {problem}")))
        })
    }
}

fn refusal(path: &Path, problem: &str) -> Error {
    Error::Record { path: path.to_owned(), problem: problem.to_owned() }
}

/// The first difference between what was read and what would be read now; nobody is named.
fn changed(then: &Value, now: &Value) -> Option<String> {
    for (key, what) in [("scans", "scan"), ("recordings", "recording"), ("pictures", "picture")] {
        let [then, now] = [then, now].map(|it| it[key].as_array().map_or(&[][..], Vec::as_slice));
        if then.len() != now.len() {
            let now = now.len();
            return Some(format!("it has {}, there are {now} now", counted(then.len(), what)));
        }
        let n = then.iter().zip(now).filter(|(then, now)| then != now).count();
        if n > 0 {
            let all = counted(then.len(), what);
            return Some(format!(
                "{n} of its {all} changed since (file, table or repetition time)"
            ));
        }
    }
    // records of earlier versions do not say it
    let labels = &then["labels_sha256"];
    if !labels.is_null() && *labels != now["labels_sha256"] {
        return Some("what tables say of its people changed since".to_owned());
    }
    let is_other = |key: &str| then[key]["sha256"] != now[key]["sha256"];
    if let Some(key) = ["table", "texts"].into_iter().find(|key| is_other(key)) {
        return Some(format!("the file of its {key} changed since"));
    }
    let [then, now] = [then, now].map(|it| it["named"].as_array().map_or(&[][..], Vec::as_slice));
    let other = now.iter().find(|it| !then.contains(it));
    let file = other.map(|it| it["file"].as_str().unwrap_or_default().to_owned());
    let file =
        file.or_else(|| (then.len() != now.len()).then(|| "a file that it names".to_owned()));
    file.map(|file| format!("{file} is not the file that was read then"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_told_and_nobody_named() {
        let inputs = |scan: &str, n: usize, atlas: &str| {
            let row = json!({ "scan": "sub-01_task-rest", "sha256": scan });
            json!({
                "recordings": vec![row; n],
                "named": [{ "file": "atlas.nii.gz", "sha256": atlas }],
            })
        };
        let then = inputs("aa", 2, "bb");
        assert_eq!(changed(&then, &then), None);
        for (now, expected) in [
            (inputs("ab", 2, "bb"), "2 of its 2 recordings changed since"),
            (inputs("aa", 3, "bb"), "it has 2 recordings, there are 3 now"),
            (inputs("aa", 2, "bc"), "atlas.nii.gz is not the file that was read then"),
        ] {
            let said = changed(&then, &now).unwrap();
            assert!(said.starts_with(expected) && !said.contains("sub-"), "{said}");
        }
        let people = |sha256: &str| json!({ "labels_sha256": sha256 });
        assert!(changed(&people("a"), &people("b")).unwrap().contains("tables say of its people"));
        assert_eq!(changed(&json!({}), &people("b")), None);
        let table = |sha256: &str| json!({ "table": { "sha256": sha256 } });
        assert!(changed(&table("a"), &table("b")).unwrap().contains("the file of its table"));
    }
}
