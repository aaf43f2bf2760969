//! Recordings of a cohort, and how they are divided.
use std::collections::BTreeSet;

use ::cohort::{Cohort, Division, Excluded, Recording};
use report::counted;

use super::{RunPlan, folds, unfit};
use crate::{
    Result,
    spec::{CohortSpec, Loaded, Spec},
    thresholds,
};

/// Recordings with their divisions.
#[derive(Clone, Debug)]
pub struct RecordingsPlan {
    /// The recordings, and those that are left out.
    pub cohort: Cohort,
    /// One for each fold; none where nothing is divided.
    pub divisions: Vec<Division>,
}

pub(super) fn plan(loaded: &Loaded) -> Result<RecordingsPlan> {
    let spec = &loaded.spec.cohort;
    let place = |path: &std::path::Path| loaded.resolve(path);
    let cohort = match spec {
        CohortSpec::Bids(bids) => bids.index(&place, loaded.known()),
        CohortSpec::Arrow(arrow) => arrow.index(&place, loaded.known()),
        CohortSpec::Files(files) => files.index(&place, loaded.known()),
        CohortSpec::Manifest(manifest) => manifest.index(&place, loaded.known()),
        CohortSpec::Hdf5(hdf5) => hdf5.index(&place, loaded.known()),
        _ => unreachable!("planned elsewhere"),
    };
    let cohort = cohort.map_err(|source| spec.error(source))?;
    let cohort = unfit::leave_out(loaded, cohort)?;
    thresholds::can_be_judged(&loaded.spec, &cohort.recordings)?;
    let divisions = spec.split().map(|split| split.divide(&cohort)).transpose();
    let divisions = divisions.map_err(|source| spec.error(source))?.unwrap_or_default();
    Ok(RecordingsPlan { cohort, divisions })
}

/// Every fold with every seed.
pub(super) fn runs(spec: &Spec, plan: &RecordingsPlan) -> Result<Vec<RunPlan>> {
    let expected = format!("nothing, the folds of cohort.{}.split are used", spec.cohort.name());
    folds::are_absent(spec, &expected)?;
    if plan.divisions.is_empty() {
        return folds::of_seeds(spec, &[]);
    }
    let mut runs = Vec::new();
    for division in &plan.divisions {
        for mut run in folds::of_seeds(spec, &division.splits)? {
            run.tests(division.repeat, division.fold);
            runs.push(run);
        }
    }
    Ok(runs)
}

impl RecordingsPlan {
    /// Its recordings, by name.
    pub fn recordings(&self) -> &[Recording] {
        &self.cohort.recordings
    }

    /// Recordings that are left out, each with its reason and the name of a subject.
    pub fn excluded(&self) -> &[Excluded] {
        &self.cohort.excluded
    }

    /// `24 recordings, 12 subjects; TR 2 s, 490 frames`: nobody is named.
    pub(super) fn in_words(&self) -> String {
        let recordings = self.recordings();
        let t_r = recordings.iter().filter_map(|it| it.t_r).map(|t_r| t_r.seconds);
        let frames = recordings.iter().filter_map(|it| it.n_frames);
        let facts = [span("TR ", t_r, " s"), span("", frames.map(|n| n as f64), " frames")];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        format!(
            "{}, {}; {}",
            counted(recordings.len(), "recording"),
            counted(self.cohort.n_subjects(), "subject"),
            facts.join(", ")
        )
    }

    /// `3 × reason`, most first, and under each the first recording's sentence; nobody is named.
    pub(super) fn left_out(&self) -> Vec<String> {
        self.cohort.counts().iter().flat_map(::cohort::Count::lines).collect()
    }
}

/// One value, or the smallest and the largest.
fn span(before: &str, values: impl Iterator<Item = f64>, after: &str) -> Option<String> {
    // as written, so that 0.72 and 0.72000003 are told apart only where they are shown apart
    let values: BTreeSet<String> = values.map(|value| format!("{value:09.3}")).collect();
    let shown = |text: &String| text.parse::<f64>().expect("a number was written").to_string();
    match (values.first(), values.last()) {
        (Some(first), Some(last)) if first == last => {
            Some(format!("{before}{}{after}", shown(first)))
        }
        (Some(first), Some(last)) => {
            Some(format!("{before}{} to {}{after}", shown(first), shown(last)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
