//! Divides a cohort into train, validation and test by whole people.
//!
//! What comes out depends on the seed and on what is known of the people, never on the order of
//! rows or folders.

mod classes;
mod greedy;
mod groups;

use scan::Split;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    recording::{Cohort, Recording, Source},
    value::Value,
};

/// How a cohort is divided. A subject is always in one split only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitConfig {
    /// As this column says: `train`, `validation` (or `val`, `valid`, `dev`, `choose`), `test`.
    Column(String),
    /// One division by shares.
    Fractions(FractionsConfig),
    /// Cross-validation: each fold is the test set once, the fold before it (cyclically) the
    /// validation set, and the others the training set.
    StratifiedGroupKfold(KfoldConfig),
}

/// Shares of the recordings, approximate because groups stay whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FractionsConfig {
    /// Training share.
    pub train: f64,
    /// Validation share. Older files use `choose`.
    #[serde(alias = "choose")]
    #[serde(alias = "val")]
    pub validation: f64,
    /// Test share; the three sum to 1.
    pub test: f64,
    /// Columns whose values stay together beside subjects: families, or whole sites.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<String>,
    /// Columns whose values are spread evenly: diagnosis, sex, site. Numbers of more than ten
    /// values are cut at their quartiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stratify_by: Vec<String>,
    /// Seed that breaks ties.
    pub seed: u64,
}

/// Folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KfoldConfig {
    /// Number of folds, at least 3.
    #[serde(alias = "k_folds")]
    pub k: usize,
    /// Columns whose values stay together beside subjects: families, or whole sites.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<String>,
    /// Columns whose values are spread evenly: diagnosis, sex, site. Numbers of more than ten
    /// values are cut at their quartiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stratify_by: Vec<String>,
    /// How often the folds are drawn, each time anew; the `r`th time with `seed + r - 1`. 1 where it is absent.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub repeats: usize,
    /// Seed that breaks ties.
    pub seed: u64,
}

fn once() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_once(repeats: &usize) -> bool {
    *repeats == 1
}

/// One division into splits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    /// Which drawing of the folds, from 1, where they are drawn more than once.
    pub repeat: Option<usize>,
    /// From 1, where there are several.
    pub fold: Option<usize>,
    /// One for each recording of the cohort, in its order.
    pub splits: Vec<Split>,
}

impl SplitConfig {
    /// Refuses settings that no cohort could meet.
    pub fn check(&self) -> Result<()> {
        let refuse = |field, found: String, expected: &str| {
            Err(Error::Setting { field, found, expected: expected.to_owned() })
        };
        match self {
            Self::StratifiedGroupKfold(config) if config.k < 3 => {
                let expected =
                    "at least 3: one fold for the test, one for validation, one to train on";
                refuse("split.stratified_group_kfold.k", config.k.to_string(), expected)
            }
            Self::StratifiedGroupKfold(config) if !REPEATS.contains(&config.repeats) => {
                let expected = "1 to 1000";
                let found = config.repeats.to_string();
                refuse("split.stratified_group_kfold.repeats", found, expected)
            }
            Self::Column(_) | Self::StratifiedGroupKfold(_) => Ok(()),
            Self::Fractions(config) => {
                let shares = [config.train, config.validation, config.test];
                let is_share = |share: &f64| share.is_finite() && *share > 0.0;
                let sum: f64 = shares.iter().sum();
                if shares.iter().all(is_share) && (sum - 1.0).abs() < 1e-6 {
                    return Ok(());
                }
                let found = format!("{} + {} + {}", shares[0], shares[1], shares[2]);
                refuse("split.fractions", found, "three shares above 0 that make 1")
            }
        }
    }

    /// The columns that decide anything in it.
    pub(crate) fn columns(&self) -> Vec<&String> {
        match self {
            Self::Column(name) => vec![name],
            Self::Fractions(config) => config.group_by.iter().chain(&config.stratify_by).collect(),
            Self::StratifiedGroupKfold(config) => {
                config.group_by.iter().chain(&config.stratify_by).collect()
            }
        }
    }

