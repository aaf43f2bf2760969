//! Scans that a later stage could not go on with, by their headers and their confounds tables.
use std::{path::Path, thread};

use ::cohort::{Cohort, Excluded, Reason};
use encoder::RunPooling;
use files::FileIndex;
use preprocess::{Kind, Recording, Step, Timing};
use scan::{ConfoundTable, FailureKind};

use super::view;
use crate::{
    Error, Result,
    spec::{Loaded, Spec},
    stage::Stage,
};

/// The column of framewise displacement.
const FD: &str = "framewise_displacement";

/// The stage that could not go on with a scan, why, and what kind of failure that is.
type Problem = (&'static str, String, FailureKind);

/// What stages ask of a scan's confounds and of its length.
struct Asked<'a> {
    steps: Vec<&'a dyn Step>,
    /// Whether windows are weighted by displacement.
    weighs_by_fd: bool,
    /// Names all that decides the answer but the scan.
    question: String,
}

impl<'a> Asked<'a> {
    /// None where no stage reads whole scans.
    fn by(spec: &'a Spec) -> Option<Self> {
        let steps: Vec<&dyn Step> = spec.steps().collect();
        steps.iter().find(|step| step.takes() == Kind::Scans)?;
        let weighs =
            |stage: &Stage| matches!(stage, Stage::Embed(it) if it.run == RunPooling::InverseFd);
        let weighs_by_fd = spec.stages().iter().any(weighs);
        let said: Vec<_> =
            steps.iter().map(|it| (it.id().name, it.id().version, it.said())).collect();
        let mut question = files::sha256_bytes(format!("{said:?} {weighs_by_fd}").as_bytes());
        question.truncate(16);
        Some(Self { steps, weighs_by_fd, question })
    }

    /// The stage that could not go on with a scan, and why. A table that was found good before is not
    /// opened.
    fn problem(&self, known: &FileIndex, scan: &Recording) -> Option<Problem> {
        let Some(path) = &scan.confounds else { return self.examined(scan) };
        let beside = path.with_extension("json");
        let question = format!("{} {:?} {}", self.question, scan.n_frames, scan.timing());
        let found =
            known.fact(path, &[beside], &question, || self.examined(scan).map_or(Ok(()), Err));
        found.err()
    }

    /// The same, by all that is read.
    fn examined(&self, scan: &Recording) -> Option<Problem> {
        if let Some(path) = &scan.confounds
            && let Some(problem) = self.table_problem(path, scan)
        {
            return Some(problem);
        }
        if self.weighs_by_fd && scan.confounds.is_none() {
            let problem = "no confounds table says the displacement that inverse_fd needs";
            return Some(("embed", problem.to_owned(), FailureKind::NoConfounds));
        }
        let mut timing = Timing::in_file(scan);
        self.steps.iter().find_map(|step| {
            let checked = step.check_recording(scan, timing);
            timing = step.timing(timing);
            let error = checked.err()?.into();
            // what the step refuses without a file being wrong: too few frames for its confounds
            let kind = match Error::kind(&error) {
                FailureKind::Other => FailureKind::ConfoundsMismatch,
                kind => kind,
            };
            Some((step.id().name, without_path(&error, scan), kind))
        })
    }

    /// What is wrong with a table, whatever columns `denoise` takes.
    fn table_problem(&self, path: &Path, scan: &Recording) -> Option<Problem> {
        let stage = "parcellate";
        let table = match ConfoundTable::read(path) {
            Ok(table) => table,
            Err(error) => {
                let kind = error.kind();
                return Some((stage, without_path(&error.into(), scan), kind));
            }
        };
        let fd_mm = table.displacement();
        let has_fd = fd_mm.is_some();
        if self.weighs_by_fd && !has_fd {
            let problem = format!(
                "the confounds table has no column {FD} and none of motion, which inverse_fd needs"
            );
            return Some(("embed", problem, FailureKind::ConfoundsMismatch));
        }
        let has_values = fd_mm.and_then(|it| scan::mean_displacement(&it)).is_some();
        if self.weighs_by_fd && !has_values {
            let problem = format!("no frame has a value of {FD}, which inverse_fd needs");
            return Some(("embed", problem, FailureKind::ConfoundsMismatch));
        }
        let n_frames = scan.kept.as_ref().map(|kept| kept.of).or(scan.n_frames)?;
        let n_rows = table.n_frames();
        let is_read = has_fd || self.steps.iter().any(|step| step.asks_for_confounds());
        (is_read && n_rows != n_frames).then(|| {
            let problem =
                format!("the confounds table has {n_rows} rows, the scan {n_frames} frames");
            (stage, problem, FailureKind::ConfoundsMismatch)
        })
    }
}

