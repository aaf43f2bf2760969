//! Tables about people and visits, joined to recordings by the labels that both have.

mod archive;
mod sessions;

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use tables::{Cell, Missing, Table};

use crate::{
    entity::{BidsName, Entities, Entity, RECORDING},
    error::{Error, Result},
    recording::Recording,
    spelling::{form, label_from},
    value::Value,
};

pub(crate) use archive::described;
pub(crate) use sessions::Sessions;

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
    columns: Vec<(String, Vec<Option<Value>>)>,
    /// What a row is found by.
    keys: Vec<Entity>,
    /// The column that says each of them.
    said_by: Vec<(Entity, String)>,
    /// Rows by what they are found by; several may differ in an entity that is not among `keys`.
    rows: HashMap<Entities, Vec<usize>>,
    /// Everything that each row says of the recording it is about.
    about: Vec<Option<Entities>>,
    /// The pipeline names it; else it lies beside the scans.
    is_named: bool,
    /// Where the first row stands in the file.
    first_line: usize,
}

impl LabelTable {
    /// Reads a table with a column of subjects, and perhaps of sessions, tasks and runs, or with
    /// a column `bids_name` as MRIQC writes it. Rows of labels that no recording may have are left
    /// out.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let table = tables::read_with(path, &missing_words(path))?;
        let mut taken = Vec::new();
        let named = column_of(path, &table, "recording", &["bids_name"], false)?;
        for (entity, allowed) in ENTITY_COLUMNS {
            let usual = column_of(path, &table, entity.name(), allowed, false)?;
            if let Some(name) = usual.or_else(|| archive::column(&table, entity)) {
                taken.push((entity, name));
            }
        }
        if named.is_none() && !taken.iter().any(|(entity, _)| *entity == Entity::Subject) {
            let allowed = SUBJECT.iter().chain(&["bids_name"]).map(|&name| name.to_owned());
            let (path, role, allowed) = (path.to_path_buf(), "subject", allowed.collect());
            return Err(Error::NoColumn { path, role, allowed, settable: false });
        }
        let finer = finer_columns(&table);
        let about = |row: usize| {
            let cell = |name: &str| table.column(name).expect("it was found").cell(row);
            if let Some(name) = named {
                return match cell(name) {
                    Cell::Text(text) => Some(BidsName::parse(text)?.entities),
                    _ => None,
                };
            }
            let mut about =
                key_of(taken.iter().map(|(entity, name)| (*entity, *name, cell(name))))?;
            for (entity, name) in &finer {
                let label = label_of(cell(name), *entity);
                if let Some(label) = label.as_deref().and_then(label_from) {
                    about.add(*entity, &label);
                }
            }
            Some(about)
        };
        let about: Vec<Option<Entities>> = (0..table.n_rows()).map(about).collect();
        let keys = match named {
            Some(_) => RECORDING.to_vec(),
            None => taken.iter().map(|(entity, _)| *entity).collect(),
        };
        let mut rows: HashMap<Entities, Vec<usize>> = HashMap::new();
        for (row, about) in about.iter().enumerate() {
            if let Some(about) = about {
                rows.entry(about.key(&keys)).or_default().push(row);
            }
        }
        let is_key = |name: &str| {
            named == Some(name) || named.is_none() && taken.iter().any(|(_, key)| *key == name)
        };
        let columns = table.columns().iter().filter(|(name, _)| !is_key(name));
        let columns = columns.map(|(name, column)| (name.clone(), Value::of_column(column)));
        let columns = columns.collect();
        let said_by = match named {
            Some(name) => vec![(Entity::Subject, name.to_owned())],
            None => taken.iter().map(|(entity, name)| (*entity, (*name).to_owned())).collect(),
        };
        let (path, first_line) = (path.to_path_buf(), table.first_line());
        Ok(Self { path, columns, keys, said_by, rows, about, is_named: true, first_line })
    }

    /// The same table, that nobody named: it may be about others.
    pub(crate) fn unnamed(self) -> Self {
        Self { is_named: false, ..self }
    }

    /// Two rows about the same recording.
    fn same_row(&self, first: usize, second: usize) -> Error {
        let what = if self.keys.len() == 1 { "one subject" } else { "one recording" };
        let (first, second) = (first + self.first_line, second + self.first_line);
        Error::SameRow { path: self.path.clone(), first, second, what }
    }

    /// Refuses two rows of a table that the pipeline names, where nothing tells them apart.
    fn check_rows(&self) -> Result<()> {
        for rows in self.rows.values().filter(|rows| self.is_named && rows.len() > 1) {
            let mut seen = HashMap::new();
            for &row in rows {
                if let Some(first) = seen.insert(&self.about[row], row) {
                    return Err(self.same_row(first, row));
                }
            }
        }
        Ok(())
    }

    /// Adds to each recording what the table says of it; how many it is about, and the first two rows
    /// that are about one recording and contradict each other, with the columns in which they do. What
    /// they contradict each other in is missing.
    fn join(&self, recordings: &mut [Recording]) -> (usize, Option<Contradiction>) {
        let mut n = 0;
        let mut contradiction: Option<Contradiction> = None;
        for recording in recordings {
            let Some(rows) = self.rows.get(&recording.entities.key(&self.keys)) else { continue };
            n += 1;
            let rows = self.nearest(rows, &recording.entities);
            for (name, values) in &self.columns {
                let value = &values[rows[0]];
                match rows.iter().find(|row| values[**row] != *value) {
                    Some(&other) => {
                        recording.labels.remove(name);
                        let found = contradiction.get_or_insert_with(|| Contradiction {
                            rows: (rows[0], other),
                            columns: BTreeSet::new(),
                        });
                        found.columns.insert(name.clone());
                    }
                    None => {
                        if let Some(value) = value {
                            recording.labels.insert(name.clone(), value.clone());
                        }
                    }
                }
            }
        }
        (n, contradiction)
    }

    /// Of the rows that a recording is found by, those that agree with it in what else they say: its echo
    /// among the echoes. All, where none does.
    fn nearest(&self, rows: &[usize], recording: &Entities) -> Vec<usize> {
        let agrees = |row: &&usize| {
            let about = self.about[**row].as_ref().expect("only rows about somebody are kept");
            about
                .iter()
                .all(|(it, label)| self.keys.contains(&it) || recording.get(it) == Some(label))
        };
        let nearest: Vec<usize> = rows.iter().filter(agrees).copied().collect();
        if nearest.is_empty() { rows.to_vec() } else { nearest }
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
        Error::NoRow { path: self.path.clone(), n: self.about.len(), why }
    }
}

