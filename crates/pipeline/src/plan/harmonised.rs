//! Whether the columns that the stage `harmonise` names will be there, and sites enough to compare.
use std::collections::{BTreeMap, BTreeSet};

use scan::Split;

use super::{RunPlan, SourcePlan};
use crate::{
    Error, Result,
    spec::Spec,
    stage::{HarmoniseConfig, MEASURED, Stage},
};

/// Refuses what could only fail when all scans are encoded.
pub(super) fn check(spec: &Spec, source: &SourcePlan, runs: &[RunPlan]) -> Result<()> {
    let refuse = |problem: String| Err(Error::StageInput { stage: "harmonise", problem });
    let found = spec.stages().iter().enumerate().find_map(|(at, stage)| match stage {
        Stage::Harmonise(config) => Some((at, config)),
        _ => None,
    });
    let Some((at, config)) = found else { return Ok(()) };
    if !spec.stages()[..at].iter().any(|it| matches!(it, Stage::Embed(_))) {
        return refuse("expected the stage embed before it".to_owned());
    }
    let SourcePlan::Recordings(plan) = source else {
        return refuse(
            "works on tables of people with labels, expected a cohort of recordings".to_owned(),
        );
    };
    let labels = plan.recordings().iter().flat_map(|it| it.labels.keys().map(String::as_str));
    let known: BTreeSet<&str> = labels.chain(MEASURED).collect();
    if let Some(column) = config.columns().find(|column| !known.contains(column)) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return refuse(format!("the cohort has no label {column}, expected one of {known}"));
    }
    runs.iter().try_for_each(|run| sites_suffice(config, plan, run))
}

/// Refuses a run in whose training split fewer than two sites have two people.
fn sites_suffice(
    config: &HarmoniseConfig,
    plan: &super::RecordingsPlan,
    run: &RunPlan,
) -> Result<()> {
    let Some(combat) = &config.combat else { return Ok(()) };
    let trains = |idx: usize| run.splits.get(idx).is_none_or(|split| *split == Split::Train);
    let mut people: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for (_, recording) in plan.recordings().iter().enumerate().filter(|(idx, _)| trains(*idx)) {
        if let Some(site) = recording.labels.get(&combat.site) {
            people.entry(site.in_words()).or_default().insert(recording.subject());
        }
    }
    let found = people.values().filter(|people| people.len() > 1).count();
    if found > 1 {
        return Ok(());
    }
    let of_run = run.label.as_ref().map_or_else(String::new, |label| format!("{label}: "));
    let problem = format!(
        "{of_run}{found} of {} values of {} have two training people or more, expected at least 2",
        people.len(),
        combat.site
    );
    Err(Error::StageInput { stage: "harmonise", problem })
}
