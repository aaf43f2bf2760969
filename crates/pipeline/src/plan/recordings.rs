//! Recordings of a cohort, and how they are divided.
use super::{RecordingsPlan, RunPlan, folds, unfit};
use crate::{
    Result,
    spec::{CohortSpec, Loaded, Spec},
    thresholds,
};

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

#[cfg(test)]
mod tests;