/// Rows that contradict each other.
struct Contradiction {
    rows: (usize, usize),
    columns: BTreeSet<String>,
}

/// Tables about the recordings of a cohort.
#[derive(Default)]
pub(crate) struct LabelTables {
    pub(crate) all: Vec<LabelTable>,
    /// Why a table that nobody named could not be read.
    pub(crate) problems: Vec<Error>,
}

impl LabelTables {
    /// Reads the tables that a pipeline names.
    pub(crate) fn named(paths: &[PathBuf], place: &dyn Fn(&Path) -> PathBuf) -> Result<Self> {
        let all = paths.iter().map(|path| LabelTable::read(&place(path))).collect::<Result<_>>()?;
        Ok(Self { all, problems: Vec::new() })
    }

    /// Joins all; a column may stand in one of those that are named only. A table that is about none of
    /// the recordings, contradicts itself or cannot be read is refused where the pipeline names it or
    /// asks for a column of it; otherwise that is a warning, which names nobody.
    pub(crate) fn join(
        mut self,
        recordings: &mut [Recording],
        asked: &BTreeSet<String>,
    ) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        self.all.iter().try_for_each(LabelTable::check_rows)?;
        for (position, table) in self.all.iter().enumerate() {
            for (column, _) in &table.columns {
                let has = |other: &&LabelTable| {
                    (other.is_named || table.is_named)
                        && other.columns.iter().any(|(name, _)| name == column)
                };
                if let Some(other) = self.all[..position].iter().find(has) {
                    let (first, second) = (other.path.clone(), table.path.clone());
                    return Err(Error::SameColumn { column: column.clone(), first, second });
                }
            }
            let is_needed =
                table.is_named || table.columns.iter().any(|(name, _)| asked.contains(name));
            warnings.extend(described(&table.path, table.first_line));
            let (n, contradiction) = table.join(recordings);
            if !recordings.is_empty() && n == 0 && is_needed {
                return Err(table.no_row(recordings));
            }
            if let Some(Contradiction { rows: (first, second), columns }) = contradiction {
                let error = table.same_row(first, second);
                if !columns.is_disjoint(asked) {
                    return Err(error);
                }
                let columns: Vec<String> = columns.into_iter().collect();
                warnings.push(format!("{error}: left out of its columns: {}", columns.join(", ")));
            }
        }
        let is_there = |column: &String| {
            recordings.iter().any(|recording| recording.labels.contains_key(column))
        };
        let unmet = asked.iter().any(|column| !is_there(column)) && !recordings.is_empty();
        if unmet && !self.problems.is_empty() {
            return Err(self.problems.remove(0));
        }
        let unread =
            self.problems.iter().map(|problem| format!("{problem}; no labels are read from it"));
        warnings.extend(unread);
        Ok(warnings)
    }
}

