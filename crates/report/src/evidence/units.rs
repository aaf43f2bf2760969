//! What was sampled: windows of scans of subjects. Intervals resample the largest of them that there
//! are enough of.

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Serialize};

use crate::counted;

/// Fewer members than this say too little about their spread.
const MIN_MEMBERS: usize = 8;

/// Where a window comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unit {
    /// The subject's label.
    pub subject: String,
    /// The scan or run, within the subject.
    pub scan: String,
    /// The window, within the scan.
    pub window: String,
}

/// What the bootstrap draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResampledUnit {
    /// People: the interval speaks of new ones.
    Subject,
    /// Runs: the interval speaks of new runs of these people.
    Run,
    /// Windows: the interval speaks of new windows of these runs.
    Window,
}

/// How many there are of each; prints as `n=16 windows, 2 runs, 1 subject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitCounts {
    /// Windows.
    pub windows: usize,
    /// Runs, over all subjects.
    pub runs: usize,
    /// Subjects.
    pub subjects: usize,
}

impl UnitCounts {
    /// Whether some unit has the 8 members that an interval needs.
    pub(super) fn suffice(self) -> bool {
        self.windows.max(self.runs).max(self.subjects) >= MIN_MEMBERS
    }
}

impl fmt::Display for UnitCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { windows, runs, subjects } = *self;
        let counts = [(windows, "window"), (runs, "run"), (subjects, "subject")];
        write!(f, "n={}", counts.map(|(n, noun)| counted(n, noun)).join(", "))
    }
}

/// The largest unit with at least 8 members, else windows.
pub(super) fn choose(units: &[Unit]) -> (ResampledUnit, UnitCounts) {
    let count = |unit| clusters(units, unit).into_iter().max().map_or(0, |last| last + 1);
    let counts = UnitCounts {
        windows: count(ResampledUnit::Window),
        runs: count(ResampledUnit::Run),
        subjects: count(ResampledUnit::Subject),
    };
    let resampled = if counts.subjects >= MIN_MEMBERS {
        ResampledUnit::Subject
    } else if counts.runs >= MIN_MEMBERS {
        ResampledUnit::Run
    } else {
        ResampledUnit::Window
    };
    (resampled, counts)
}

/// The number of each window's unit, from 0 in the order in which they first occur.
pub(super) fn clusters(units: &[Unit], unit: ResampledUnit) -> Vec<usize> {
    let mut seen = HashMap::new();
    units
        .iter()
        .map(|Unit { subject, scan, window }| {
            let key = match unit {
                ResampledUnit::Subject => (subject.as_str(), "", ""),
                ResampledUnit::Run => (subject.as_str(), scan.as_str(), ""),
                ResampledUnit::Window => (subject.as_str(), scan.as_str(), window.as_str()),
            };
            let next = seen.len();
            *seen.entry(key).or_insert(next)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(subjects: usize, runs: usize, windows: usize) -> Vec<Unit> {
        let mut units = Vec::new();
        for subject in 0..subjects {
            for scan in 0..runs {
                for window in 0..windows {
                    units.push(Unit {
                        subject: subject.to_string(),
                        scan: scan.to_string(),
                        window: window.to_string(),
                    });
                }
            }
        }
        units
    }

    #[test]
    fn the_largest_unit_with_eight_members_is_drawn() {
        for (subjects, runs, windows, expected) in [
            (8, 1, 1, ResampledUnit::Subject),
            (7, 2, 4, ResampledUnit::Run),
            (1, 8, 8, ResampledUnit::Run),
            (1, 2, 8, ResampledUnit::Window),
            (1, 1, 3, ResampledUnit::Window),
        ] {
            let (unit, counts) = choose(&cohort(subjects, runs, windows));
            assert_eq!(unit, expected);
            assert_eq!(counts.windows, subjects * runs * windows);
            assert_eq!((counts.runs, counts.subjects), (subjects * runs, subjects));
        }
    }

    #[test]
    fn runs_of_two_subjects_are_two_runs() {
        assert_eq!(clusters(&cohort(2, 1, 2), ResampledUnit::Run), [0, 0, 1, 1]);
    }

    #[test]
    fn one_is_not_a_plural() {
        let counts = UnitCounts { windows: 16, runs: 2, subjects: 1 };
        assert_eq!(counts.to_string(), "n=16 windows, 2 runs, 1 subject");
    }
}
