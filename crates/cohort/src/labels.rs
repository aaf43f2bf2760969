//! Tables about people and visits, joined to recordings by the labels that both have.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use tables::{Cell, Column, Table};

use crate::{
    entity::{BidsName, Entities, Entity, RECORDING},
    error::{Error, Result},
    recording::Recording,
    spelling::{form, label_from},
    value::Value,
};

/// Columns of a table that say who or which, in the words of the field.
const SUBJECT: &[&str] =
    &["participant_id", "subject_id", "eid", "subject", "participant", "sub_id", "sub"];
const SESSION: &[&str] = &["session_id", "session", "ses", "wave_id", "visit"];
const TASK: &[&str] = &["task", "task_id"];
const RUN: &[&str] = &["run", "run_id"];

/// What may say each entity.
pub(crate) const ENTITY_COLUMNS: [(Entity, &[&str]); 4] = [
    (Entity::Subject, SUBJECT),
    (Entity::Session, SESSION),
    (Entity::Task, TASK),
    (Entity::Run, RUN),
];

/// The one column of `table` that has one of the names, whatever their capitals; `settable` where
/// a pipeline may say which it is.
pub(crate) fn column_of<'a>(
    path: &Path,
    table: &'a Table,
    role: &'static str,
    allowed: &[&str],
    settable: bool,
) -> Result<Option<&'a str>> {
    let fits = |name: &&str| allowed.contains(&name.to_lowercase().as_str());
    let mut found = table.names().filter(fits);
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => {
            let (first, second) = (first.to_owned(), second.to_owned());
            Err(Error::TwoColumns { path: path.to_path_buf(), role, first, second, settable })
        }
        (first, _) => Ok(first),
    }
}

/// A cell as a label: a whole number in its digits, a text without its `sub-`.
pub(crate) fn label_of(cell: Cell<'_>, entity: Entity) -> Option<String> {
    match cell {
        Cell::Text(text) => {
            let text = text.trim();
            let prefix = format!("{}-", entity.key());
            Some(text.strip_prefix(&prefix).unwrap_or(text).to_owned())
        }
        Cell::Integer(number) => Some(number.to_string()),
        Cell::Number(number) if number.fract() == 0.0 => Some(format!("{number:.0}")),
        Cell::Number(number) if !number.is_nan() => Some(number.to_string()),
        _ => None,
    }
}

/// A table whose rows are about subjects, visits, or single recordings.
pub(crate) struct LabelTable {
    path: PathBuf,
    /// Columns that are labels, not keys.
    columns: Vec<(String, Column)>,
    /// What a row is found by.
    keys: Vec<Entity>,
    /// The column that says each of them.
    said_by: Vec<(Entity, String)>,
    rows: HashMap<Entities, usize>,
    /// Those too that are about no recording.
    n_rows: usize,
    /// The pipeline names it; else it lies beside the scans.
    is_named: bool,
}