/// Columns that tell rows about one recording apart, where the usual ones do not: echo, direction, ….
fn finer_columns(table: &Table) -> Vec<(Entity, &str)> {
    let finer = RECORDING.into_iter().chain([Entity::Echo, Entity::Part, Entity::Space]);
    let finer = finer.filter(|entity| !ENTITY_COLUMNS.iter().any(|(usual, _)| usual == entity));
    let called = |entity: Entity| {
        let mut names = table.names();
        let is_it =
            |name: &&str| [entity.name(), entity.key()].contains(&name.to_lowercase().as_str());
        Some((entity, names.find(is_it)?))
    };
    finer.filter_map(called).collect()
}

/// What stands for no value in a table: its data dictionary lies beside it.
fn missing_words(path: &Path) -> Missing {
    let mut missing = Missing { bids: true, ..Missing::default() };
    let beside = [path.with_extension("json"), path.with_file_name("sessions.json")];
    let above = path.parent().and_then(Path::parent).map(|it| it.join("sessions.json"));
    let is_sessions = path.to_string_lossy().ends_with("_sessions.tsv");
    let dictionaries = beside.iter().take(if is_sessions { 2 } else { 1 });
    for dictionary in dictionaries.chain(above.iter().filter(|_| is_sessions)) {
        // one that cannot be read documents nothing
        let text = std::fs::read(dictionary).unwrap_or_default();
        let Ok(serde_json::Value::Object(columns)) = scan::parse_sidecar(&text) else { continue };
        for (column, entry) in columns {
            let levels = entry.get("Levels").and_then(serde_json::Value::as_object);
            let words = levels.into_iter().flat_map(|levels| levels.keys().cloned());
            missing.levels.entry(column).or_default().extend(words);
        }
    }
    missing
}

/// The entities of a row; none where one of them is not a label.
fn key_of<'a>(cells: impl Iterator<Item = (Entity, &'a str, Cell<'a>)>) -> Option<Entities> {
    let mut key = Entities::default();
    for (entity, name, cell) in cells {
        match label_of(cell, entity).map(|text| archive::label(name, text)) {
            Some(text) => key.add(entity, &label_from(&text)?),
            None if entity == Entity::Subject => return None,
            None => true,
        };
    }
    Some(key.key(&RECORDING))
}

#[cfg(test)]
mod tests;
