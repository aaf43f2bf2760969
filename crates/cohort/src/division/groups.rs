//! What stays together: everything that shares a subject, or a value of a column of groups.

use std::collections::HashMap;

use crate::{
    error::{Error, Result},
    recording::Cohort,
};

/// The group of each recording, from 0. A subject of two families joins them.
pub(super) fn of(cohort: &Cohort, columns: &[String]) -> Result<Vec<usize>> {
    let recordings = &cohort.recordings;
    let mut parents: Vec<usize> = (0..recordings.len()).collect();
    let mut first_of: HashMap<(usize, String), usize> = HashMap::new();
    let mut join = |key: (usize, String), row: usize| {
        let first = *first_of.entry(key).or_insert(row);
        let (a, b) = (root(&mut parents, first), root(&mut parents, row));
        parents[a.max(b)] = a.min(b);
    };
    for (row, recording) in recordings.iter().enumerate() {
        join((0, recording.subject().to_owned()), row);
    }
    for (position, column) in columns.iter().enumerate() {
        let mut n_missing = 0;
        for (row, recording) in recordings.iter().enumerate() {
            match recording.labels.get(column) {
                Some(value) => join((1 + position, value.in_words()), row),
                None => n_missing += 1,
            }
        }
        let (path, column, field) = (cohort.path.clone(), column.clone(), "group_by");
        if n_missing == recordings.len() {
            return Err(Error::NoLabel { path, column, field });
        }
        if n_missing > 0 {
            return Err(Error::MissingLabel { path, column, field, n: n_missing });
        }
    }
    let roots: Vec<usize> = (0..recordings.len()).map(|row| root(&mut parents, row)).collect();
    let mut numbers = HashMap::new();
    let number = |root: &usize| {
        let next = numbers.len();
        *numbers.entry(*root).or_insert(next)
    };
    Ok(roots.iter().map(number).collect())
}

fn root(parents: &mut [usize], mut row: usize) -> usize {
    while parents[row] != row {
        parents[row] = parents[parents[row]];
        row = parents[row];
    }
    row
}
