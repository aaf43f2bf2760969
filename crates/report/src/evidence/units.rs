//! What was sampled: windows of scans of subjects, at the level at which intervals resample them.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::Hash,
};

use serde::{Deserialize, Serialize};

use crate::counted;

/// Fewer members than this say too little about their spread.
pub(super) const MIN_MEMBERS: usize = 8;

/// How far values may vary within a unit that still carries the value: 1 is not at all, 0 as much as
/// between units.
const CARRIES: f64 = 0.5;

/// Where a window comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unit {
    /// The subject's label.
    pub subject: String,
    /// The scan or run, within the subject.
    pub scan: String,
    /// The window, within the scan; equal in two copies of the scan.
    pub window: String,
    /// Where it was scanned, if that is known.
    #[serde(default)]
    pub site: Option<String>,
    /// The subject's sex, if that is known, in one spelling.
    #[serde(default)]
    pub sex: Option<String>,
    /// The decade of the subject's age, if that is known; see [`age_bin`].
    #[serde(default)]
    pub age_bin: Option<String>,
    /// Digest of the scan's file, empty if unknown: scans of equal digest are one scan.
    #[serde(default)]
    pub scan_digest: String,
    /// Digest of what the model reads of this window, empty if unknown: windows of equal digest are one
    /// window.
    #[serde(default)]
    pub window_digest: String,
}

/// The decade of an age: `30 to 39` of `36`, `90 and above` of `90+`. Words stand for themselves, and an empty
/// cell or `n/a` for nothing.
pub fn age_bin(cell: &str) -> Option<String> {
    let cell = cell.trim();
    if matches!(cell, "" | "n/a") {
        return None;
    }
    let digits = cell.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(cell.len());
    let Some(years) = cell[..digits].parse::<f64>().ok().filter(|it| *it < 1000.0) else {
        return Some(cell.to_lowercase());
    };
    let decade = (years / 10.0).floor() * 10.0;
    Some(if decade >= 90.0 {
        "90 and above".to_owned()
    } else {
        format!("{decade:.0} to {:.0}", decade + 9.0)
    })
}

/// A level of sampling, from the largest unit to the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// People: an interval speaks of new people.
    Subject,
    /// Runs: an interval speaks of new runs of these people.
    Run,
    /// Windows: an interval speaks of new windows of these runs.
    Window,
}

impl Level {
    const ALL: [Self; 3] = [Self::Subject, Self::Run, Self::Window];

    /// `subject`, `run` or `window`.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Run => "run",
            Self::Window => "window",
        }
    }
}

/// How many there are of each; prints as `n=96 windows, 33 subjects`, with the runs where a subject
/// has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitCounts {
    /// Different windows.
    pub windows: usize,
    /// Different runs, over all subjects.
    pub runs: usize,
    /// Different subjects.
    pub subjects: usize,
    /// Windows that were left out of these counts, because their scan occurs under another name too.
    #[serde(default)]
    pub repeated: usize,
}

impl UnitCounts {
    /// How many there are at a level.
    pub fn at(self, level: Level) -> usize {
        match level {
            Level::Subject => self.subjects,
            Level::Run => self.runs,
            Level::Window => self.windows,
        }
    }
}

impl fmt::Display for UnitCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n={}", counted(self.windows, "window"))?;
        if self.repeated > 0 {
            let them = if self.repeated == 1 { "repeats" } else { "repeat" };
            write!(f, " ({} more {them} a scan)", self.repeated)?;
        }
        if self.runs != self.subjects {
            write!(f, ", {}", counted(self.runs, "run"))?;
        }
        write!(f, ", {}", counted(self.subjects, "subject"))
    }
}

/// The units of all windows, at every level.
#[derive(Clone, Debug)]
pub(super) struct Units {
    clusters: [Vec<usize>; 3],
    /// One entry a window.
    sites: Vec<Option<String>>,
    /// Site, sex and age of each window.
    people: Vec<[Option<String>; 3]>,
    pub(super) counts: UnitCounts,
    /// What intervals resample: the largest unit with at least 8 members, but nothing smaller than the
    /// carrier.
    pub(super) resampled: Level,
    /// The largest unit within which the value hardly varies; chance deals values to these.
    pub(super) carrier: Level,
}

