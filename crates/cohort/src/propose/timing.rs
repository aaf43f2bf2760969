//! The repetition time of a proposal: from sidecars of the scans that series were made of, and one for all.

use std::{collections::BTreeMap, path::Path};

use serde_json::json;

use super::{
    Alternative,
    choice::Choice,
    kind::{Group, Kind},
    walk::Tree,
};
use crate::{
    entity::{BidsName, Entity},
    recording::{Cohort, Recording},
    sidecar,
};

/// Sidecars that are read to learn it.
const MAX_SIDECARS: usize = 400;

/// What the sidecars of runs in the same dataset say of the same task, where they agree.
pub(super) fn beside(dir: &Path, tree: &Tree, group: &Group) -> Option<(f64, &'static str)> {
    let (home, task) = match &group.kind {
        Kind::Bids { dir, forms, .. } => (dir.as_str(), forms.get(Entity::Task)),
        _ => ("", None),
    };
    let is_of_run = |path: &&String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        path.starts_with(home)
            && name.ends_with("_bold.json")
            && BidsName::parse(name).is_some_and(|it| {
                let of = it.entities.get(Entity::Task);
                task.is_none() || of.is_none() || of == task
            })
    };
    let sidecars = tree.files.iter().filter(is_of_run).take(MAX_SIDECARS);
    let mut said = sidecars.filter_map(|path| sidecar::repetition_time(&dir.join(path)));
    let first = said.next()?;
    said.all(|t_r| (t_r - first).abs() <= 1e-3 * first)
        .then_some((first, "the sidecars of the runs"))
}

/// A cohort whose recordings have one repetition time, the commonest.
pub(super) struct OneRate {
    pub(super) choice: Choice,
    pub(super) cohort: Cohort,
    /// The other repetition times, each a choice.
    pub(super) others: Vec<Alternative>,
}

/// Keeps the recordings with the commonest repetition time.
pub(super) fn one_rate(choice: Choice, mut cohort: Cohort) -> OneRate {
    let rate = |it: &Recording| it.t_r.map_or(0, |t_r| (t_r.seconds * 1e4).round() as u64);
    let mut rates: BTreeMap<u64, BTreeMap<&str, usize>> = BTreeMap::new();
    for recording in &cohort.recordings {
        *rates.entry(rate(recording)).or_default().entry(recording.subject()).or_default() += 1;
    }
    if rates.len() < 2 {
        return OneRate { choice, cohort, others: Vec::new() };
    }
    let of =
        |rate: u64| choice.clone().with("where", json!(format!("t_r == {}", rate as f64 / 1e4)));
    let mut others: Vec<(u64, Alternative)> = rates
        .into_iter()
        .map(|(rate, people)| {
            let (n_recordings, n_subjects) = (people.values().sum(), people.len());
            (rate, Alternative { cohort: of(rate).section(), n_recordings, n_subjects })
        })
        .collect();
    // of as many the slower one, which comes last
    others.sort_by_key(|(_, it)| it.n_recordings);
    let (commonest, _) = others.pop().expect("there are several");
    let choice = of(commonest);
    cohort.recordings.retain(|it| rate(it) == commonest);
    OneRate { choice, cohort, others: others.into_iter().map(|(_, it)| it).collect() }
}
