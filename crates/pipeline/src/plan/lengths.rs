//! Whether scans are long enough for what stages take of them.
use std::collections::BTreeSet;

use scan::{Normalisation, PadPolicy, Split};

use super::{RunPlan, SourcePlan, frames::Frames};
use crate::{
    Error, Result,
    spec::Spec,
    stage::{Artifact, Stage},
};

/// Some scans of which one at least must be long enough: those of a split of a run, or all.
type Group = (Option<Split>, Vec<usize>);

/// How many frames a stage needs.
struct Need {
    stage: &'static str,
    /// The setting that says so.
    field: Option<&'static str>,
    least: usize,
    /// What else would do.
    or: &'static str,
    /// Frames as the stage meets them, or as the file has them.
    in_file: bool,
    /// Only the scans that are learned from.
    of_training: bool,
}

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
    for need in needs(spec, reads_volumes) {
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
            return Err(need.refusal(*split, longest));
        }
    }
    Ok(())
}

/// Refuses a resampler that was given places for fewer windows than a scan has.
pub(super) fn places_suffice(spec: &Spec, n_scans: usize, frames: &Frames<'_>) -> Result<()> {
    let windows = spec.stages().iter().find_map(Stage::cut);
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
            return Err(Error::StageInput { stage: "windows", problem });
        }
    }
    Ok(())
}

impl Need {
    fn refusal(&self, split: Option<Split>, longest: usize) -> Error {
        let of_split = split.map_or(String::new(), |split| format!(" of split {split}"));
        let Self { stage, least, or, .. } = *self;
        let Some(field) = self.field else {
            let problem = format!(
                "needs scans of at least {least} frames, the longest{of_split} has {longest}"
            );
            return Error::StageInput { stage, problem };
        };
        let found = least.to_string();
        let expected = format!("at most {longest}, the frames of the longest scan{of_split}{or}");
        Error::Setting { stage, field, found, expected }
    }
}

/// Every number of frames that some stage needs.
fn needs(spec: &Spec, reads_volumes: bool) -> Vec<Need> {
    let need = |stage, field, least| Need {
        stage,
        field,
        least,
        or: "",
        in_file: false,
        of_training: false,
    };
    let mut needs = Vec::new();
    for stage in spec.stages() {
        let name = stage.name();
        match stage {
            // what the quality of a scan is measured on
            Stage::Mask(_) | Stage::Parcellate(_) => {
                needs.push(Need { in_file: true, ..need(name, None, 3) });
            }
            Stage::Clean(config) => {
                needs.push(Need { in_file: true, ..need(name, None, config.least_frames()) });
            }
            Stage::Normalise(config) => {
                let pools = matches!(
                    config.formula,
                    Normalisation::RobustPaper | Normalisation::RobustToolkitBug
                );
                if pools {
                    let field = Some("pool_frames");
                    let of_training = true;
                    needs.push(Need { of_training, ..need(name, field, config.pool_frames) });
                }
            }
            Stage::Windows(config) if config.pad == PadPolicy::Refuse => {
                let or = ", or another `pad` than refuse";
                let windows =
                    |in_file| Need { or, in_file, ..need(name, Some("n_frames"), config.n_frames) };
                needs.push(windows(false));
                needs.extend(reads_volumes.then(|| windows(true)));
            }
            _ => {}
        }
    }
    needs
}

/// The scans of every split that a stage cannot do without, or all scans where nothing is divided.
fn groups(spec: &Spec, source: &SourcePlan, runs: &[RunPlan]) -> Result<BTreeSet<Group>> {
    let first = |uses: &dyn Fn(&Stage) -> bool| {
        let mut stages = spec.stages().iter();
        stages.find(|stage| uses(stage)).map(Stage::name)
    };
    let gives = |artifact| first(&|stage| stage.gives(artifact));
    let fits = first(&|stage| matches!(stage, Stage::Mask(_) | Stage::Normalise(_)));
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
        SourcePlan::Pictures(_) | SourcePlan::Corpus { .. } => return Ok(BTreeSet::new()),
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
