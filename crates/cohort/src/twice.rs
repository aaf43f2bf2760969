//! One person's data under two names: an index in two spellings, and series of several runs joined beside
//! the runs themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::{
    entity::{Entities, Entity, RECORDING},
    reason::Reason,
    recording::{Excluded, Recording},
};

/// Leaves out runs that are there as `run-1` and as `run-01`: BIDS takes an index as a number. Of copies
/// the first stays.
pub(crate) fn spelled_twice(recordings: &mut Vec<Recording>, excluded: &mut Vec<Excluded>) {
    let mut by_number: BTreeMap<Entities, Vec<usize>> = BTreeMap::new();
    for (idx, recording) in recordings.iter().enumerate() {
        by_number.entry(recording.entities.key(&RECORDING)).or_default().push(idx);
    }
    let mut reasons: BTreeMap<usize, Reason> = BTreeMap::new();
    for group in by_number.values().filter(|group| group.len() > 1) {
        let run = |idx: usize| recordings[idx].run().unwrap_or_default().to_owned();
        let path = |idx: usize| recordings[idx].source.path();
        let first = group[0];
        let is_copy = group[1..].iter().all(|&idx| same_bytes(path(first), path(idx)));
        for &idx in group.iter().filter(|idx| !is_copy || **idx != first) {
            let other = run(if idx == first { group[1] } else { first });
            reasons.insert(idx, Reason::SameRun { other, is_copy });
        }
    }
    leave_out(recordings, excluded, reasons);
}

/// Leaves out a recording without a run whose frames are those of several of its runs: XCP-D and others
/// join the runs of a task and keep both.
pub(crate) fn joined(recordings: &mut Vec<Recording>, excluded: &mut Vec<Excluded>) {
    let mut by_task: BTreeMap<Entities, Vec<usize>> = BTreeMap::new();
    let base = |recording: &Recording| {
        let kept =
            RECORDING.into_iter().filter(|it| !matches!(it, Entity::Run | Entity::Direction));
        recording.entities.only(&kept.collect::<Vec<_>>())
    };
    for (idx, recording) in recordings.iter().enumerate() {
        by_task.entry(base(recording)).or_default().push(idx);
    }
    let mut reasons = BTreeMap::new();
    for group in by_task.values().filter(|group| group.len() > 2) {
        for &whole in group.iter().filter(|idx| recordings[**idx].run().is_none()) {
            let about = recordings[whole].entities.only(&RECORDING);
            let is_part = |idx: &&usize| {
                let part = &recordings[**idx];
                part.run().is_some() && part.entities.only(&RECORDING).includes(&about)
            };
            let parts = group.iter().filter(is_part).map(|&idx| recordings[idx].n_frames);
            let (Some(whole_frames), Some(parts)) =
                (recordings[whole].n_frames, parts.collect::<Option<Vec<usize>>>())
            else {
                continue;
            };
            if let Some(n_runs) = runs_in(whole_frames, &parts) {
                reasons.insert(whole, Reason::Joined { n_runs });
            }
        }
    }
    leave_out(recordings, excluded, reasons);
}

/// Numbers recordings of one name as runs, in their order: rows of a table may be of one person and task.
pub(crate) fn number_runs(recordings: &mut [Recording]) {
    let mut counts: BTreeMap<Entities, usize> = BTreeMap::new();
    for recording in &*recordings {
        *counts.entry(recording.entities.key(&RECORDING)).or_default() += 1;
    }
    counts.retain(|_, n| *n > 1);
    let mut seen: BTreeMap<Entities, usize> = BTreeMap::new();
    for recording in recordings.iter_mut().filter(|it| it.run().is_none()) {
        let key = recording.entities.key(&RECORDING);
        if counts.contains_key(&key) {
            let n = seen.entry(key).or_default();
            *n += 1;
            recording.entities.add(Entity::Run, &n.to_string());
        }
    }
}