    /// Divides the recordings of a cohort; each subject, and each group, is in one split only.
    pub fn divide(&self, cohort: &Cohort) -> Result<Vec<Division>> {
        self.check()?;
        let recordings = &cohort.recordings;
        let divisions = match self {
            Self::Column(column) => {
                vec![Division { repeat: None, fold: None, splits: column_says(cohort, column)? }]
            }
            Self::Fractions(config) => {
                let parts = Parts { group_by: &config.group_by, stratify_by: &config.stratify_by };
                let shares = [config.train, config.validation, config.test];
                let of_share = parts.spread(cohort, config.seed, &shares)?;
                let split = |part: &usize| [Split::Train, Split::Validation, Split::Test][*part];
                vec![Division {
                    repeat: None,
                    fold: None,
                    splits: of_share.iter().map(split).collect(),
                }]
            }
            Self::StratifiedGroupKfold(config) => {
                let parts = Parts { group_by: &config.group_by, stratify_by: &config.stratify_by };
                let (names, group_of, classes) = parts.of(cohort)?;
                let drawn = repeated_folds(config.repeats, config.seed, |seed| {
                    stratified_group_folds(&names, &group_of, &classes, config.k, seed)
                });
                let division =
                    |(repeat, fold, splits)| Division { repeat, fold: Some(fold), splits };
                drawn.into_iter().map(division).collect()
            }
        };
        for division in &divisions {
            check_subjects(cohort, &division.splits, self.column())?;
            check_files(cohort, &division.splits)?;
            for split in [Split::Train, Split::Validation, Split::Test] {
                if matches!(self, Self::Column(_)) || division.splits.contains(&split) {
                    continue;
                }
                let groups = format!("{} recordings", recordings.len());
                let asked = self.in_words();
                return Err(Error::EmptySplit { path: cohort.path.clone(), split, groups, asked });
            }
        }
        Ok(divisions)
    }

    fn column(&self) -> Option<&str> {
        match self {
            Self::Column(column) => Some(column),
            _ => None,
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Column(column) => format!("column {column}"),
            Self::Fractions(config) => {
                format!("shares of {}, {} and {}", config.train, config.validation, config.test)
            }
            Self::StratifiedGroupKfold(config) => format!("{} folds", config.k),
        }
    }
}

/// What stays together and what is spread.
struct Parts<'a> {
    group_by: &'a [String],
    stratify_by: &'a [String],
}

impl Parts<'_> {
    /// The subject, the group and the class of each recording.
    fn of<'a>(&self, cohort: &'a Cohort) -> Result<(Vec<&'a str>, Vec<usize>, Vec<usize>)> {
        let classes = classes::of(cohort, self.stratify_by)?;
        let group_of = groups::of(cohort, self.group_by)?;
        Ok((cohort.recordings.iter().map(Recording::subject).collect(), group_of, classes))
    }

    /// The part of each recording: as many parts as shares.
    fn spread(&self, cohort: &Cohort, seed: u64, shares: &[f64]) -> Result<Vec<usize>> {
        let (names, group_of, classes) = self.of(cohort)?;
        Ok(spread(&names, &group_of, &classes, seed, shares))
    }
}

/// How often folds may be drawn.
const REPEATS: std::ops::RangeInclusive<usize> = 1..=1000;

/// The divisions of every drawing of folds, with its number from 1 where there are several, and the fold that
/// is tested, from 1. `folds` draws with a seed.
pub fn repeated_folds(
    repeats: usize,
    seed: u64,
    folds: impl Fn(u64) -> Vec<Vec<Split>>,
) -> Vec<(Option<usize>, usize, Vec<Split>)> {
    let drawing = |at: usize| {
        let folds = folds(seed.wrapping_add(at as u64)).into_iter().enumerate();
        let repeat = (repeats > 1).then_some(at + 1);
        folds.map(move |(fold, splits)| (repeat, fold + 1, splits))
    };
    (0..repeats).flat_map(drawing).collect()
}

/// Each of `k` folds tested once: the splits of every row. Rows of one group, from 0, stay together, classes,
/// from 0, are spread evenly; `names` say the order in which groups are drawn, whatever that of the rows. The
/// fold before the tested one, in a circle, is for validation.
pub fn stratified_group_folds(
    names: &[&str],
    group_of: &[usize],
    classes: &[usize],
    k: usize,
    seed: u64,
) -> Vec<Vec<Split>> {
    let of_fold = spread(names, group_of, classes, seed, &vec![1.0 / k as f64; k]);
    let division = |tested: usize| {
        let validation = (tested + k - 1) % k;
        let split = |fold: &usize| match *fold {
            fold if fold == tested => Split::Test,
            fold if fold == validation => Split::Validation,
            _ => Split::Train,
        };
        of_fold.iter().map(split).collect()
    };
    (0..k).map(division).collect()
}

