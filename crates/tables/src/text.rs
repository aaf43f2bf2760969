//! CSV and TSV.
//!
//! The `csv` crate and not polars: it says in which row a file breaks.

mod described;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use csv::{ByteRecord, ErrorKind, ReaderBuilder, WriterBuilder};

use crate::{
    error::{Error, Result},
    table::{Cell, Column, Table, first_twice},
};

/// What stands for no value in tables of pandas, R and BIDS; the first two in all of them.
const MISSING: [&str; 10] = ["", "n/a", "N/A", "NA", "NaN", "nan", "NULL", "null", "None", "#N/A"];

/// Whether a cell stands for no value in tables of pandas, R or BIDS.
pub fn is_missing(cell: &str) -> bool {
    MISSING.contains(&cell)
}

/// Which words of a text table stand for no value. An empty cell and `n/a` always do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// A table of BIDS: in columns of words only `n/a` is missing; in columns of numbers, or of true and
    /// false, the words of other programs are too. Only tables with tabs are of BIDS.
    pub bids: bool,
    /// Levels of columns that a data dictionary documents: they are values, whatever they are called.
    pub levels: BTreeMap<String, BTreeSet<String>>,
}

impl Missing {
    /// The cells of a column without the words that stand for no value in it.
    fn taken_out(
        &self,
        name: &str,
        cells: Vec<Option<String>>,
        is_bids: bool,
    ) -> Vec<Option<String>> {
        let levels = self.levels.get(name);
        let is_word = |cell: &str| {
            let cell = cell.trim();
            is_missing(cell) && !levels.is_some_and(|levels| levels.contains(cell))
        };
        let values =
            || cells.iter().flatten().filter(|cell| !is_word(cell)).map(|cell| cell.trim());
        let are_words = !values().all(is_numeric) && !values().all(|it| flag(it).is_some())
            || values().next().is_none();
        if is_bids && are_words {
            return cells;
        }
        cells.into_iter().map(|cell| cell.filter(|cell| !is_word(cell))).collect()
    }
}

/// A number, or one that is known from below as in `89+`.
fn is_numeric(cell: &str) -> bool {
    number(cell.strip_suffix('+').unwrap_or(cell)).is_some()
}

/// What lies between two cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// `.csv`; a missing value is an empty cell.
    Comma,
    /// `.tsv`; a missing value is `n/a`, as in BIDS.
    Tab,
}

pub(crate) fn read(path: &Path, bytes: &[u8], missing: &Missing) -> Result<Table> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let refuse = |problem| Err(Error::Text { path: path.to_path_buf(), problem });
    // The parser would take the rest of the file as one cell.
    if bytes.iter().fold(false, |open, &b| open != (b == b'"')) {
        return refuse("a quotation mark is not closed");
    }
    let separator = separator_of(bytes);
    let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(bytes);
    let headers = reader.headers().map_err(|e| row_error(path, 1, &e))?;
    let names: Vec<String> = headers.iter().enumerate().map(named).collect();
    if names.is_empty() {
        return refuse("it has no line of names");
    }
    let twice = |position: &usize| names[..*position].contains(&names[*position]);
    if let Some(position) = (0..names.len()).find(twice) {
        let name = names[position].clone();
        return Err(Error::DoubleColumn { path: path.to_path_buf(), name });
    }
    let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
    let mut record = ByteRecord::new();
    for row in 2.. {
        if !reader.read_byte_record(&mut record).map_err(|e| row_error(path, row, &e))? {
            break;
        }
        for (position, (cell, column)) in record.iter().zip(&mut columns).enumerate() {
            let Ok(cell) = std::str::from_utf8(cell) else {
                let problem = format!("column {} is not UTF-8", names[position]);
                return Err(Error::Row { path: path.to_path_buf(), row, problem });
            };
            column.push((!MISSING[..2].contains(&cell.trim())).then(|| cell.to_owned()));
        }
    }
    let is_described = described::is_description(&names, &columns)
        .map_err(|problem| Error::Row { path: path.to_path_buf(), row: 2, problem })?;
    if is_described {
        columns.iter_mut().for_each(|cells| drop(cells.remove(0)));
    }
    let is_bids = missing.bids && separator == b'\t';
    let columns = names.into_iter().zip(columns).map(|(name, cells)| {
        let cells = missing.taken_out(&name, cells, is_bids);
        (name, typed(cells))
    });
    let table = Table::new(columns).expect("names and lengths were checked");
    Ok(if is_described { table.below_descriptions() } else { table })
}

/// The name of a column; pandas leaves that of its row numbers empty.
fn named((position, name): (usize, &str)) -> String {
    match name.trim() {
        "" => format!("column {}", position + 1),
        name => name.replace(char::is_control, " "),
    }
}

