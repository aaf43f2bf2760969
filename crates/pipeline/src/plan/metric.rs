//! What a training names of its reports: slots that they have, and a metric that its validation will have.
use std::collections::BTreeSet;

use scan::Split;
use train::{LOSS, SCAN_GAIN};

use super::{CohortPlan, RunPlan, table::slots};
use crate::{
    Error, Result,
    phases::{asked_slots, metrics},
    spec::Spec,
};

/// Refuses a metric that no validation has, or that it cannot have of these rows.
pub(super) fn can_be_reached(spec: &Spec, cohort: &CohortPlan, runs: &[RunPlan]) -> Result<()> {
    let Some(config) = spec.finetune() else { return Ok(()) };
    let (slots, metric) = (slots(spec), config.best.as_str());
    let refuse = |expected: String| {
        let (stage, field, found) = ("finetune", "best", metric.to_owned());
        Err(Error::Setting { stage, field, found, expected })
    };
    let names = metrics(slots);
    if !names.iter().any(|name| name == metric) {
        return refuse(format!("one of {}", names.join(", ")));
    }
    let known = |name: &str| slots.slots().iter().find(|slot| slot.name == name);
    let slot_names =
        || slots.slots().iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(name) = config.slot_weights.keys().find(|name| known(name).is_none()) {
        let (stage, field, found) = ("finetune", "slot_weights", name.clone());
        let expected = format!("slots: {}", slot_names());
        return Err(Error::Setting { stage, field, found, expected });
    }
    if let Some(name) = &config.balance
        && known(name).is_none_or(|slot| slot.labels().is_empty())
    {
        let (stage, field, found) = ("finetune", "balance", name.clone());
        let expected = format!("a slot of which a report has one value, of {}", slot_names());
        return Err(Error::Setting { stage, field, found, expected });
    }
    let asked = asked_slots(slots, metric);
    for run in runs {
        let all = |split: Split| {
            let rows = cohort.rows.iter().zip(&run.splits).filter(move |(_, it)| **it == split);
            rows.map(|(row, _)| row).collect::<Vec<_>>()
        };
        let (train, validation) = (all(Split::Train), all(Split::Validation));
        let (_, judging) = config.division(&train, &validation);
        let windowed = super::resolved::window(spec).is_some();
        let shown: BTreeSet<usize> = judging.iter().map(|row| row.shown(windowed)).collect();
        if metric == SCAN_GAIN && shown.len() < 2 {
            return refuse(format!("{LOSS}: the training is judged by one scan alone"));
        }
        let known = |idx: &usize| judging.iter().any(|row| row.truths[*idx].is_some());
        if !asked.is_empty() && !asked.iter().any(known) {
            let expected = "a metric of a slot whose true value is known of a validation window";
            return refuse(expected.to_owned());
        }
    }
    Ok(())
}
