//! From results to a run directory: every file whole, none left over from an earlier run.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use flamingo::{MANIFEST, Manifest};
use report::generated::{Disclaimer, GeneratedReport, report_file_name};
use serde_json::Value;

use crate::{
    Error, Result, captions,
    package::model_id,
    record::{self, StageRecord, Started},
    stage::{WrittenReport, coverage},
    state::State,
};

const RECORD: &str = "record.json";

/// A run directory being written.
pub(crate) struct Publisher {
    dir: PathBuf,
    files: BTreeMap<String, String>,
    /// Digests of stored files that were checked in this run, by path.
    checked: BTreeMap<PathBuf, String>,
}

impl Publisher {
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        files::make_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), files: BTreeMap::new(), checked: BTreeMap::new() })
    }

    /// Writes a file that this run computed or checked, unless it is there with these bytes.
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let (target, digest) = (self.dir.join(path), files::sha256_bytes(bytes));
        if scan::sha256_file(&target).ok().as_ref() != Some(&digest) {
            files::write_atomic(&target, bytes)?;
        }
        self.files.insert(path.to_owned(), digest);
        Ok(())
    }

    /// Copies a folder of a stored result, file by file, as it was checked in this run.
    fn put_dir(&mut self, path: &str, from: &Path) -> Result<()> {
        for name in files::list(from)? {
            let (source, path) = (from.join(&name), format!("{path}/{name}"));
            if source.is_dir() {
                self.put_dir(&path, &source)?;
            } else {
                self.put_file(&path, &source)?;
            }
        }
        Ok(())
    }

    fn put_file(&mut self, path: &str, source: &Path) -> Result<()> {
        let target = self.dir.join(path);
        let known = self.checked.get(source).cloned();
        let digest = known.ok_or_else(|| Error::damaged(source, "it is no part of the result"))?;
        if scan::sha256_file(&target).ok().as_ref() != Some(&digest) {
            let same = files::copy_checked(source, &target, &digest)?;
            if !same {
                return Err(Error::damaged(source, Error::CHANGED));
            }
        }
        self.files.insert(path.to_owned(), digest);
        Ok(())
    }

    /// Copies a model package; a file that it names elsewhere is named as seen from here.
    fn put_model(&mut self, path: &str, from: &Path) -> Result<()> {
        let text = Manifest::read(from)?.for_copy(from, &self.dir.join(path))?;
        for name in files::list(from)? {
            let (source, path) = (from.join(&name), format!("{path}/{name}"));
            if name == MANIFEST {
                self.put(&path, text.as_bytes())?;
            } else if source.is_dir() {
                self.put_dir(&path, &source)?;
            } else {
                self.put_file(&path, &source)?;
            }
        }
        Ok(())
    }

    /// Removes what an earlier run wrote and this one did not, then writes the record.
    pub(crate) fn finish(
        self,
        record: impl FnOnce(&BTreeMap<String, String>) -> Value,
    ) -> Result<()> {
        let path = self.dir.join(RECORD);
        if let Ok(earlier) = files::read_json::<Value>(&path)
            && let Some(earlier) = earlier["files"].as_object()
        {
            for stale in earlier.keys().filter(|path| !self.files.contains_key(*path)) {
                files::remove_inside(&self.dir, stale)?;
            }
        }
        Ok(files::write_json(&path, &record(&self.files))?)
    }
}

/// Writes the run directory of one repetition.
pub(crate) fn publish(
    state: &State<'_>,
    started: &Started,
    stages: Vec<StageRecord>,
) -> Result<()> {
    let dir = state.plan.dir_of(state.run);
    let mut out = Publisher { checked: state.checked.clone(), ..Publisher::new(&dir)? };
    out.put("config_used.yaml", state.plan.loaded.as_used(&dir, state.run).as_bytes())?;
    if let Some(model) = &state.model_dir {
        out.put_model("model", model)?;
    }
    if let Some(lm) = &state.lm_dir {
        out.put_dir("lm", lm)?;
    }
    for (path, text) in report_files(state)? {
        out.put(&path, text.as_bytes())?;
    }
    for (path, text) in captions::files(state) {
        out.put(path, text.as_bytes())?;
    }
    let metrics = match (&state.evaluation, &state.lm_summary) {
        (Some(evaluation), _) => Some(files::to_json(evaluation)),
        (None, Some(summary)) => Some(files::to_json(summary)),
        (None, None) => None,
    };
    if let Some(metrics) = metrics {
        out.put("metrics.json", (metrics + "\n").as_bytes())?;
    }
    for (name, bytes) in state.embeddings.iter().flat_map(|it| &it.files) {
        out.put(name, bytes)?;
    }
    if let Some(parcels) = &state.parcels {
        out.put("coverage.tsv", coverage::table(parcels, state.scans()).as_bytes())?;
    }
    for (path, bytes) in &state.pages {
        out.put(path, bytes)?;
    }
    out.put("status.tsv", record::status(state).as_bytes())?;
    out.finish(|files| record::record(state, started, &stages, files))
}

/// Each generated report twice: for programs and for people.
fn report_files(state: &State<'_>) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for (report, written) in generated(state)?.into_iter().zip(&state.reports) {
        let row = &state.cohort().rows[written.row];
        let scan = &state.cohort().scans[row.scan_idx];
        let (run, window) = (format!("{:02}", scan.run), format!("{:02}", row.window));
        let entities = [
            ("sub", scan.subject.as_str()),
            ("ses", scan.session.as_str()),
            ("run", run.as_str()),
            ("win", window.as_str()),
        ];
        let folder = format!("sub-{}/ses-{}", scan.subject, scan.session);
        for (extension, text) in [("json", report.to_json()), ("txt", report.to_text())] {
            let name = report_file_name(&entities, extension)?;
            all.push((format!("{folder}/{name}"), text));
        }
    }
    Ok(all)
}

/// The reports with everything that says where they come from.
pub(crate) fn generated(state: &State<'_>) -> Result<Vec<GeneratedReport>> {
    let Some(model_dir) = state.model_dir.as_ref().filter(|_| !state.reports.is_empty()) else {
        return Ok(Vec::new());
    };
    let model = flamingo::Model::open(model_dir)?;
    let report = |written: &WrittenReport| of_window(state, written, model.manifest());
    state.reports.iter().map(report).collect()
}

fn of_window(
    state: &State<'_>,
    written: &WrittenReport,
    manifest: &Manifest,
) -> Result<GeneratedReport> {
    let row = &state.cohort().rows[written.row];
    let scan = &state.cohort().scans[row.scan_idx];
    // where nothing says what was seen, the table's words stand
    let (seen, stretch_s) = state.seen(written.row)?;
    let stretch_s = stretch_s.unwrap_or((row.onset_s, row.duration_s));
    Ok(GeneratedReport {
        disclaimer: Disclaimer,
        subject: scan.subject.clone(),
        session: Some(scan.session.clone()),
        window: seen.window(&scan.name, stretch_s),
        prompt: written.prompt.clone(),
        text: written.answer.text.clone(),
        slots: written.answer.slots.clone(),
        model_id: model_id(manifest),
        data_digest: scan.sha256.clone(),
        seed: state.run.seed,
    })
}