/// What most often lies between the names, outside quotation marks.
fn separator_of(bytes: &[u8]) -> u8 {
    let line = bytes.split(|b| *b == b'\n' || *b == b'\r').next().unwrap_or_default();
    let mut quoted = false;
    let bare = line.iter().filter(|b| {
        quoted ^= **b == b'"';
        !quoted
    });
    let mut counts = [(b'\t', 0), (b',', 0), (b';', 0)];
    for byte in bare {
        counts.iter_mut().filter(|(it, _)| it == byte).for_each(|(_, n)| *n += 1);
    }
    let [tab, comma, semicolon] = counts;
    match (tab.1, comma.1, semicolon.1) {
        (1.., _, _) => b'\t',
        (_, commas, semicolons) if semicolons > commas => b';',
        _ => b',',
    }
}

/// The narrowest kind that holds every cell.
fn typed(cells: Vec<Option<String>>) -> Column {
    let all = |fits: fn(&str) -> bool| cells.iter().flatten().all(|cell| fits(cell.trim()));
    let nothing = cells.iter().all(Option::is_none);
    let parsed = |cell: &Option<String>| cell.as_ref().map(|cell| cell.trim().to_owned());
    if nothing {
        Column::Text(cells)
    } else if all(|cell| integer(cell).is_some()) {
        Column::Integer(cells.iter().map(|cell| integer(&parsed(cell)?)).collect())
    } else if all(|cell| number(cell).is_some()) {
        Column::Number(cells.iter().map(|cell| number(&parsed(cell)?)).collect())
    } else if all(|cell| flag(cell).is_some()) {
        Column::Flag(cells.iter().map(|cell| flag(&parsed(cell)?)).collect())
    } else {
        Column::Text(cells)
    }
}

/// Only as it would be written again: `007` is a label.
fn integer(cell: &str) -> Option<i64> {
    cell.parse::<i64>().ok().filter(|number| number.to_string() == cell)
}

fn number(cell: &str) -> Option<f64> {
    let digits = cell.trim_start_matches(['+', '-']);
    let is_label =
        digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    let infinite = matches!(digits, "inf" | "Inf" | "Infinity" | "infinity");
    let plain = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    (!is_label && (plain || infinite)).then(|| cell.parse().ok()).flatten()
}

fn flag(cell: &str) -> Option<bool> {
    match cell {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn row_error(path: &Path, row: usize, error: &csv::Error) -> Error {
    let problem = match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} cells, expected {expected_len} as in the line of names")
        }
        ErrorKind::Utf8 { err, .. } => format!("cell {} is not UTF-8", err.field() + 1),
        _ => error.to_string(),
    };
    Error::Row { path: path.to_path_buf(), row, problem }
}

impl Table {
    /// The table as text; a [`Column::Vector`] becomes one column a position, `name_0`, `name_1`, ….
    ///
    /// Numbers are written so that they are read as the same numbers. Text that looks like another
    /// kind in every row is read back as that kind: only Parquet keeps kinds.
    pub fn to_text(&self, separator: Separator) -> Result<Vec<u8>> {
        let (delimiter, missing) = match separator {
            Separator::Comma => (b',', ""),
            Separator::Tab => (b'\t', "n/a"),
        };
        let mut names = Vec::new();
        for (name, column) in self.columns() {
            match column {
                Column::Vector { width, .. } => {
                    names.extend((0..*width).map(|position| format!("{name}_{position}")));
                }
                Column::Opaque { kind, .. } => {
                    return Err(Error::Opaque { name: name.clone(), kind: kind.clone() });
                }
                _ => names.push(name.clone()),
            }
        }
        if let Some(name) = first_twice(names.iter().map(String::as_str)) {
            return Err(Error::SameName { name: name.to_owned() });
        }
        let mut writer = WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
        let kept = "bytes in memory take everything";
        writer.write_record(&names).expect(kept);
        for row in 0..self.n_rows() {
            let mut cells = Vec::with_capacity(names.len());
            for (_, column) in self.columns() {
                match column.cell(row) {
                    Cell::Vector(values) => cells.extend(values.iter().map(f32::to_string)),
                    cell => cells.push(cell.in_words(missing)),
                }
            }
            writer.write_record(&cells).expect(kept);
        }
        Ok(writer.into_inner().expect(kept))
    }
}

impl Cell<'_> {
    fn in_words(self, missing: &str) -> String {
        match self {
            Self::Missing | Self::Opaque | Self::Vector(_) => missing.to_owned(),
            Self::Text(text) => text.to_owned(),
            Self::Integer(number) => number.to_string(),
            // A point keeps a number apart from a whole number.
            Self::Number(number) => format!("{number:?}"),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
