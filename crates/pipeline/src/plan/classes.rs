//! Whether the reports of each split state what stages learn and measure.
use std::collections::BTreeSet;

use encoder::InputSpace;
use preprocess::Made;
use report::slots::SlotKind;
use scan::{NoiseWhitening, Shrinkage, Split};

use super::{CohortPlan, RunPlan, slots};
use crate::{Error, Result, spec::Spec, stage::Stage};

/// Refuses splits whose reports say too little about the scored slot.
pub(super) fn suffice(spec: &Spec, cohort: &CohortPlan, run: &RunPlan) -> Result<()> {
    let has = |is: fn(&Stage) -> bool| spec.stages().iter().any(is);
    let whitens = spec.steps().find(|step| step.noise().is_some()).map(|step| step.id().name);
    let refuse = |split, problem: String| {
        Err(Error::SplitProblem { path: cohort.table.clone(), split, problem })
    };
    let set = slots(spec);
    let Some(first) = set.scored() else {
        if let Some(whiten) = whitens {
            let problem =
                format!("no slot is scored, within whose values {whiten} looks for noise");
            return refuse(Split::Train, problem);
        }
        return Ok(());
    };
    let slot = &first.name;
    let is_set = matches!(first.kind, SlotKind::Set { .. });
    if let Some(whiten) = whitens.filter(|_| is_set) {
        let problem = format!(
            "the first scored slot {slot} is a set; {whiten} looks for noise within values"
        );
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
    if let Some(whiten) = whitens.filter(|_| stated(Split::Train).count() == 0) {
        let problem =
            format!("no report states the slot {slot}, within which {whiten} looks for noise");
        return refuse(Split::Train, problem);
    }
    let trained: Vec<&str> = stated(Split::Train).collect();
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

/// Refuses to take the noise of fewer samples than there may be voxels, or parcels, as it is: its covariance
/// has no inverse.
pub(super) fn noise_has_an_inverse(
    spec: &Spec,
    cohort: &CohortPlan,
    run: &RunPlan,
    made: &Made,
) -> Result<()> {
    let fixed = spec.steps().find_map(|step| match step.noise()? {
        Shrinkage::Fixed(share) => Some((step.id().name, share)),
        Shrinkage::LedoitWolf => None,
    });
    let (Some((stage, share)), Some(window)) = (fixed, super::resolved::window(spec)) else {
        return Ok(());
    };
    // how many voxels a mask leaves shows when the scans are read
    let (n_voxels, what) = match made.series {
        Some(InputSpace::Parcels { n, .. }) => (n, "parcels"),
        Some(InputSpace::Voxels { n }) => (n, "voxels"),
        _ => return Ok(()),
    };
    let set = slots(spec);
    let (Some(first), Some(&place)) = (set.scored(), set.scored_idxs().first()) else {
        return Ok(());
    };
    let rows = cohort.rows.iter().zip(&run.splits).filter(|(_, it)| **it == Split::Train);
    let stated = rows.filter_map(|(row, _)| row.truths[place].as_deref());
    let trained: Vec<String> = stated.map(|it| first.label(it)).collect();
    let classes: BTreeSet<&String> = trained.iter().collect();
    // the mean of each class at each place of the window is taken out
    let n_free = (trained.len() - classes.len()) * window.n_frames;
    let least = NoiseWhitening::least_share(n_voxels);
    if n_free >= n_voxels || share > least {
        return Ok(());
    }
    let (field, found) = ("shrinkage.fixed", share.to_string());
    let up_to = if what == "voxels" { "up to " } else { "" };
    let expected = format!(
        "above {least:e}, such as 0.01: {n_free} independent frames leave the covariance of {up_to}{n_voxels} \
         {what} without an inverse"
    );
    Err(Error::Setting { stage, field, found, expected })
}