impl Units {
    /// `values[i]` is the true value of window `i`.
    pub(super) fn new(units: &[Unit], values: &[usize]) -> Self {
        let clusters = Level::ALL.map(|level| clusters(units, level));
        let count = |level: Level| clusters[level as usize].iter().max().map_or(0, |last| last + 1);
        let [subjects, runs, windows] = Level::ALL.map(count);
        let counts = UnitCounts { windows, runs, subjects, repeated: units.len() - windows };
        let windows = &clusters[Level::Window as usize];
        let carries = |level: &Level| carries(&clusters[*level as usize], windows, values);
        let carrier = Level::ALL.into_iter().find(carries).unwrap_or(Level::Window);
        let many = |level: &Level| counts.at(*level) >= MIN_MEMBERS;
        let largest = Level::ALL.into_iter().find(many).unwrap_or(Level::Window);
        let sites = units.iter().map(|unit| unit.site.clone()).collect();
        let people = units.iter();
        let people =
            people.map(|it| [it.site.clone(), it.sex.clone(), it.age_bin.clone()]).collect();
        Self { sites, people, counts, resampled: largest.min(carrier), carrier, clusters }
    }

    /// The number of each window's unit, from 0 in the order in which they first occur.
    pub(super) fn of(&self, level: Level) -> &[usize] {
        &self.clusters[level as usize]
    }

    /// The number of each window's resampled unit.
    pub(super) fn resampled(&self) -> &[usize] {
        self.of(self.resampled)
    }

    /// Whether there are enough carriers to decide anything.
    pub(super) fn suffice(&self) -> bool {
        self.counts.at(self.carrier) >= MIN_MEMBERS
    }

    /// What another person's scan is: of another subject, or where there is one subject only of
    /// another run, or of another window.
    pub(super) fn others(&self) -> Level {
        let several = |level: &Level| self.counts.at(*level) >= 2;
        Level::ALL.into_iter().find(several).unwrap_or(Level::Window)
    }

    /// Sites, where subjects change scans within them.
    pub(super) fn n_sites(&self) -> Option<usize> {
        let known = self.carrier == Level::Subject && self.sites.iter().any(Option::is_some);
        known.then(|| self.sites.iter().collect::<HashSet<_>>().len())
    }

    /// What subjects can be matched by, and the group of each window; none of a window of which one of these
    /// is not known. `None` where nothing is known of anybody.
    pub(super) fn matched(&self) -> Option<(String, Vec<Option<usize>>)> {
        const NAMES: [&str; 3] = ["site", "sex", "age"];
        let known: Vec<usize> = (0..NAMES.len())
            .filter(|&at| self.people.iter().any(|person| person[at].is_some()))
            .collect();
        let names: Vec<&str> = known.iter().map(|&at| NAMES[at]).collect();
        let (last, before) = names.split_last()?;
        let names = if before.is_empty() {
            (*last).to_owned()
        } else {
            format!("{} and {last}", before.join(", "))
        };
        let groups = numbered(self.people.iter());
        let whole = |person: &[Option<String>; 3]| known.iter().all(|&at| person[at].is_some());
        let groups = groups.into_iter().zip(&self.people);
        Some((names, groups.map(|(group, person)| whole(person).then_some(group)).collect()))
    }

    /// What a carrier may change scans within: the site of a subject, the subject of a run, the run of
    /// a window.
    pub(super) fn parents(&self) -> Vec<usize> {
        match self.carrier {
            Level::Subject => numbered(self.sites.iter()),
            Level::Run => self.of(Level::Subject).to_vec(),
            Level::Window => self.of(Level::Run).to_vec(),
        }
    }
}