/// A sentence without the absolute path, which names people and machines.
fn without_path(error: &Error, scan: &Recording) -> String {
    use preprocess::Error as E;
    let mut said = match error {
        Error::StageInput { problem, .. } | Error::Prepare(E::StageInput { problem, .. }) => {
            problem.clone()
        }
        Error::Setting { field, found, expected, .. }
        | Error::Prepare(E::Setting { field, found, expected, .. }) => {
            format!("{field} is {found}, expected {expected}")
        }
        error => error.to_string(),
    };
    if let Some(path) = &scan.confounds {
        said = said.replace(&path.display().to_string(), "the confounds table");
    }
    said.replace(&scan.path.display().to_string(), "the scan")
}

/// The problem of each scan, read on all cores.
fn problems(asked: &Asked<'_>, known: &FileIndex, scans: &[Recording]) -> Vec<Option<Problem>> {
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    let share = scans.len().div_ceil(n_threads).max(1);
    let of_share =
        |scans: &[Recording]| scans.iter().map(|scan| asked.problem(known, scan)).collect();
    thread::scope(|scope| {
        let started: Vec<_> = scans
            .chunks(share)
            .map(|scans| scope.spawn(move || -> Vec<_> { of_share(scans) }))
            .collect();
        let joined = started.into_iter().map(|it| it.join().expect("reading a table never panics"));
        joined.flatten().collect()
    })
}

/// Leaves out the recordings that a stage could not go on with.
///
/// # Errors
/// The first problem, where nothing is left.
pub(super) fn leave_out(loaded: &Loaded, mut cohort: Cohort) -> Result<Cohort> {
    let Some(asked) = Asked::by(&loaded.spec) else { return Ok(cohort) };
    let views: Vec<Recording> = cohort.recordings.iter().map(view::of_recording).collect();
    let problems = problems(&asked, loaded.known(), &views);
    let refused = refused(&problems);
    let recordings = std::mem::take(&mut cohort.recordings);
    for ((recording, view), problem) in recordings.into_iter().zip(&views).zip(problems) {
        match problem {
            None => cohort.recordings.push(recording),
            Some(problem) => cohort.excluded.push(excluded(view, problem)),
        }
    }
    cohort.excluded.sort_by(|a, b| a.name.cmp(&b.name));
    match refused {
        Some(source) => Err(Error::NoneFits { source, excluded: cohort.excluded }),
        None => Ok(cohort),
    }
}

/// Refuses scans of a table where a stage could go on with none of them; some fail when they are read.
pub(super) fn refuse_if_all(loaded: &Loaded, scans: &[Recording]) -> Result<()> {
    let Some(asked) = Asked::by(&loaded.spec) else { return Ok(()) };
    let problems = problems(&asked, loaded.known(), scans);
    let Some(source) = refused(&problems) else { return Ok(()) };
    let named = scans.iter().zip(problems.into_iter().flatten());
    let excluded = named.map(|(scan, problem)| excluded(scan, problem)).collect();
    Err(Error::NoneFits { source, excluded })
}

fn excluded(scan: &Recording, (stage, problem, kind): Problem) -> Excluded {
    Excluded { name: scan.name.clone(), reason: Reason::Unfit { stage, problem, kind } }
}

/// The first problem, where every scan has one.
fn refused(problems: &[Option<Problem>]) -> Option<Box<Error>> {
    let n = problems.len();
    let (stage, problem, _) = problems.first()?.clone()?;
    if !problems.iter().all(Option::is_some) {
        return None;
    }
    let problem =
        if n == 1 { problem } else { format!("{problem} (the first of {n} scans, none is left)") };
    Some(Box::new(Error::StageInput { stage, problem }))
}
