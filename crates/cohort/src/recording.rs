//! A cohort: its recordings, and those that are left out with the reason.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::Serialize;

use crate::{
    censored::Kept,
    entity::{Entities, Entity},
    reason::Reason,
    value::Labels,
};

/// Where the images or series of a recording are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Source {
    /// A file of its own.
    File(PathBuf),
    /// One of many in an HDF5 file.
    Stack {
        /// The file.
        file: PathBuf,
        /// The dataset in it.
        dataset: String,
        /// Position along its subject axis, from 0.
        index: usize,
    },
}

impl Source {
    /// The file.
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::File(path) | Self::Stack { file: path, .. } => path,
        }
    }
}

/// Who says the repetition time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrSource {
    /// The pipeline, for all recordings.
    Pipeline,
    /// A column of the manifest.
    Manifest,
    /// `RepetitionTime` of a sidecar.
    Sidecar,
    /// The scan itself.
    Header,
}

/// Seconds between two frames, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RepetitionTime {
    /// Seconds.
    pub seconds: f64,
    /// Who says so.
    pub source: TrSource,
}

/// One recording of one person.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recording {
    /// Subject, session, task, run, space, …: labels of letters and digits.
    pub entities: Entities,
    /// The images or series.
    pub source: Source,
    /// The voxels that are brain.
    pub mask: Option<PathBuf>,
    /// The nuisance series.
    pub confounds: Option<PathBuf>,
    /// The share of each parcel that had data, of a series that was parcelled elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<PathBuf>,
    /// None where a file that does not say it was not asked about.
    pub t_r: Option<RepetitionTime>,
    /// Frames, where header or table say it.
    pub n_frames: Option<usize>,
    /// Where they stood in the run, of a scan from which frames were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
    /// What tables say of it.
    pub labels: Labels,
    /// Row of the manifest, counted as a spreadsheet does.
    pub row: Option<usize>,
}

impl Recording {
    /// Label of the person.
    pub fn subject(&self) -> &str {
        self.entities.get(Entity::Subject).expect("a recording is of somebody")
    }

    /// Label of the visit.
    pub fn session(&self) -> Option<&str> {
        self.entities.get(Entity::Session)
    }

    /// Label of the task.
    pub fn task(&self) -> Option<&str> {
        self.entities.get(Entity::Task)
    }

    /// Label of the repetition.
    pub fn run(&self) -> Option<&str> {
        self.entities.get(Entity::Run)
    }

    /// `sub-01_ses-2_task-rest_run-1`: once in a cohort, and safe as a file name.
    pub fn name(&self) -> String {
        self.entities.only(&crate::entity::RECORDING).to_string()
    }
}

/// A recording that was found and is not taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Excluded {
    /// Its name, where it may have one: `sub-01_task-rest`, or `row 7`.
    pub name: String,
    /// Why.
    #[serde(flatten)]
    pub reason: Reason,
}

/// What a folder, a manifest or a file of series holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cohort {
    /// The folder or file it was read from.
    pub path: PathBuf,
    /// Sorted by name; never empty, no name twice.
    pub recordings: Vec<Recording>,
    /// Sorted by name.
    pub excluded: Vec<Excluded>,
    /// What is wrong with tables that nothing was asked of. No subject is named.
    pub warnings: Vec<String>,
}

impl Excluded {
    /// Label of the person, where the name says it.
    pub fn subject(&self) -> Option<&str> {
        self.label("sub-")
    }

    /// Label of the visit, where the name says it.
    pub fn session(&self) -> Option<&str> {
        self.label("ses-")
    }

    /// Label of the repetition, where the name says it.
    pub fn run(&self) -> Option<&str> {
        self.label("run-")
    }

    fn label(&self, key: &str) -> Option<&str> {
        let is_name = self.name.starts_with("sub-");
        self.name.split('_').filter(|_| is_name).find_map(|part| part.strip_prefix(key))
    }
}

impl Cohort {
    /// Number of different people.
    pub fn n_subjects(&self) -> usize {
        let mut subjects: Vec<&str> = self.recordings.iter().map(Recording::subject).collect();
        subjects.sort_unstable();
        subjects.dedup();
        subjects.len()
    }

    /// Recordings left out because a file of theirs is wrong.
    pub fn failed(&self) -> impl Iterator<Item = &Excluded> {
        self.excluded.iter().filter(|excluded| excluded.reason.is_failure())
    }

    /// How many are left out for which reason, most first.
    pub fn counts(&self) -> Vec<Count> {
        Count::all(&self.excluded)
    }
}

/// How many recordings are left out for one reason. No subject is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The reason without its numbers.
    pub reason: String,
    /// Recordings.
    pub n: usize,
    /// The whole sentence about the first of them, where it says more than `reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
}

impl Count {
    /// One for each reason, most first.
    pub fn all(excluded: &[Excluded]) -> Vec<Self> {
        let mut counts: BTreeMap<String, Self> = BTreeMap::new();
        for excluded in excluded {
            let (reason, sentence) = (excluded.reason.kind(), excluded.reason.to_string());
            let first = (sentence != reason).then_some(sentence);
            let count = counts.entry(reason.clone()).or_insert(Self { reason, n: 0, first });
            count.n += 1;
        }
        let mut counts: Vec<Self> = counts.into_values().collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.n));
        counts
    }

    /// `3 × reason`, and below it the first recording's sentence.
    pub fn lines(&self) -> Vec<String> {
        let count = format!("{} × {}", self.n, self.reason);
        let first = self.first.as_ref().map(|first| format!("    the first: {first}"));
        [count].into_iter().chain(first).collect()
    }
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_left_out_is_known_by_the_name() {
        let said = |name: &str| {
            let excluded = Excluded { name: name.to_owned(), reason: Reason::Query };
            [excluded.subject(), excluded.session(), excluded.run()]
                .map(|label| label.unwrap_or("none").to_owned())
        };
        assert_eq!(said("sub-01_ses-2_task-rest_run-03"), ["01", "2", "03"]);
        assert_eq!(said("sub-01_task-rest"), ["01", "none", "none"]);
        for name in ["row 7", "a file of sub-02_ses-1", "a folder ses-…"] {
            assert_eq!(said(name), ["none"; 3]);
        }
    }
}