/// Whether two windows of one unit have the same value more often than two of different units, at
/// least half of the way to always.
fn carries(cluster: &[usize], windows: &[usize], values: &[usize]) -> bool {
    let (mut within, mut between) = ((0.0, 0.0), (0.0, 0.0));
    for i in 0..values.len() {
        for j in (0..i).filter(|&j| windows[i] != windows[j]) {
            let side = if cluster[i] == cluster[j] { &mut within } else { &mut between };
            side.0 += f64::from(u8::from(values[i] == values[j]));
            side.1 += 1.0;
        }
    }
    if within.0 >= within.1 {
        return true;
    }
    let (inside, outside) = (within.0 / within.1, between.0 / between.1);
    // without other units there is nothing to compare with
    (inside - outside) / (1.0 - outside) >= CARRIES
}

/// Units of windows at one level: those that share a name or a digest are one.
fn clusters(units: &[Unit], level: Level) -> Vec<usize> {
    let mut roots: Vec<usize> = (0..units.len()).collect();
    let mut first: HashMap<[&str; 4], usize> = HashMap::new();
    for (idx, unit) in units.iter().enumerate() {
        let Unit { subject, scan, window, scan_digest, window_digest, .. } = unit;
        let (named, digest) = match level {
            Level::Subject => (["name", subject, "", ""], ["scan", scan_digest, "", ""]),
            Level::Run => (["name", subject, scan, ""], ["scan", scan_digest, "", ""]),
            Level::Window => (["name", subject, scan, window], ["scan", scan_digest, window, ""]),
        };
        let same_input = ["window", window_digest, "", ""];
        for key in [named, digest, same_input] {
            if key[0] != "name" && key[1].is_empty() {
                continue;
            }
            let other = *first.entry(key).or_insert(idx);
            let (a, b) = (root(&mut roots, idx), root(&mut roots, other));
            roots[a.max(b)] = a.min(b);
        }
    }
    numbered((0..units.len()).map(|idx| root(&mut roots, idx)))
}

fn root(roots: &mut [usize], mut idx: usize) -> usize {
    while roots[idx] != idx {
        roots[idx] = roots[roots[idx]];
        idx = roots[idx];
    }
    idx
}

