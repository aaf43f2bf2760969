//! Which cohort a folder of derivatives could be: the section of a pipeline for it, and what that leaves out.
//!
//! ```text
//! walk ─→ names ─→ Kind { task, space, atlas, …; or a pattern } ── most recordings ─→ index ─→ Proposal
//! ```
//!
//! Names choose, headers decide: the section that is proposed was indexed as `check` indexes it.

mod choice;
mod judge;
mod kind;
mod plain;
mod timing;
mod walk;
mod yaml;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    entity::{Entities, Entity},
    error::{Error, Result},
    recording::Count,
};
use judge::{Judged, Left};
use kind::{Bids, Group, Kind};
use walk::Tree;

/// A section for a folder, with what it holds and leaves out. No subject is named.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// The section `cohort` of a pipeline.
    pub cohort: Value,
    /// Recordings that `check` would find.
    pub n_recordings: usize,
    /// Different people among them.
    pub n_subjects: usize,
    /// Seconds between two frames.
    pub t_r_s: f64,
    /// What else could be chosen, most files first.
    pub alternatives: Vec<Alternative>,
    /// Files that are not in the cohort, by reason, most first.
    pub left_out: Vec<Count>,
    /// What is true of recordings that are in the cohort, by how many it is true of.
    pub remarks: Vec<Count>,
}

/// Another section for the same folder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// The section `cohort` of a pipeline.
    pub cohort: Value,
    /// Recordings by the names of files.
    pub n_recordings: usize,
    /// Different people by the names of files.
    pub n_subjects: usize,
}

/// Proposes a section for a folder. `t_r` is the repetition time in seconds where the user gives it.
///
/// Headers alone are read, and no link out of the folder is followed.
///
/// # Errors
/// Where nothing below the folder could be a cohort, with what was found instead.
pub fn propose(dir: &Path, t_r: Option<f64>) -> Result<Proposal> {
    let tree = walk::walk(dir)?;
    let mut left = Left::default();
    let groups = groups(dir, &tree, &mut left);
    let choices = choice::choices(dir, &groups, t_r);
    let mut judged = None;
    for (group, choice) in groups.iter().zip(&choices).take(judge::MOST) {
        match judge::judge(dir, &tree, group, choice) {
            Ok(found) => {
                judged = Some((group, found));
                break;
            }
            Err(why) => left.merge(why),
        }
    }
    let Some((chosen, Judged { choice: kept, cohort, mut remarks, others })) = judged else {
        return Err(Error::NoProposal { path: dir.to_path_buf(), why: left.lines() });
    };
    let dismissed = left.dismissed.clone();
    let is_other = |group: &Group| group.kind != chosen.kind && !dismissed.contains(&group.kind);
    for group in groups.iter().filter(|group| is_other(group)) {
        left.add(group.kind.differs(&chosen.kind), group.files.len());
    }
    let cohort_left = Count::all(&cohort.excluded);
    let cohort_left = cohort_left.into_iter().filter(|count| !choice::is_unasked(&count.reason));
    let n_other: usize = others.iter().map(|it| it.n_recordings).sum();
    left.add("with another repetition time".to_owned(), n_other);
    let mut left_out: Vec<Count> = left.counts().into_iter().chain(cohort_left).collect();
    left_out.sort_by_key(|count| std::cmp::Reverse(count.n));
    remarks.sort_by_key(|count| std::cmp::Reverse(count.n));
    let named = groups.iter().zip(&choices).filter(|(group, _)| is_other(group));
    let mut alternatives: Vec<Alternative> = named
        .map(|(group, choice)| Alternative {
            cohort: choice.clone().timed_as(&kept, &group.kind, &chosen.kind).section(),
            n_recordings: group.n_recordings,
            n_subjects: group.n_subjects,
        })
        .chain(others)
        .collect();
    alternatives.sort_by_key(|it| std::cmp::Reverse(it.n_recordings));
    let t_r_s = cohort.recordings.iter().find_map(|it| it.t_r).map_or(f64::NAN, |it| it.seconds);
    Ok(Proposal {
        cohort: kept.section(),
        n_recordings: cohort.recordings.len(),
        n_subjects: cohort.n_subjects(),
        t_r_s,
        alternatives,
        left_out,
        remarks,
    })
}

/// The kinds of files of a tree, the likeliest cohort first.
fn groups(dir: &Path, tree: &Tree, left: &mut Left) -> Vec<Group> {
    left.add("a link to a folder, which is not followed".to_owned(), tree.n_links);
    left.add("a folder that lies too deep or cannot be listed".to_owned(), tree.n_unlisted);
    let mut of_bids: BTreeMap<Kind, (Vec<String>, BTreeSet<Entities>)> = BTreeMap::new();
    let mut other = Vec::new();
    for path in &tree.files {
        match kind::bids(path, &|path| {
            tree.files.binary_search_by(|it| it.as_str().cmp(path)).is_ok()
        }) {
            Bids::Scan(kind, entities) => {
                let (files, recordings) = of_bids.entry(kind).or_default();
                files.push(path.clone());
                recordings.insert(entities.key(&crate::entity::RECORDING));
            }
            Bids::Foreign(extension) => {
                left.add(format!("a series stored as {extension}, which no cohort lists"), 1);
            }
            Bids::Beside => {}
            Bids::Other if plain::may_be_series(path) => other.push(path.as_str()),
            Bids::Other => {
                if let Some(format) = judge::foreign(path) {
                    left.add(format.to_owned(), 1);
                }
            }
        }
    }
    let people = |recordings: &BTreeSet<Entities>| {
        let subjects = recordings.iter().filter_map(|it| it.get(Entity::Subject));
        subjects.collect::<BTreeSet<_>>().len()
    };
    let of_bids = of_bids.into_iter().map(|(kind, (files, recordings))| {
        let (n_recordings, n_subjects) = (recordings.len(), people(&recordings));
        Group { kind, files, n_recordings, n_subjects }
    });
    let mut groups: Vec<Group> = of_bids.collect();
    let is_hdf5 = |path: &&str| [".h5", ".hdf5"].iter().any(|ending| path.ends_with(ending));
    let is_arrow = |path: &&str| [".arrow"].iter().any(|ending| path.ends_with(ending));
    let (tables, other): (Vec<&str>, Vec<&str>) = other.into_iter().partition(is_arrow);
    groups.extend(judge::tables(dir, &tables));
    let (stacks, other): (Vec<&str>, Vec<&str>) = other.into_iter().partition(is_hdf5);
    let (stacks, rest) = judge::stacks(dir, &stacks);
    groups.extend(stacks);
    let other: Vec<&str> = other.into_iter().chain(rest).collect();
    groups.extend(plain::patterns(&other).into_iter().map(|(pattern, files)| Group {
        kind: Kind::Pattern(pattern),
        n_recordings: files.len(),
        n_subjects: files.iter().map(|(_, subject)| subject).collect::<BTreeSet<_>>().len(),
        files: files.into_iter().map(|(path, _)| path).collect(),
    }));
    groups.sort_by(|a, b| {
        let rank = |it: &Group| (std::cmp::Reverse(it.n_recordings), it.kind.preference());
        rank(a).cmp(&rank(b)).then_with(|| a.kind.cmp(&b.kind))
    });
    groups
}

#[cfg(test)]
mod tests;
