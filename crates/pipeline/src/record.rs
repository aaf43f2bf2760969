//! What was run, with what, and how it went: `record.json` and `status.tsv`.
mod inputs;
mod stages;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use engine::{Reason, utc};
use scan::{FailureKind, Split};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Error, Result, asked, captions,
    media::Media,
    phases::Results,
    plan::{Plan, RecordingsPlan, RunPlan, SourcePlan},
    spec::Loaded,
    stage::coverage,
    unit_record,
    watch::Failed,
};
use inputs::Inputs;
pub use inputs::Repeated;
use stages::milliseconds;
pub(crate) use stages::{StageRecord, peak_memory_mb};

/// The layout of `record.json` that this version writes; older versions wrote the same without a number.
const FORMAT: u32 = 1;

/// Refuses a record of another layout: its keys and files might mean something else.
///
/// # Errors
/// Where its number is another one.
pub(crate) fn check_format(path: &Path, record: &Value) -> Result<()> {
    match record.get("format") {
        Some(found) if *found != json!(FORMAT) => Err(Error::RecordFormat {
            path: path.to_owned(),
            found: found.to_string(),
            expected: FORMAT,
        }),
        _ => Ok(()),
    }
}

/// When a run began.
pub(crate) struct Started {
    clock: Instant,
    unix: u64,
}

impl Started {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self { clock: Instant::now(), unix: since.map_or(0, |since| since.as_secs()) }
    }
}

/// How it went with one scan.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct UnitRecord {
    subject: String,
    session: Option<String>,
    run: Option<String>,
    scan: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    n_windows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fold: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<Split>,
    /// `SUCCESS`, `FAIL`, `INCOMPLETE` where the run could not be finished, or `EXCLUDED` where it was
    /// not wanted.
    status: String,
    /// The last stage it went through, or the one it failed in.
    stage: String,
    reason: Option<String>,
    /// What kind of failure it is.
    kind: Option<String>,
}

/// One a scan; `ended` is the stage in which a run ended that could not be finished.
fn units(media: &Media<'_>, ended: Option<&str>) -> Vec<UnitRecord> {
    let cohort = match &media.plan.source {
        SourcePlan::Cohort(cohort) => cohort,
        SourcePlan::Recordings(recordings) => return recordings_of(media, recordings, ended),
        SourcePlan::Pictures(_) | SourcePlan::Benchmark(_) | SourcePlan::Corpus { .. } => {
            return Vec::new();
        }
    };
    let (last, good) = good(media, ended);
    let unit = |(scan_idx, scan): (usize, &crate::plan::ScanPlan)| {
        let failure = media.failures.get(&scan_idx);
        UnitRecord {
            subject: scan.subject.clone(),
            session: Some(scan.session.clone()),
            run: Some(scan.run.to_string()),
            scan: scan.name.clone(),
            n_windows: Some(cohort.rows.iter().filter(|row| row.scan_idx == scan_idx).count()),
            fold: media.run.fold,
            split: media.split_of(scan_idx),
            status: if failure.is_some() { "FAIL" } else { good }.to_owned(),
            stage: failure.map_or(last, |(stage, _)| stage).to_owned(),
            reason: failure.map(|(_, reason)| media.plan.words_of(reason).to_owned()),
            kind: failure.map(|(_, reason)| reason.kind.to_string()),
        }
    };
    cohort.scans.iter().enumerate().map(unit).collect()
}

/// The last stage of a scan that did not fail, and how it is called.
fn good<'a>(media: &Media<'a>, ended: Option<&'a str>) -> (&'a str, &'static str) {
    let last = || media.plan.spec().stages().last().map_or("", |stage| stage.name());
    ended.map_or_else(|| (last(), "SUCCESS"), |stage| (stage, "INCOMPLETE"))
}

