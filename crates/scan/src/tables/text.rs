//! Numbers in lines: `.dat`, `.tsv`, `.csv`, `.1D`.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use ndarray::{Array2, Axis, s};

use super::header::{distinct_labels, labels};
use crate::error::{Error, Result, brief};

/// The numbers of a text, and what its first line says of the columns.
pub(crate) struct Text {
    pub(crate) values: Array2<f64>,
    pub(crate) head: Head,
    /// The second line describes the columns that the first one names, and was left out.
    pub(crate) is_described: bool,
}

/// What the first line of a table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Numbers like all others.
    None,
    /// Names of the columns.
    Names(Vec<String>),
    /// Numbers of the columns.
    Labels(Vec<i32>),
}

const NUMBERED_ROWS: &str = "its first column has no name: row numbers are no series, leave them out \
                             (`index=False` in pandas)";

/// A matrix, and the names or labels of its columns where the first line holds them. `n_parcels`
/// tells a header from a frame where nothing else does.
pub(crate) fn read(path: &Path, limit: u64, n_parcels: Option<usize>) -> Result<Text> {
    let (mut values, head, is_described) = read_lines(path, limit)?;
    let bad = |problem: String| Error::Row { path: path.to_path_buf(), row: 1, problem };
    if head != Head::None {
        return Ok(Text { values, head, is_described });
    }
    if is_row_numbers(&values) {
        return Err(bad(NUMBERED_ROWS.to_owned()));
    }
    let head = match labels(&values, n_parcels).map_err(bad)? {
        None => Head::None,
        Some(labels) => {
            values.remove_index(Axis(0), 0);
            Head::Labels(labels)
        }
    };
    Ok(Text { values, head, is_described })
}

/// Whether labels stand over all columns but the first, and that one counts the rows.
fn is_row_numbers(values: &Array2<f64>) -> bool {
    let (n_rows, n_columns) = values.dim();
    let first = values[[0, 0]];
    let counted = values.slice(s![1.., 0]);
    n_rows > 2
        && n_columns > 1
        && first.is_nan()
        && distinct_labels(values.slice(s![0, 1..])).is_some()
        && counted[0] <= 1.0
        && counted.windows(2).into_iter().all(|pair| pair[1] - pair[0] == 1.0)
}

/// The numbers of every line, what the first line or a comment before it says of the columns, and whether the
/// second line describes them.
fn read_lines(path: &Path, limit: u64) -> Result<(Array2<f64>, Head, bool)> {
    crate::pointer::refuse(path)?;
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    let found = std::fs::metadata(path).map_err(attach)?.len();
    if found > limit {
        return Err(Error::TooLarge { path: path.to_path_buf(), found: found.into(), limit });
    }
    let bytes = formats::read_up_to(path, limit).map_err(attach)?;
    let bad = |row: usize, problem: String| Error::Row { path: path.to_path_buf(), row, problem };
    let text = String::from_utf8(bytes).map_err(|_| bad(1, "it is no text".to_owned()))?;
    let text = text.trim_start_matches('\u{feff}');
    let lines = || {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    };
    let Some((_, first)) = lines().next() else {
        return Err(bad(1, "it holds no numbers".to_owned()));
    };
    let separator = ['\t', ';', ','].into_iter().find(|&c| first.trim().contains(c));
    let cells = |line: &str| match separator {
        Some(separator) => cells(line, separator),
        None => line.split_whitespace().map(|cell| cell.trim_matches('"').to_owned()).collect(),
    };
    let head = cells(first.trim_end());
    // what pandas writes before the numbers: the places of its columns, in place of names
    let counts = |cells: &[String]| {
        let counts = cells.len() > 2 && separator.is_some();
        counts && cells.iter().enumerate().all(|(at, cell)| *cell == at.to_string())
    };
    let is_numbered = head[0].is_empty() && counts(&head[1..]);
    let is_named = is_numbered || counts(&head) || head.iter().any(|cell| number(cell).is_none());
    if is_named && head.first().is_some_and(String::is_empty) {
        return Err(bad(1, NUMBERED_ROWS.to_owned()));
    }
    let names = is_named.then_some(head);
    let second = lines().nth(1).map(|(_, line)| cells(line.trim_end()));
    let is_described =
        names.as_ref().zip(second).is_some_and(|(names, second)| describes(&second, names.len()));
    let body = || lines().skip(usize::from(names.is_some()) + usize::from(is_described));
    let n_rows = body().count();
    let mut n_columns = names.as_ref().map(Vec::len);
    let mut values = Vec::new();
    for (row, line) in body() {
        let trimmed = cells(line.trim());
        let expected = *n_columns.get_or_insert(trimmed.len());
        // tabs at an end are cells without a value where the row lacks some
        let cells = if trimmed.len() < expected { cells(line) } else { trimmed };
        if cells.len() != expected {
            return Err(bad(row, format!("holds {} numbers, expected {expected}", cells.len())));
        }
        if values.is_empty() {
            // A number has a byte at least, if only the one that divides it from the next.
            values.reserve_exact(n_rows.saturating_mul(expected).min(text.len() + 1));
        }
        for cell in &cells {
            let value = number(cell);
            values
                .push(value.ok_or_else(|| bad(row, format!("{:?} is not a number", brief(cell))))?);
        }
    }
    if n_rows == 0 {
        return Err(bad(1, "it holds no numbers".to_owned()));
    }
    let shape = (n_rows, n_columns.unwrap_or(0));
    let comments =
        text.lines().map(str::trim).take_while(|line| line.is_empty() || line.starts_with('#'));
    let head = match names {
        Some(names) => Head::Names(names),
        None => commented(comments, separator, shape.1),
    };
    let values = Array2::from_shape_vec(shape, values).expect("every row was counted");
    Ok((values, head, is_described))
}

