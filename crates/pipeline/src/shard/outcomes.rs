//! What became of the recordings of a shard: a table a task, which no other task writes.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
};

use engine::{Failure, Reason};

use super::work_list::digest_of;
use crate::{Result, media::Media, plan::Plan};

const HEADER: &str =
    "participant_id\tsession_id\tscan\tpipeline_step\tstatus\ttransient\treason\tkind\tplan\n";

/// Failures of a shard, by recording.
#[derive(Default)]
pub(super) struct Ended {
    failures: BTreeMap<usize, (Failure, &'static str)>,
}

impl Ended {
    pub(super) fn fail(&mut self, failures: impl Iterator<Item = (Failure, &'static str)>) {
        self.failures.extend(failures.map(|it| (it.0.unit, it)));
    }

    /// None of these could be read now.
    pub(super) fn fail_all(
        &mut self,
        scans: impl Iterator<Item = usize>,
        stage: &'static str,
        reason: &str,
    ) {
        let failure = |unit| {
            let reason = Reason::plain(reason.to_owned());
            (Failure { unit, reason, transient: true }, stage)
        };
        self.fail(scans.map(failure));
    }

    pub(super) fn n_failed(&self) -> usize {
        self.failures.len()
    }

    /// Marks what failed without a stage of its own having said so.
    pub(super) fn record_in(&self, media: &mut Media<'_>) {
        for (idx, (failure, stage)) in &self.failures {
            media.failures.entry(*idx).or_insert_with(|| (*stage, failure.reason.clone()));
        }
    }

    /// Writes the table; `last` is the stage that the others went through.
    pub(super) fn write(
        &self,
        plan: &Plan,
        scans: &[usize],
        last: &str,
        path: &Path,
    ) -> Result<()> {
        let (all, digest) = (plan.scans(), digest_of(plan));
        let mut table = HEADER.to_owned();
        for &idx in scans {
            let scan = &all[idx];
            let failure = self.failures.get(&idx);
            let session = scan.session.as_deref().unwrap_or("n/a");
            let stage = failure.map_or(last, |(_, stage)| stage);
            let status = if failure.is_some() { "FAIL" } else { "SUCCESS" };
            let transient = failure.is_some_and(|(it, _)| it.transient);
            let reason = failure.map_or("n/a", |(it, _)| plan.words_of(&it.reason));
            let reason = files::one_line(reason).replace('\t', " ");
            let kind = failure.map_or("n/a", |(it, _)| it.reason.kind.as_str());
            let (subject, name) = (&scan.subject, &scan.name);
            let _ = writeln!(
                table,
                "{subject}\t{session}\t{name}\t{stage}\t{status}\t{transient}\t{reason}\t{kind}\t{digest}"
            );
        }
        Ok(files::write_atomic(path, table.as_bytes())?)
    }
}

/// The folder of a run directory in which the tables lie.
pub(crate) const TASKS: &str = "tasks";

/// Where the tables of a run lie.
pub(super) fn folder(plan: &Plan) -> PathBuf {
    plan.run_dir.join(TASKS)
}

/// Recordings that need no other task, by name: done, or failed for what they contain. A table that
/// cannot be read, or is of another plan, says nothing.
pub(crate) fn settled(plan: &Plan) -> Result<BTreeSet<String>> {
    let (folder, digest) = (folder(plan), digest_of(plan));
    let mut settled = BTreeSet::new();
    if !folder.is_dir() {
        return Ok(settled);
    }
    for path in files::below(&folder)? {
        if path.extension().is_none_or(|it| it != "tsv") {
            continue;
        }
        let Ok(text) = files::read_table(&folder.join(path)) else { continue };
        for line in text.lines().skip(1) {
            let cells: Vec<&str> = line.split('\t').collect();
            let &[_, _, scan, _, _, transient, _, _, of] = cells.as_slice() else { continue };
            if of == digest && transient == "false" {
                settled.insert(scan.to_owned());
            }
        }
    }
    Ok(settled)
}