/// The recordings, then those that were left out before anything was read.
fn recordings_of(media: &Media<'_>, plan: &RecordingsPlan, ended: Option<&str>) -> Vec<UnitRecord> {
    let (last, good) = good(media, ended);
    let taken = plan.recordings().iter().enumerate().map(|(idx, recording)| {
        let failure = media.failures.get(&idx);
        UnitRecord {
            subject: recording.subject().to_owned(),
            session: recording.session().map(str::to_owned),
            run: recording.run().map(str::to_owned),
            scan: recording.name(),
            n_windows: None,
            fold: media.run.fold,
            split: media.split_of(idx),
            status: match failure {
                None => good,
                Some(_) if media.unwanted.contains(&idx) => "EXCLUDED",
                Some(_) => "FAIL",
            }
            .to_owned(),
            stage: failure.map_or(last, |(stage, _)| stage).to_owned(),
            reason: failure.map(|(_, reason)| media.plan.words_of(reason).to_owned()),
            kind: failure.map(|(_, reason)| reason.kind.to_string()),
        }
    });
    let left_out = |it: &cohort::Excluded| match media.plan.pseudonyms {
        None => left_out(it),
        // the sentence may name a file
        Some(_) => UnitRecord { reason: Some(it.reason.kind()), ..left_out(it) },
    };
    taken.chain(plan.excluded().iter().map(left_out)).collect()
}

/// A recording that was left out before anything was read.
fn left_out(excluded: &cohort::Excluded) -> UnitRecord {
    UnitRecord {
        subject: excluded.subject().unwrap_or("n/a").to_owned(),
        session: excluded.session().map(str::to_owned),
        run: excluded.run().map(str::to_owned),
        scan: excluded.name.clone(),
        n_windows: None,
        fold: None,
        split: None,
        status: if excluded.reason.is_failure() { "FAIL" } else { "EXCLUDED" }.to_owned(),
        stage: excluded.reason.stage().unwrap_or("cohort").to_owned(),
        reason: Some(files::without_folders(&files::one_line(&excluded.reason.to_string()))),
        kind: Some(excluded.reason.failure_kind().to_string()),
    }
}

/// Writes `status.tsv` of a run for which no recording is left, with the reasons; says where, and does
/// nothing where `error` is about something else.
pub fn write_left_out(loaded: &Loaded, error: &Error) -> Result<Option<PathBuf>> {
    let units: Vec<UnitRecord> = error.excluded().iter().map(left_out).collect();
    if units.is_empty() || !matches!(error, Error::Cohort { .. } | Error::NoneFits { .. }) {
        return Ok(None);
    }
    let name = &loaded.spec.name;
    let path = loaded.resolve(&loaded.spec.outputs).join(name).join("status.tsv");
    files::write_atomic(&path, table(name, &units).as_bytes())?;
    Ok(Some(path))
}

/// The record. It is written entry by entry: as a tree of JSON values, one of a large cohort takes several
/// times the memory of everything else.
#[derive(Serialize)]
struct Record<'a> {
    format: u32,
    program: &'static str,
    version: &'static str,
    name: &'a str,
    repetition: Option<&'a str>,
    seed: u64,
    platform: String,
    command: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    hashed_ids: Option<String>,
    threads: NonZeroUsize,
    started: String,
    seconds: f64,
    inputs: Inputs<'a>,
    language_model: Option<Value>,
    package: Option<Value>,
    atlas: Option<&'a Value>,
    lost_labels: Option<Vec<Value>>,
    coverage: Option<Vec<coverage::ParcelCoverage>>,
    stages: &'a [StageRecord],
    units: Units<'a>,
    verdict: Option<&'a str>,
    files: &'a BTreeMap<String, String>,
}
/// How it went with each.
#[derive(Serialize)]
#[serde(untagged)]
enum Units<'a> {
    NoScans(Vec<unit_record::UnitRecord<'a>>),
    Scans(Vec<UnitRecord>),
}

