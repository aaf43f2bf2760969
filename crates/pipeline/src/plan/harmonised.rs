//! Whether the columns that `harmonise` and `probe` name will be in the table of embeddings, and sites
//! enough to compare.
use std::collections::{BTreeMap, BTreeSet};

use ::cohort::Value;
use scan::Split;

use super::{RecordingsPlan, RunPlan, SourcePlan};
use crate::{
    Error, Result,
    spec::Spec,
    stage::{HarmoniseConfig, MEASURED, ProbeConfig, Stage},
};

/// Refuses what could only fail when all scans are encoded.
pub(super) fn check(spec: &Spec, source: &SourcePlan, runs: &[RunPlan]) -> Result<()> {
    for (at, stage) in spec.stages().iter().enumerate() {
        let before = &spec.stages()[..at];
        match stage {
            Stage::Harmonise(config) => {
                let plan = has_columns(stage.name(), before, source, config.columns())?;
                runs.iter().try_for_each(|run| sites_suffice(config, plan, run))?;
            }
            Stage::Probe(config) => {
                let plan = has_columns(stage.name(), before, source, config.columns())?;
                has_numbers(config, plan)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a stage that is not after `embed`, or names a column that no recording has.
fn has_columns<'p, 'c>(
    stage: &'static str,
    before: &[Stage],
    source: &'p SourcePlan,
    mut columns: impl Iterator<Item = &'c str>,
) -> Result<&'p RecordingsPlan> {
    let refuse = |problem: String| Error::StageInput { stage, problem };
    if !before.iter().any(|it| matches!(it, Stage::Embed(_))) {
        return Err(refuse("expected the stage embed before it".to_owned()));
    }
    let SourcePlan::Recordings(plan) = source else {
        let problem = "works on tables of people with labels, expected a cohort of recordings";
        return Err(refuse(problem.to_owned()));
    };
    let labels = plan.recordings().iter().flat_map(|it| it.labels.keys().map(String::as_str));
    let known: BTreeSet<&str> = labels.chain(MEASURED).collect();
    match columns.find(|column| !known.contains(column)) {
        None => Ok(plan),
        Some(column) => {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            Err(refuse(format!("the cohort has no label {column}, expected one of {known}")))
        }
    }
}

/// Refuses words under `numbers`.
fn has_numbers(config: &ProbeConfig, plan: &RecordingsPlan) -> Result<()> {
    let is_word = |column: &String| {
        let mut labels = plan.recordings().iter().filter_map(|it| it.labels.get(column));
        labels.any(|it| matches!(it, Value::Text(_) | Value::Flag(_)))
    };
    match config.numbers.iter().find(|column| is_word(column)) {
        None => Ok(()),
        Some(column) => Err(Error::StageInput {
            stage: "probe",
            problem: format!(
                "`numbers` names {column}, which holds words, expected it under `classes`"
            ),
        }),
    }
}

/// Refuses a run in whose training split fewer than two sites have two people.
fn sites_suffice(config: &HarmoniseConfig, plan: &RecordingsPlan, run: &RunPlan) -> Result<()> {
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
