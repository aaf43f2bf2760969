//! Numbers in lines: `.dat`, `.tsv`, `.csv`, `.1D`.

use std::path::Path;

use ndarray::Array2;

use crate::error::{Error, Result};

/// A matrix, and the names of its columns where the first line holds them.
pub(crate) fn read(path: &Path, limit: u64) -> Result<(Array2<f64>, Option<Vec<String>>)> {
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    let found = std::fs::metadata(path).map_err(attach)?.len();
    if found > limit {
        return Err(Error::TooLarge { path: path.to_path_buf(), found: found.into(), limit });
    }
    let bytes = std::fs::read(path).map_err(attach)?;
    let bad = |row: usize, problem: String| Error::Row { path: path.to_path_buf(), row, problem };
    let text = String::from_utf8(bytes).map_err(|_| bad(1, "it is no text".to_owned()))?;
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let lines: Vec<(usize, &str)> = lines
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let Some((_, first)) = lines.first() else {
        return Err(bad(1, "it holds no numbers".to_owned()));
    };
    let separator = ['\t', ';', ','].into_iter().find(|&c| first.contains(c));
    let cells = |line: &'_ str| -> Vec<String> {
        let cell = |cell: &str| cell.trim().trim_matches('"').to_owned();
        match separator {
            Some(separator) => line.split(separator).map(cell).collect(),
            None => line.split_whitespace().map(cell).collect(),
        }
    };
    let head = cells(first);
    let names = head.iter().any(|cell| number(cell).is_none()).then_some(head);
    let mut values = Vec::new();
    let body = &lines[usize::from(names.is_some())..];
    let mut n_columns = names.as_ref().map(Vec::len);
    for (row, line) in body {
        let cells = cells(line);
        let expected = *n_columns.get_or_insert(cells.len());
        if cells.len() != expected {
            return Err(bad(*row, format!("holds {} numbers, expected {expected}", cells.len())));
        }
        for cell in &cells {
            let value = number(cell);
            values.push(value.ok_or_else(|| bad(*row, format!("{cell:?} is no number")))?);
        }
    }
    if body.is_empty() {
        return Err(bad(1, "it holds no numbers".to_owned()));
    }
    let shape = (body.len(), n_columns.unwrap_or(0));
    Ok((Array2::from_shape_vec(shape, values).expect("every row was counted"), names))
}

/// A number; a value that is not there is NaN.
fn number(cell: &str) -> Option<f64> {
    match cell {
        "" | "n/a" | "NA" => Some(f64::NAN),
        cell => cell.parse().ok(),
    }
}