/// The part of each row: as many parts as shares.
fn spread(
    names_of: &[&str],
    group_of: &[usize],
    classes: &[usize],
    seed: u64,
    shares: &[f64],
) -> Vec<usize> {
    let n_classes = classes.iter().max().map_or(0, |last| last + 1);
    let n_groups = group_of.iter().max().map_or(0, |last| last + 1);
    let mut counts = vec![vec![0.0; n_classes]; n_groups];
    let mut names = vec![None::<&str>; n_groups];
    for (&subject, (&group, &class)) in names_of.iter().zip(group_of.iter().zip(classes)) {
        counts[group][class] += 1.0;
        let name = names[group].get_or_insert(subject);
        *name = subject.min(name);
    }
    // A group's place in the queue depends on the seed and on its first subject alone.
    let lot = |group: &usize| {
        let name = names[*group].expect("every group has a recording");
        files::sha256_bytes(format!("{seed} {name}").as_bytes())
    };
    let mut queue: Vec<usize> = (0..n_groups).collect();
    queue.sort_by_cached_key(lot);
    let queued: Vec<&[f64]> = queue.iter().map(|&group| counts[group].as_slice()).collect();
    let mut part_of_group = vec![0; n_groups];
    for (&group, part) in queue.iter().zip(greedy::assign(&queued, shares)) {
        part_of_group[group] = part;
    }
    group_of.iter().map(|&group| part_of_group[group]).collect()
}

fn column_says(cohort: &Cohort, column: &str) -> Result<Vec<Split>> {
    let field = "column";
    let mut splits = Vec::with_capacity(cohort.recordings.len());
    let mut n = 0;
    for recording in &cohort.recordings {
        match recording.labels.get(column) {
            Some(value) => splits.push(split_of(cohort, recording, column, value)?),
            None => n += 1,
        }
    }
    let (path, column) = (cohort.path.clone(), column.to_owned());
    match n {
        0 => Ok(splits),
        n if n == cohort.recordings.len() => Err(Error::NoLabel { path, column, field }),
        n => Err(Error::MissingLabel { path, column, field, n }),
    }
}

fn split_of(cohort: &Cohort, recording: &Recording, column: &str, value: &Value) -> Result<Split> {
    let text = value.in_words().to_lowercase();
    Ok(match text.as_str() {
        "train" | "training" => Split::Train,
        "choose" | "val" | "valid" | "validation" | "dev" => Split::Validation,
        "test" | "testing" => Split::Test,
        _ => {
            let whose = recording.row.map_or(String::new(), |row| format!("row {row}: "));
            let problem =
                format!("{whose}column {column} is {text:?}, expected train, validation or test");
            return Err(Error::Folder { path: cohort.path.clone(), problem });
        }
    })
}

/// Refuses a subject in two splits.
fn check_subjects(cohort: &Cohort, splits: &[Split], column: Option<&str>) -> Result<()> {
    let mut seen = std::collections::HashMap::new();
    for (recording, &split) in cohort.recordings.iter().zip(splits) {
        let (first, first_row) = *seen.entry(recording.subject()).or_insert((split, recording.row));
        if first != split {
            let rows = first_row.zip(recording.row);
            let (path, column) = (cohort.path.clone(), column.unwrap_or_default().to_owned());
            return Err(Error::SplitLeak { path, column, first, second: split, rows });
        }
    }
    Ok(())
}

/// Refuses one file that two links put into two splits.
fn check_files(cohort: &Cohort, splits: &[Split]) -> Result<()> {
    let mut seen = std::collections::HashMap::new();
    for (recording, &split) in cohort.recordings.iter().zip(splits) {
        let Source::File(path) = &recording.source else { continue };
        let Ok(place) = path.canonicalize() else { continue };
        let (first, first_row) = *seen.entry(place).or_insert((split, recording.row));
        if first != split {
            let (path, rows) = (cohort.path.clone(), first_row.zip(recording.row));
            return Err(Error::SameScan { path, first, second: split, rows });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
