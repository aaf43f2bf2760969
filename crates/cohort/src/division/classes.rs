//! What is spread evenly: combinations of values.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::{Error, Result},
    recording::Cohort,
    value::Value,
};

/// More different numbers than these are a scale, which is cut at its quartiles.
const MOST_VALUES: usize = 10;

/// The class of each recording, from 0, in the order of the classes' names.
pub(super) fn of(cohort: &Cohort, columns: &[String]) -> Result<Vec<usize>> {
    let n = cohort.recordings.len();
    let mut names = vec![String::new(); n];
    for column in columns {
        let values: Vec<Option<&Value>> =
            cohort.recordings.iter().map(|recording| recording.labels.get(column)).collect();
        if values.iter().all(Option::is_none) {
            let (path, column) = (cohort.path.clone(), column.clone());
            return Err(Error::NoLabel { path, column, field: "stratify_by" });
        }
        let cuts = quartiles(&values);
        for (name, value) in names.iter_mut().zip(values) {
            let word = match (value, &cuts) {
                // who has no value is a class too
                (None, _) => "n/a".to_owned(),
                (Some(Value::Number(number) | Value::AtLeast(number)), Some(cuts)) => {
                    format!("quarter {}", cuts.iter().filter(|cut| number > cut).count())
                }
                (Some(value), _) => value.in_words(),
            };
            name.push('\0');
            name.push_str(&word);
        }
    }
    let sorted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let ranks: BTreeMap<&str, usize> =
        sorted.into_iter().enumerate().map(|(rank, name)| (name, rank)).collect();
    Ok(names.iter().map(|name| ranks[name.as_str()]).collect())
}

/// Where a scale is cut; none where there are few values, or words.
fn quartiles(values: &[Option<&Value>]) -> Option<[f64; 3]> {
    let number = |value: &&Value| match value {
        Value::Number(number) | Value::AtLeast(number) => Some(*number),
        _ => None,
    };
    let mut numbers: Vec<f64> = values.iter().flatten().filter_map(number).collect();
    numbers.sort_by(f64::total_cmp);
    let mut different = numbers.clone();
    different.dedup();
    let at = |share: usize| numbers[(numbers.len() - 1) * share / 4];
    (different.len() > MOST_VALUES).then(|| [at(1), at(2), at(3)])
}
