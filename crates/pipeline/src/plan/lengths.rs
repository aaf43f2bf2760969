//! Whether scans are long enough for what stages take of them.
use std::collections::BTreeSet;

use preprocess::Need;
use scan::Split;

use super::{RunPlan, SourcePlan, frames::Frames};
use crate::{
    Error, Result,
    spec::Spec,
    stage::{Artifact, Stage},
};

/// Some scans of which one at least must be long enough: those of a split of a run, or all.
type Group = (Option<Split>, Vec<usize>);

/// Refuses a cohort of which a split has no scan that is long enough; some that are too short are left
/// out when they are read.
pub(super) fn check(
    spec: &Spec,
    source: &SourcePlan,
    runs: &[RunPlan],
    frames: &Frames<'_>,
    reads_volumes: bool,
) -> Result<()> {
    let groups = groups(spec, source, runs)?;
    let stages = spec.stages().iter();
    let needs = stages
        .flat_map(|stage| stage.needs(reads_volumes).into_iter().map(|need| (stage.name(), need)));
    for (stage, need) in needs {
        let concerned = groups.iter().filter(|(split, _)| {
            !need.of_training || split.is_none_or(|split| split == Split::Train)
        });
        for (split, scans) in concerned {
            let n_frames = |&idx: &usize| {
                if need.in_file {
                    return frames.in_file(idx);
                }
                frames.of_series(idx).map(|(n_frames, _)| n_frames)
            };
            // the first that is long enough, or may be, ends the search
            if scans.iter().any(|idx| n_frames(idx).is_none_or(|n| n >= need.least)) {
                continue;
            }
            let longest = scans.iter().filter_map(n_frames).max().unwrap_or(0);
            return Err(refusal(stage, &need, *split, longest));
        }
    }
    Ok(())
}

/// Refuses a resampler that was given places for fewer windows than a scan has.
pub(super) fn places_suffice(spec: &Spec, n_scans: usize, frames: &Frames<'_>) -> Result<()> {
    let windows = spec.steps().find_map(|step| step.cut()?.sliding().cloned());
    let learns = spec.stages().iter().any(|stage| matches!(stage, Stage::Finetune(_)));
    let places = spec.model.as_ref().and_then(|model| model.resampler.get().max_num_frames);
    let (Some(windows), Some(places), true) = (windows, places, learns) else { return Ok(()) };
    for idx in 0..n_scans {
        let n_frames = frames.of_series(idx).map(|(n_frames, _)| n_frames);
        let n_windows =
            n_frames.and_then(|n| windows.first_frames(n).ok()).map_or(1, |it| it.len());
        if n_windows > places {
            let problem = format!(
                "a scan of {} frames has {n_windows} windows, but model.resampler.max_num_frames is \
                 {places}",
                n_frames.unwrap_or(0)
            );
            return Err(Error::StageInput { stage: "sliding_windows", problem });
        }
    }
    Ok(())
}

fn refusal(stage: &'static str, need: &Need, split: Option<Split>, longest: usize) -> Error {
    let of_split = split.map_or(String::new(), |split| format!(" of split {split}"));
    let Need { least, or, .. } = *need;
    let Some(field) = need.field else {
        let problem =
            format!("needs scans of at least {least} frames, the longest{of_split} has {longest}");
        return Error::StageInput { stage, problem };
    };
    let found = least.to_string();
    let expected = format!("at most {longest}, the frames of the longest scan{of_split}{or}");
    Error::Setting { stage, field, found, expected }
}

/// The scans of every split that a stage cannot do without, or all scans where nothing is divided.
fn groups(spec: &Spec, source: &SourcePlan, runs: &[RunPlan]) -> Result<BTreeSet<Group>> {
    let first = |uses: &dyn Fn(&Stage) -> bool| {
        let mut stages = spec.stages().iter();
        stages.find(|stage| uses(stage)).map(Stage::name)
    };
    let gives = |artifact| first(&|stage| stage.gives(artifact));
    let fits = first(&Stage::learns);
    let needed = [
        (Split::Train, fits.or(gives(Artifact::Model))),
        (Split::Validation, gives(Artifact::Model)),
        (Split::Test, gives(Artifact::Reports)),
    ];
    let (n_scans, scan_of): (usize, Box<dyn Fn(usize) -> usize>) = match source {
        SourcePlan::Cohort(cohort) => {
            (cohort.scans.len(), Box::new(|row| cohort.rows[row].scan_idx))
        }
        SourcePlan::Recordings(recordings) => (recordings.recordings().len(), Box::new(|row| row)),
        SourcePlan::Pictures(_) | SourcePlan::Benchmark(_) | SourcePlan::Corpus { .. } => {
            return Ok(BTreeSet::new());
        }
    };
    let mut groups = BTreeSet::from([(None, (0..n_scans).collect())]);
    for run in runs.iter().filter(|run| !run.splits.is_empty()) {
        for (split, stage) in needed {
            let Some(stage) = stage else { continue };
            let rows = run.splits.iter().enumerate().filter(|(_, it)| **it == split);
            let scans: BTreeSet<usize> = rows.map(|(row, _)| scan_of(row)).collect();
            if scans.is_empty() {
                let problem = format!("needs scans of split {split}, and there are none");
                return Err(Error::StageInput { stage, problem });
            }
            groups.insert((Some(split), scans.into_iter().collect()));
        }
    }
    Ok(groups)
}
