//! Whether a folder is one of a run that can be shown, and what is missing of it.
use std::{collections::BTreeMap, path::Path};

use report::counted;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    Error, Result,
    journal::JOURNAL,
    publish::RECORD,
    record::check_format,
    shard::TASKS,
    status::{RunState, status},
};

/// What is asked of a record.
#[derive(Default, Deserialize)]
struct Published {
    #[serde(default)]
    format: Option<u32>,
    #[serde(default)]
    files: BTreeMap<String, String>,
}

/// Checks that the pages of the run in `dir` can be shown. Gives what a person is to be told first, a sentence
/// each: that the run did not end well, that files are gone, that there are no pages.
///
/// # Errors
/// Where it is no folder of a run, or its record is damaged or of another version.
pub fn browsable(dir: &Path) -> Result<Vec<String>> {
    let path = dir.join(RECORD);
    let is_published = path.is_file();
    if !is_published && !dir.join(JOURNAL).is_file() && !dir.join(TASKS).is_dir() {
        let holds = if dir.is_dir() { "holds no run" } else { "is no folder" };
        let problem = format!("{holds}, expected the folder of a run, as runs/NAME");
        return Err(Error::Record { path: dir.to_owned(), problem });
    }
    let record: Published =
        if is_published { files::read_json(&path)? } else { Published::default() };
    check_format(
        &path,
        &record.format.map_or(Value::Null, |it| serde_json::json!({ "format": it })),
    )?;
    let state = status(dir).ok().map(|it| it.state);
    let mut notes = Vec::new();
    match state {
        Some(RunState::Failed) => notes.push("the run ended with an error".to_owned()),
        Some(RunState::Stopped) => {
            notes.push("the run was stopped; the same command goes on".to_owned());
        }
        _ => {}
    }
    // counted and not named: names of files hold labels of subjects
    let n_gone = record.files.keys().filter(|name| !dir.join(name).is_file()).count();
    if n_gone > 0 {
        let verb = if n_gone == 1 { "is" } else { "are" };
        notes.push(format!("{} of record.json {verb} gone", counted(n_gone, "file")));
    }
    let has_pages = |dir: &Path| dir.join(pages::INDEX).is_file();
    let of_repetition =
        || files::list(dir).into_iter().flatten().any(|it| has_pages(&dir.join(it)));
    if !has_pages(dir) && !of_repetition() {
        notes.push(match state {
            Some(RunState::Running) => "there are no pages yet".to_owned(),
            _ => "there are no pages: a stage `render` draws them at the end of a run".to_owned(),
        });
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn folders_that_are_no_run_or_of_another_version_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |dir: &Path| browsable(dir).unwrap_err().to_string();
        assert!(
            refused(&dir.path().join("none"))
                .ends_with("none: is no folder, expected the folder of a run, as runs/NAME")
        );
        assert!(refused(dir.path()).contains(": holds no run, expected"));
        let record = dir.path().join(RECORD);
        fs::write(&record, r#"{ "format": 7, "files": {} }"#).unwrap();
        assert!(refused(dir.path()).contains("record.json: found format 7, expected 1"));
        fs::write(&record, "{").unwrap();
        assert!(refused(dir.path()).contains("record.json: "));
    }

    #[test]
    fn what_is_missing_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let record = r#"{ "files": { "index.html": "0", "b.tsv": "1", "sub-7.html": "2" } }"#;
        fs::write(dir.path().join(RECORD), record).unwrap();
        fs::write(dir.path().join("b.tsv"), "").unwrap();
        let no_pages = "there are no pages: a stage `render` draws them at the end of a run";
        assert_eq!(browsable(dir.path()).unwrap(), ["2 files of record.json are gone", no_pages]);
        fs::write(dir.path().join("index.html"), "").unwrap();
        assert_eq!(browsable(dir.path()).unwrap(), ["1 file of record.json is gone"]);
        fs::write(dir.path().join("sub-7.html"), "").unwrap();
        assert_eq!(browsable(dir.path()).unwrap(), [""; 0]);
    }

    #[test]
    fn a_run_that_failed_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let begun = r#"{"name":"a","version":"1","host":"n","pid":1,"since":0,"lock":"l","stages":[],"repetitions":1,"scans":[]}"#;
        for (end, note) in [
            (r#"{"at":1.0,"ended":"failed"}"#, "the run ended with an error"),
            ("", "the run was stopped; the same command goes on"),
        ] {
            fs::write(dir.path().join(JOURNAL), format!("{begun}\n{end}\n")).unwrap();
            assert_eq!(browsable(dir.path()).unwrap()[0], note);
        }
    }
}