/// Whether the cells of a second line describe the columns, as in tables of the NIMH Data Archive: none is a
/// number or lacks one, and some are several words.
fn describes(cells: &[String], n_columns: usize) -> bool {
    let has_blank = |cell: &String| cell.contains(char::is_whitespace);
    cells.len() == n_columns
        && cells.iter().all(|cell| number(cell).is_none())
        && cells.iter().any(has_blank)
}

/// What AFNI's `3dROIstats` puts before the names of regions.
const STATISTICS: [&str; 2] = ["Mean_", "NZMean_"];

/// What the last comment before the numbers says of the columns, if it has a word for each:
/// `#Mean_1,Mean_2`, as AFNI and C-PAC write it. Words that blanks divide are names only where AFNI's
/// statistic stands before each, and are prose otherwise.
fn commented<'a>(
    comments: impl Iterator<Item = &'a str>,
    separator: Option<char>,
    n_columns: usize,
) -> Head {
    let Some(line) = comments.filter(|line| !line.is_empty()).last() else { return Head::None };
    let line = line.trim_start_matches('#').trim();
    let words = match separator {
        Some(separator) => cells(line, separator),
        None => line.split_whitespace().map(str::to_owned).collect(),
    };
    let is_word = |word: &String| {
        !word.is_empty() && number(word).is_none() && !word.contains(char::is_whitespace)
    };
    let statistic = STATISTICS.into_iter().find(|it| words.iter().all(|word| word.starts_with(it)));
    let is_head = words.len() == n_columns && n_columns > 1 && words.iter().all(is_word);
    if !is_head || (separator.is_none() && statistic.is_none()) {
        return Head::None;
    }
    let bare = |word: String| match statistic.and_then(|it| word.strip_prefix(it)) {
        Some(bare) if !bare.is_empty() => bare.to_owned(),
        _ => word,
    };
    let words: Vec<String> = words.into_iter().map(bare).collect();
    let numbers: Option<Vec<f64>> = words.iter().map(|word| word.parse().ok()).collect();
    let labels = numbers.and_then(|numbers| distinct_labels(ndarray::ArrayView1::from(&numbers)));
    labels.map_or(Head::Names(words), Head::Labels)
}

/// The cells of one line of a table; one may be in quotes, and what divides cells in it.
pub(crate) fn cells(line: &str, separator: char) -> Vec<String> {
    let bare = |cell: &str| cell.trim().trim_matches('"').to_owned();
    if !line.contains('"') {
        return line.split(separator).map(bare).collect();
    }
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).delimiter(separator as u8).trim(csv::Trim::All);
    let mut records = reader.from_reader(line.as_bytes()).into_records();
    let record = records.next().and_then(std::result::Result::ok).unwrap_or_default();
    record.iter().map(bare).collect()
}

/// As many numbers as a text can hold, or more.
pub(crate) fn n_numbers(path: &Path) -> Result<u64> {
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    let mut reader = BufReader::new(File::open(path).map_err(attach)?);
    let mut n = 1;
    loop {
        let bytes = reader.fill_buf().map_err(attach)?;
        let n_bytes = bytes.len();
        if n_bytes == 0 {
            return Ok(n);
        }
        n += bytes.iter().filter(|byte| b"\t;, \n".contains(byte)).count() as u64;
        reader.consume(n_bytes);
    }
}

/// A number; a value that is not there is NaN.
fn number(cell: &str) -> Option<f64> {
    match cell {
        "" | "n/a" | "NA" => Some(f64::NAN),
        cell => cell.parse().ok(),
    }
}