/// The record; `files` are the digests of what else is in the run directory.
pub(crate) fn record<'a>(
    results: &'a Results<'_>,
    started: &Started,
    files: &'a BTreeMap<String, String>,
) -> impl Serialize + 'a {
    let media = &results.media;
    let plan = media.plan;
    let package = match &plan.source {
        SourcePlan::Pictures(pictures) => Some(json!({
            "path": files::shown(&pictures.package), "model_id": pictures.model_id,
        })),
        SourcePlan::Benchmark(it) => Some(json!({
            "path": files::shown(&it.package), "model_id": it.model_id,
        })),
        _ => plan.ask.as_ref().map(|it| {
            json!({
                "path": files::shown(&it.package), "model_id": it.model_id,
            })
        }),
    };
    let lm = plan.lm.as_ref().map(
        |lm| json!({ "path": files::shown(&lm.dir), "sha256": lm.digests, "notes": lm.notes }),
    );
    let parcels = media.parcels.as_ref();
    let lost = |(idx, labels): (usize, Vec<i32>)| {
        let all = parcels.map_or(&[] as &[_], |it| it.about.parcels.as_slice());
        let names: Vec<_> =
            all.iter().filter(|it| labels.contains(&it.label)).map(|it| &it.name).collect();
        json!({ "scan": media.scans()[idx].name, "labels": labels, "names": names })
    };
    Record {
        format: FORMAT,
        program: "neuroflamingo",
        version: env!("CARGO_PKG_VERSION"),
        name: &plan.spec().name,
        repetition: media.run.label.as_deref(),
        seed: media.run.seed,
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        command: &plan.command,
        hashed_ids: plan.hashed_ids(),
        threads: plan.budget.n_workers,
        started: utc(started.unix),
        seconds: milliseconds(started.clock.elapsed().as_secs_f64()),
        inputs: Inputs(media),
        language_model: lm,
        package,
        atlas: parcels.map(|it| &it.about.atlas),
        lost_labels: parcels.map(|it| it.lost().map(lost).collect()),
        coverage: parcels.map(coverage::of_parcels),
        stages: &results.stages,
        units: match &plan.source {
            SourcePlan::Pictures(_) => {
                Units::NoScans(captions::units(plan, results.captions.as_ref()))
            }
            SourcePlan::Benchmark(_) => {
                Units::NoScans(asked::units(plan, media.run, results.few_shot.as_ref()))
            }
            _ => Units::Scans(units(media, None)),
        },
        verdict: results
            .evaluation
            .as_ref()
            .map(|it| it.verdict.as_str())
            .or_else(|| results.asked.as_ref()?.metrics.verdict()),
        files,
    }
}

/// A recording that is not among the results, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Left {
    pub(crate) subject: String,
    pub(crate) scan: String,
    /// `FAIL`, or `EXCLUDED` where it was not wanted.
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) kind: String,
}

/// The recordings that are not among the results.
pub(crate) fn left(media: &Media<'_>) -> Vec<Left> {
    let units = units(media, None).into_iter().filter(|unit| unit.status != "SUCCESS");
    let left = |unit: UnitRecord| Left {
        subject: unit.subject,
        scan: unit.scan,
        status: unit.status,
        reason: unit.reason.unwrap_or_default(),
        kind: unit.kind.unwrap_or_default(),
    };
    units.map(left).collect()
}

/// One line a scan or recording, in the words of cohort tools.
pub(crate) fn status(media: &Media<'_>) -> String {
    table(&media.plan.spec().name, &units(media, None))
}

/// The same of a run that ended in stage `ended`; nothing where no scan is known to have failed.
pub(crate) fn unfinished_status(
    plan: &Plan,
    run: &RunPlan,
    failed: Failed,
    ended: &str,
) -> Option<String> {
    let is_of_scans = matches!(plan.source, SourcePlan::Cohort(_) | SourcePlan::Recordings(_));
    if failed.is_empty() || !is_of_scans {
        return None;
    }
    let mut media = Media::new(plan, run);
    let is_unwanted = |reason: &Reason| {
        let unwanted = [FailureKind::Quality, FailureKind::NotSelected];
        unwanted.iter().any(|kind| reason.kind.as_str() == kind.name())
    };
    let unwanted = failed.iter().filter(|(_, (_, reason))| is_unwanted(reason));
    media.unwanted = unwanted.map(|(idx, _)| *idx).collect();
    media.failures = failed;
    Some(table(&plan.spec().name, &units(&media, Some(ended))))
}

fn table(pipeline: &str, units: &[UnitRecord]) -> String {
    let mut table =
        "participant_id\tsession_id\trun\tscan\tfold\tsplit\tpipeline_name\tpipeline_version\t\
                     pipeline_step\tstatus\treason\tkind\n"
            .to_owned();
    for unit in units {
        let reason = files::one_line(unit.reason.as_deref().unwrap_or("n/a"));
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "n/a".to_owned());
        let _ = writeln!(
            table,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{reason}\t{}",
            unit.subject,
            unit.session.as_deref().unwrap_or("n/a"),
            unit.run.as_deref().unwrap_or("n/a"),
            files::one_line(&unit.scan),
            or_none(unit.fold.map(|fold| fold.to_string())),
            or_none(unit.split.map(|split| split.to_string())),
            pipeline,
            env!("CARGO_PKG_VERSION"),
            unit.stage,
            unit.status,
            unit.kind.as_deref().unwrap_or("n/a"),
        );
    }
    table
}