impl LabelTable {
    /// Reads a table with a column of subjects, and perhaps of sessions, tasks and runs, or with
    /// a column `bids_name` as MRIQC writes it. Rows of labels that no recording may have are left
    /// out.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let table = tables::read(path)?;
        let mut taken = Vec::new();
        let named = column_of(path, &table, "recording", &["bids_name"], false)?;
        for (entity, allowed) in ENTITY_COLUMNS {
            if let Some(name) = column_of(path, &table, entity.name(), allowed, false)? {
                taken.push((entity, name));
            }
        }
        if named.is_none() && !taken.iter().any(|(entity, _)| *entity == Entity::Subject) {
            let allowed = SUBJECT.iter().chain(&["bids_name"]).map(|&name| name.to_owned());
            let (path, role, allowed) = (path.to_path_buf(), "subject", allowed.collect());
            return Err(Error::NoColumn { path, role, allowed, settable: false });
        }
        let mut rows: HashMap<Entities, usize> = HashMap::new();
        for row in 0..table.n_rows() {
            let cell = |name: &str| table.column(name).expect("it was found").cell(row);
            let key = match named {
                Some(name) => match cell(name) {
                    Cell::Text(text) => BidsName::parse(text).map(|it| it.entities.key(&RECORDING)),
                    _ => None,
                },
                None => key_of(taken.iter().map(|(entity, name)| (*entity, cell(name)))),
            };
            let Some(key) = key else { continue };
            if let Some(first) = rows.insert(key, row) {
                let (first, second) = (first + 2, row + 2);
                let what = if taken.len() == 1 { "one subject" } else { "one recording" };
                return Err(Error::SameRow { path: path.to_path_buf(), first, second, what });
            }
        }
        let keys = match named {
            Some(_) => RECORDING.to_vec(),
            None => taken.iter().map(|(entity, _)| *entity).collect(),
        };
        let is_key = |name: &str| {
            named == Some(name) || named.is_none() && taken.iter().any(|(_, key)| *key == name)
        };
        let columns = table.columns().iter().filter(|(name, _)| !is_key(name)).cloned().collect();
        let said_by = match named {
            Some(name) => vec![(Entity::Subject, name.to_owned())],
            None => taken.iter().map(|(entity, name)| (*entity, (*name).to_owned())).collect(),
        };
        let (path, n_rows) = (path.to_path_buf(), table.n_rows());
        Ok(Self { path, columns, keys, said_by, rows, n_rows, is_named: true })
    }

    /// The same table, that nobody named: it may be about others.
    pub(crate) fn unnamed(self) -> Self {
        Self { is_named: false, ..self }
    }

    /// Adds to each recording what the table says of it; the number of recordings it is about.
    fn join(&self, recordings: &mut [Recording]) -> usize {
        let mut n = 0;
        for recording in recordings {
            let Some(&row) = self.rows.get(&recording.entities.key(&self.keys)) else { continue };
            n += 1;
            for (name, column) in &self.columns {
                if let Some(value) = Value::of(column.cell(row)) {
                    recording.labels.insert(name.clone(), value);
                }
            }
        }
        n
    }

    /// Why no row is about any of the recordings. Nobody is named.
    fn no_row(&self, recordings: &[Recording]) -> Error {
        let differs = |(entity, column): &(Entity, String)| {
            let there: BTreeSet<&str> = self.rows.keys().filter_map(|it| it.get(*entity)).collect();
            let keys: Vec<Entities> =
                recordings.iter().map(|it| it.entities.key(&[*entity])).collect();
            let here: BTreeSet<&str> = keys.iter().filter_map(|it| it.get(*entity)).collect();
            let what = entity.name();
            match (there.first(), here.first()) {
                _ if !there.is_disjoint(&here) => None,
                (None, None) => None,
                (None, Some(_)) => Some(format!("column {column} says no {what}")),
                (Some(_), None) => Some(format!(
                    "column {column} says the {what}, and no recording of the cohort has one"
                )),
                (Some(first), Some(other)) => Some(match (form(first), form(other)) {
                    (there, here) if there == here => {
                        format!("column {column} says no {what} of the cohort")
                    }
                    (there, here) => format!(
                        "column {column} writes the {what} as {there}, the cohort as {here} \
                         (9 is a digit, a is a letter)"
                    ),
                }),
            }
        };
        let why = self.said_by.iter().find_map(differs).unwrap_or_else(|| {
            let names: Vec<&str> = self.said_by.iter().map(|(_, name)| name.as_str()).collect();
            format!("no row says all of a recording in {}", names.join(", "))
        });
        Error::NoRow { path: self.path.clone(), n: self.n_rows, why }
    }
}

/// Joins several tables; a column may stand in one of them only. A table that is about none of the
/// recordings is refused where the pipeline names it or asks for a column of it.
pub(crate) fn join(
    tables: &[LabelTable],
    recordings: &mut [Recording],
    is_asked: &dyn Fn(&str) -> bool,
) -> Result<()> {
    for (position, table) in tables.iter().enumerate() {
        for (column, _) in &table.columns {
            let has = |other: &&LabelTable| other.columns.iter().any(|(name, _)| name == column);
            if let Some(other) = tables[..position].iter().find(has) {
                let (first, second) = (other.path.clone(), table.path.clone());
                return Err(Error::SameColumn { column: column.clone(), first, second });
            }
        }
        let is_needed = table.is_named || table.columns.iter().any(|(name, _)| is_asked(name));
        if !recordings.is_empty() && table.join(recordings) == 0 && is_needed {
            return Err(table.no_row(recordings));
        }
    }
    Ok(())
}

/// The entities of a row; none where one of them is no label.
fn key_of<'a>(cells: impl Iterator<Item = (Entity, Cell<'a>)>) -> Option<Entities> {
    let mut key = Entities::default();
    for (entity, cell) in cells {
        match label_of(cell, entity) {
            Some(text) => key.add(entity, &label_from(&text)?),
            None if entity == Entity::Subject => return None,
            None => true,
        };
    }
    Some(key.key(&RECORDING))
}

/// Reads tables of labels.
pub(crate) fn read_labels(
    paths: &[PathBuf],
    place: &dyn Fn(&Path) -> PathBuf,
) -> Result<Vec<LabelTable>> {
    paths.iter().map(|path| LabelTable::read(&place(path))).collect()
}

#[cfg(test)]
mod tests;
