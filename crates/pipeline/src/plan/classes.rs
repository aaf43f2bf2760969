//! Whether the reports of each split state what stages learn and measure.
use std::collections::BTreeSet;

use report::slots::SlotKind;
use scan::{NoiseWhitening, Shrinkage, Split, WhitenConfig};

use super::{CohortPlan, RunPlan, slots};
use crate::{Error, Result, spec::Spec, stage::Stage};

/// Refuses splits whose reports say too little about the scored slot.
pub(super) fn suffice(spec: &Spec, cohort: &CohortPlan, run: &RunPlan) -> Result<()> {
    let has = |is: fn(&Stage) -> bool| spec.stages().iter().any(is);
    let refuse = |split, problem: String| {
        Err(Error::SplitProblem { path: cohort.table.clone(), split, problem })
    };
    let set = slots(spec);
    let Some(first) = set.scored() else {
        if has(|stage| matches!(stage, Stage::Whiten(_))) {
            let problem = "no slot is scored, within whose values whiten looks for noise";
            return refuse(Split::Train, problem.to_owned());
        }
        return Ok(());
    };
    let slot = &first.name;
    let is_set = matches!(first.kind, SlotKind::Set { .. });
    if is_set && has(|stage| matches!(stage, Stage::Whiten(_))) {
        let problem =
            format!("the first scored slot {slot} is a set; whiten looks for noise within values");
        return refuse(Split::Train, problem);
    }
    let place = set.scored_idxs()[0];
    let labels =
        cohort.rows.iter().map(|row| row.truths[place].as_deref().map(|it| first.label(it)));
    let labels: Vec<Option<String>> = labels.collect();
    let stated = |split: Split| {
        let rows = labels.iter().zip(&run.splits).filter(move |(_, it)| **it == split);
        rows.filter_map(|(label, _)| label.as_deref())
    };
    if has(|stage| matches!(stage, Stage::Finetune(_))) && stated(Split::Validation).count() == 0 {
        let problem = format!(
            "no report states the slot {slot}, of which finetune fits the temperature of its \
             probabilities"
        );
        return refuse(Split::Validation, problem);
    }
    if has(|stage| matches!(stage, Stage::Whiten(_))) && stated(Split::Train).count() == 0 {
        let problem =
            format!("no report states the slot {slot}, within which whiten looks for noise");
        return refuse(Split::Train, problem);
    }
    let trained: Vec<&str> = stated(Split::Train).collect();
    noise_has_an_inverse(spec, cohort, &trained)?;
    // with several slots a linear model that cannot be fitted is said to be missing
    let one = set.scored_idxs().len() == 1 && !is_set;
    if !(one && has(|stage| matches!(stage, Stage::Evaluate(_)))) {
        return Ok(());
    }
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for value in trained {
        match counts.iter_mut().find(|(known, _)| *known == value) {
            Some((_, n)) => *n += 1,
            None => counts.push((value, 1)),
        }
    }
    let needed =
        "the linear models of evaluate need two values, two reports of each and three of one";
    if let [(value, _)] = counts[..] {
        return refuse(Split::Train, format!("every report states {value}: {needed}"));
    }
    if let Some((value, _)) = counts.iter().find(|(_, n)| *n < 2) {
        return refuse(Split::Train, format!("only one report states {value}: {needed}"));
    }
    // of two samples of every class nothing is known about how uncertain their covariance is
    if counts.iter().all(|(_, n)| *n < 3) {
        return refuse(
            Split::Train,
            format!("no value is stated by more than two reports: {needed}"),
        );
    }
    Ok(())
}

/// Refuses to take the noise of fewer samples than there may be voxels as it is: its covariance has no
/// inverse. `trained`: what the training reports state, a window each.
fn noise_has_an_inverse(spec: &Spec, cohort: &CohortPlan, trained: &[&str]) -> Result<()> {
    let fixed = spec.stages().iter().find_map(|stage| match stage {
        Stage::Whiten(WhitenConfig { shrinkage: Shrinkage::Fixed(share) }) => Some(*share),
        _ => None,
    });
    let (Some(share), Some(window)) = (fixed, super::resolved::window(spec)) else { return Ok(()) };
    // how many voxels the mask leaves shows when the scans are read
    let n_voxels: usize = cohort.grid.iter().product();
    let classes: BTreeSet<&str> = trained.iter().copied().collect();
    // the mean of each class at each place of the window is taken out
    let n_free = (trained.len() - classes.len()) * window.n_frames;
    let least = NoiseWhitening::least_share(n_voxels);
    if n_free >= n_voxels || share > least {
        return Ok(());
    }
    let (stage, field, found) = ("whiten", "shrinkage.fixed", share.to_string());
    let expected = format!(
        "above {least:e}, such as 0.01: {n_free} independent frames leave the covariance of up to {n_voxels} \
         voxels without an inverse"
    );
    Err(Error::Setting { stage, field, found, expected })
}