/// How many of the runs, at least two, have so many frames together.
fn runs_in(n_frames: usize, runs: &[usize]) -> Option<usize> {
    // sums of some of the runs, with their number; all of them is the likeliest
    let mut sums = BTreeSet::from([(0, 0)]);
    for run in runs {
        let longer = sums.iter().map(|(sum, n)| (sum + run, n + 1));
        let longer: Vec<(usize, usize)> = longer.filter(|(sum, _)| *sum <= n_frames).collect();
        sums.extend(longer);
    }
    sums.into_iter().filter(|(sum, n)| *sum == n_frames && *n > 1).map(|(_, n)| n).max()
}

fn leave_out(
    recordings: &mut Vec<Recording>,
    excluded: &mut Vec<Excluded>,
    mut reasons: BTreeMap<usize, Reason>,
) {
    let mut idx = 0;
    recordings.retain(|recording| {
        let reason = reasons.remove(&idx);
        idx += 1;
        let is_kept = reason.is_none();
        excluded.extend(reason.map(|reason| Excluded { name: recording.name(), reason }));
        is_kept
    });
}

fn same_bytes(a: &Path, b: &Path) -> bool {
    let n_bytes = |path: &Path| std::fs::metadata(path).map(|file| file.len()).ok();
    let digest = |path: &Path| scan::sha256_file(path).ok();
    n_bytes(a).is_some()
        && n_bytes(a) == n_bytes(b)
        && digest(a).is_some()
        && digest(a) == digest(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Source;

    fn run(run: Option<&str>, n_frames: usize) -> Recording {
        let mut recording = crate::testing::recording("01");
        if let Some(run) = run {
            recording.entities.add(Entity::Run, run);
        }
        recording.n_frames = Some(n_frames);
        recording
    }

    fn left(excluded: &[Excluded]) -> Vec<String> {
        excluded.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_series_of_all_runs_is_left_out_beside_them() {
        let told = |runs: &[(Option<&str>, usize)]| {
            let mut recordings = runs.iter().map(|(label, n)| run(*label, *n)).collect();
            let mut excluded = Vec::new();
            joined(&mut recordings, &mut excluded);
            left(&excluded)
        };
        let said = "sub-01_task-rest: holds the frames of 2 of its runs, which are there too";
        assert_eq!(told(&[(None, 120), (Some("1"), 60), (Some("2"), 60)]), [said]);
        // one of three runs was too short to be joined
        assert_eq!(told(&[(None, 120), (Some("1"), 60), (Some("2"), 60), (Some("3"), 9)]), [said]);
        // a first run that nobody numbered
        assert!(told(&[(None, 60), (Some("2"), 60), (Some("3"), 60)]).is_empty());
        assert!(told(&[(None, 60), (Some("1"), 60)]).is_empty());
        assert!(told(&[(None, 121), (Some("1"), 60), (Some("2"), 60)]).is_empty());
    }

    #[test]
    fn an_index_in_two_spellings_is_one_run() {
        let dir = tempfile::tempdir().unwrap();
        let told = |texts: [&str; 2]| {
            let of = |(label, text): (&str, &str)| {
                let path = dir.path().join(label);
                crate::testing::write(&path, text);
                Recording { source: Source::File(path), ..run(Some(label), 60) }
            };
            let mut recordings = ["1", "01"].into_iter().zip(texts).map(of).collect::<Vec<_>>();
            recordings.push(run(Some("2"), 60));
            let mut excluded = Vec::new();
            spelled_twice(&mut recordings, &mut excluded);
            let kept: Vec<String> = recordings.iter().map(Recording::name).collect();
            (kept.join(" "), left(&excluded))
        };
        let (kept, excluded) = told(["a", "b"]);
        assert_eq!(kept, "sub-01_task-rest_run-2");
        assert_eq!(
            excluded,
            [
                "sub-01_task-rest_run-1: its run is there as run-01 too, with another content: rename one or leave it out with `entities`",
                "sub-01_task-rest_run-01: its run is there as run-1 too, with another content: rename one or leave it out with `entities`",
            ]
        );
        let (kept, excluded) = told(["a", "a"]);
        assert_eq!(kept, "sub-01_task-rest_run-1 sub-01_task-rest_run-2");
        assert_eq!(
            excluded,
            ["sub-01_task-rest_run-01: its run is there as run-1 too, the same file"]
        );
    }
}