/// Numbers from 0 in the order in which keys first occur.
pub(super) fn numbered<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> Vec<usize> {
    let mut seen = HashMap::new();
    keys.map(|key| {
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
                units.extend((0..windows).map(|window| Unit {
                    subject: subject.to_string(),
                    scan: scan.to_string(),
                    window: window.to_string(),
                    ..Unit::default()
                }));
            }
        }
        units
    }

    /// Values that alternate from window to window.
    fn alternating(n: usize) -> Vec<usize> {
        (0..n).map(|idx| idx % 2).collect()
    }

    #[test]
    fn the_largest_unit_with_eight_members_is_resampled() {
        for (subjects, runs, windows, expected) in [
            (8, 1, 2, Level::Subject),
            (7, 2, 4, Level::Run),
            (1, 8, 8, Level::Run),
            (1, 2, 8, Level::Window),
            (1, 1, 3, Level::Window),
        ] {
            let n = subjects * runs * windows;
            let units = Units::new(&cohort(subjects, runs, windows), &alternating(n));
            assert_eq!(units.resampled, expected);
            assert_eq!(units.counts.windows, n);
            assert_eq!((units.counts.runs, units.counts.subjects), (subjects * runs, subjects));
        }
    }

    #[test]
    fn a_trait_is_carried_by_subjects_however_few() {
        let by_subject: Vec<usize> = (0..4 * 10).map(|idx| idx / 10 % 2).collect();
        let units = Units::new(&cohort(4, 1, 10), &by_subject);
        assert_eq!((units.carrier, units.resampled), (Level::Subject, Level::Subject));
        assert!(!units.suffice());
        // one window that differs does not turn four people into forty
        let mut but_one = by_subject;
        for window in [0, 10, 20, 30] {
            but_one[window] = 1 - but_one[window];
        }
        assert_eq!(Units::new(&cohort(4, 1, 10), &but_one).carrier, Level::Subject);
        let within = Units::new(&cohort(4, 1, 10), &alternating(40));
        assert_eq!((within.carrier, within.resampled), (Level::Window, Level::Window));
        assert!(within.suffice());
    }

    #[test]
    fn labels_of_runs_are_carried_by_runs() {
        let by_run: Vec<usize> = (0..64).map(|idx| idx / 8 % 2).collect();
        let units = Units::new(&cohort(1, 8, 8), &by_run);
        assert_eq!((units.carrier, units.resampled), (Level::Run, Level::Run));
        assert_eq!(units.parents(), [0; 64]);
    }

    #[test]
    fn a_scan_under_two_names_is_one_scan() {
        let mut units = cohort(6, 1, 2);
        for unit in &mut units {
            unit.scan_digest = format!("digest {}", unit.subject);
        }
        let mut copies = units.clone();
        for unit in &mut copies {
            unit.subject.push('b');
        }
        units.extend(copies);
        let found = Units::new(&units, &alternating(24));
        let UnitCounts { windows, runs, subjects, repeated } = found.counts;
        assert_eq!((windows, runs, subjects, repeated), (12, 6, 6, 12));
        assert_eq!(found.of(Level::Subject)[..12], found.of(Level::Subject)[12..]);
        assert_eq!(found.counts.to_string(), "n=12 windows (12 more repeat a scan), 6 subjects");
    }

    #[test]
    fn equal_inputs_are_one_window_whatever_their_files() {
        let mut units = cohort(2, 1, 2);
        for unit in &mut units {
            unit.scan_digest.clone_from(&unit.subject);
            unit.window_digest = unit.window.clone();
        }
        let found = Units::new(&units, &alternating(4));
        assert_eq!((found.counts.windows, found.counts.subjects), (2, 1));
        assert_eq!(found.of(Level::Window), [0, 1, 0, 1]);
    }

    #[test]
    fn subjects_change_scans_within_their_site() {
        let mut units = cohort(4, 1, 1);
        for (unit, site) in units.iter_mut().zip(["a", "b", "a", "b"]) {
            unit.site = Some(site.to_owned());
        }
        let found = Units::new(&units, &[0, 1, 1, 0]);
        assert_eq!((found.parents(), found.n_sites()), (vec![0, 1, 0, 1], Some(2)));
        assert_eq!(Units::new(&cohort(4, 1, 1), &[0, 1, 1, 0]).n_sites(), None);
    }

    #[test]
    fn people_are_matched_by_what_is_known_of_all() {
        let mut units = cohort(5, 1, 1);
        assert!(Units::new(&units, &[0; 5]).matched().is_none());
        for (unit, sex) in units.iter_mut().zip(["f", "m", "f", "m", "f"]) {
            unit.sex = Some(sex.to_owned());
        }
        let (names, groups) = Units::new(&units, &[0; 5]).matched().unwrap();
        let by_sex = [Some(0), Some(1), Some(0), Some(1), Some(0)];
        assert_eq!((names.as_str(), groups.as_slice()), ("sex", by_sex.as_slice()));
        for (unit, age) in units.iter_mut().zip(["36", "31.5", "41", "39", "n/a"]) {
            unit.age_bin = age_bin(age);
        }
        let (names, groups) = Units::new(&units, &[0; 5]).matched().unwrap();
        assert_eq!(names, "sex and age");
        assert_eq!(groups, [Some(0), Some(1), Some(2), Some(1), None]);
    }

    #[test]
    fn ages_are_counted_by_decades() {
        let bins = ["0.5", "9", "10", "36 years", "89.9", "90+", "104", "Adult", " n/a", ""];
        let found: Vec<Option<String>> = bins.into_iter().map(age_bin).collect();
        let expected = [
            Some("0 to 9"),
            Some("0 to 9"),
            Some("10 to 19"),
            Some("30 to 39"),
            Some("80 to 89"),
            Some("90 and above"),
            Some("90 and above"),
            Some("adult"),
            None,
            None,
        ];
        assert_eq!(found, expected.map(|it| it.map(str::to_owned)));
    }

    #[test]
    fn one_is_not_a_plural_and_runs_stand_where_they_say_something() {
        let counts = UnitCounts { windows: 16, runs: 2, subjects: 1, repeated: 0 };
        assert_eq!(counts.to_string(), "n=16 windows, 2 runs, 1 subject");
        let counts = UnitCounts { windows: 96, runs: 33, subjects: 33, repeated: 0 };
        assert_eq!(counts.to_string(), "n=96 windows, 33 subjects");
    }
}
