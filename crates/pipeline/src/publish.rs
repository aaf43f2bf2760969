//! From results to a run directory: every file whole, none left over from an earlier run.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use files::FileIndex;
use flamingo::{MANIFEST, Manifest};
use report::generated::{Disclaimer, GeneratedReport};
use serde::{Deserialize, Serialize};

use crate::{
    Result, asked, captions,
    media::Media,
    model_id::model_id,
    phases::{Results, Trained, WrittenReport},
    plan::{Plan, SourcePlan},
    record::{self, Started},
    shown,
    stage::coverage,
    training_log, unit_record,
};

pub(crate) const RECORD: &str = "record.json";

/// What is asked of the record of an earlier run.
#[derive(Deserialize)]
struct Earlier {
    files: BTreeMap<String, String>,
}

/// A run directory being written.
pub(crate) struct Publisher {
    dir: PathBuf,
    files: BTreeMap<String, String>,
    /// Digests of stored files that were checked in this run, by path.
    checked: BTreeMap<PathBuf, String>,
    /// What earlier runs published: a file of the same size, times and inode is not read.
    published: FileIndex,
}

impl Publisher {
    pub(crate) fn new(plan: &Plan, dir: &Path) -> Result<Self> {
        files::make_dir(dir)?;
        let published = plan.loaded.known().beside(&plan.cache_dir.join("published.index"));
        let (files, checked) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { dir: dir.to_owned(), files, checked, published })
    }

    /// Writes a file that this run computed or checked, unless it is there with these bytes.
    pub(crate) fn put(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let (target, digest) = (self.dir.join(path), files::sha256_bytes(bytes));
        if self.published.sha256(&target).ok().as_ref() != Some(&digest) {
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
        let digest =
            known.ok_or_else(|| engine::Error::damaged(source, "it is no part of the result"))?;
        if self.published.sha256(&target).ok().as_ref() != Some(&digest) {
            let same = files::copy_checked(source, &target, &digest)?;
            if !same {
                return Err(engine::Error::damaged(source, engine::Error::CHANGED).into());
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
    pub(crate) fn finish(self, record: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        if let Ok(earlier) = files::read_json::<Earlier>(&self.dir.join(RECORD)) {
            for stale in earlier.files.keys().filter(|path| !self.files.contains_key(*path)) {
                files::remove_inside(&self.dir, stale)?;
            }
        }
        self.published.save()?;
        record(&self)
    }

    /// Writes the record, which names every file.
    pub(crate) fn write_record(&self, record: &impl Serialize) -> Result<()> {
        Ok(files::write_json(&self.dir.join(RECORD), record)?)
    }

    /// The digests of what was published.
    pub(crate) fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }
}

/// Writes the run directory of one repetition.
pub(crate) fn publish(results: &Results<'_>, started: &Started) -> Result<()> {
    let media = &results.media;
    let (plan, run) = (media.plan, media.run);
    let dir = plan.dir_of(run);
    let mut out = Publisher { checked: results.checked.clone(), ..Publisher::new(plan, &dir)? };
    out.put("config_used.yaml", plan.loaded.as_used(&dir, run).as_bytes())?;
    if let Some(trained) = &results.trained {
        out.put_model("model", &trained.model_dir)?;
        for (name, file) in &trained.log {
            out.put_file(name, file)?;
        }
        for (path, text) in report_files(media, trained, results.reports())? {
            out.put(&path, text.as_bytes())?;
        }
    }
    if let Some(trained) = &results.language_model {
        out.put_dir("lm", &trained.lm_dir)?;
        for (name, file) in &trained.log {
            out.put_file(name, file)?;
        }
        out.put("metrics.json", (files::to_json(&trained.summary) + "\n").as_bytes())?;
    }
    if let Some(captions) = &results.captions {
        for (path, text) in captions::files(plan, run.seed, captions) {
            out.put(path, text.as_bytes())?;
        }
    }
    for (name, file) in results.attributed.iter().flat_map(|it| &it.files) {
        out.put_file(name, file)?;
    }
    for (name, file) in results.few_shot.iter().flat_map(|it| &it.files) {
        out.put_file(name, file)?;
    }
    for (name, file) in results.asked.iter().flat_map(|it| &it.files) {
        out.put_file(name, file)?;
    }
    if let Some(evaluation) = &results.evaluation {
        out.put("metrics.json", (files::to_json(evaluation) + "\n").as_bytes())?;
    }
    for (name, bytes) in media.embeddings.iter().flat_map(|it| &it.files) {
        out.put(name, bytes)?;
    }
    for (name, file) in &media.files {
        out.put_file(name, file)?;
    }
    if let Some(parcels) = &media.parcels {
        out.put("coverage.tsv", coverage::table(parcels, media.scans()).as_bytes())?;
    }
    if let Some(pages) = &results.pages {
        for name in &pages.names {
            out.put_file(name, &pages.dir.join(name))?;
        }
    }
    for (path, bytes) in results.composed.iter().flatten() {
        out.put(path, bytes)?;
    }
    if results.trained.is_some() || results.language_model.is_some() {
        training_log::settle(&out.dir)?;
    }
    let status = match &plan.source {
        SourcePlan::Pictures(_) => {
            unit_record::status(plan, &captions::units(plan, results.captions.as_ref()))
        }
        SourcePlan::Benchmark(_) => {
            unit_record::status(plan, &asked::units(plan, run, results.few_shot.as_ref()))
        }
        _ => record::status(media),
    };
    out.put("status.tsv", status.as_bytes())?;
    out.finish(|out| out.write_record(&record::record(results, started, out.files())))
}

/// Each generated report twice: for programs and for people.
fn report_files(
    media: &Media<'_>,
    trained: &Trained,
    reports: &[WrittenReport],
) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for (report, written) in generated(media, trained, reports)?.into_iter().zip(reports) {
        for (extension, text) in [("json", report.to_json()), ("txt", report.to_text())] {
            let name = format!("desc-generated_report.{extension}");
            all.push((media.path_of_window(written.row, &name)?, text));
        }
    }
    Ok(all)
}

/// The reports with everything that says where they come from.
pub(crate) fn generated(
    media: &Media<'_>,
    trained: &Trained,
    reports: &[WrittenReport],
) -> Result<Vec<GeneratedReport>> {
    let report = |written: &WrittenReport| of_window(media, written, trained.model.manifest());
    reports.iter().map(report).collect()
}

fn of_window(
    media: &Media<'_>,
    written: &WrittenReport,
    manifest: &Manifest,
) -> Result<GeneratedReport> {
    let row = &media.cohort().rows[written.row];
    let scan = &media.cohort().scans[row.scan_idx];
    // where nothing says what was seen, the table's words stand
    let (seen, stretch_s) = media.seen(written.row)?;
    let stretch_s = stretch_s.unwrap_or((row.onset_s, row.duration_s));
    Ok(GeneratedReport {
        disclaimer: Disclaimer,
        subject: scan.subject.clone(),
        session: Some(scan.session.clone()),
        window: shown::window(&seen, &scan.name, stretch_s),
        prompt: written.prompt.clone(),
        given: row.labels.clone(),
        text: written.answer.text.clone(),
        slots: written.answer.slots.clone(),
        model_id: model_id(manifest),
        data_digest: scan.sha256.clone(),
        seed: media.run.seed,
    })
}
