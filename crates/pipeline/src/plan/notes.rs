//! What to know of a table of pairs before a training, though nothing forbids it.
use std::collections::{BTreeMap, BTreeSet};

use flamingo::GenerateConfig;
use report::{counted, prompt::Labels, slots::SlotSet};
use scan::Split;

use super::{CohortPlan, RunPlan};
use crate::{Error, Result, spec::PairsSpec};

/// Refuses a prompt that states what reports are scored by: it would be copied, and not read off a scan.
pub(super) fn prompt_states_nothing(
    pairs: &PairsSpec,
    slots: &SlotSet,
    cohort: &CohortPlan,
) -> Result<()> {
    let people: BTreeSet<&Labels> = cohort.rows.iter().map(|row| &row.labels).collect();
    for labels in people {
        let read = slots.parse(&pairs.prompt.of_person(labels)).slots;
        let mut read = slots.slots().iter().zip(&read);
        if let Some((slot, value)) = read.find_map(|(slot, read)| Some((slot, read.value()?))) {
            let (slot, value) = (slot.name.clone(), value.to_owned());
            return Err(Error::PromptLeak { slot, value });
        }
    }
    Ok(())
}

/// A sentence for each thing; `tokens` are those of the reports that are learned or judge.
pub(super) fn of(
    cohort: &CohortPlan,
    runs: &[RunPlan],
    tokens: &[usize],
    generate: Option<&GenerateConfig>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(run) = runs.first() else { return notes };
    let rows = || cohort.rows.iter().zip(&run.splits);
    let learned: BTreeSet<&str> =
        rows().filter(|(_, it)| **it == Split::Train).map(|(row, _)| row.report.as_str()).collect();
    let test: Vec<&str> =
        rows().filter(|(_, it)| **it == Split::Test).map(|(row, _)| row.report.as_str()).collect();
    let n_known = test.iter().filter(|report| learned.contains(**report)).count();
    if n_known > 0 {
        let n = counted(test.len(), "test report");
        notes.push(format!("{n_known} of {n} stand word for word among those that are learned"));
    }
    let mut splits: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
    for (row, split) in rows() {
        splits.entry(cohort.scans[row.scan_idx].subject.as_str()).or_default().insert(*split);
    }
    let n_divided = splits.values().filter(|splits| splits.len() > 1).count();
    if n_divided > 0 {
        let n = counted(splits.len(), "subject");
        notes.push(format!("{n_divided} of {n} in several splits: says nothing of new people"));
    }
    if let Some(generate) = generate {
        let n_cut = tokens.iter().filter(|n| **n + 1 > generate.max_new_tokens).count();
        if n_cut > 0 {
            let n = counted(tokens.len(), "report");
            notes.push(format!(
                "{n_cut} of {n} longer than generate.max_new_tokens, {}: texts like them are cut",
                generate.max_new_tokens
            ));
        }
    }
    notes
}
