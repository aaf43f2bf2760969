//! Names and coordinates of regions, in the tables that come with atlases: FSL and `FreeSurfer`
//! look-up tables, BIDS `dseg.tsv`, comma, semicolon, tab or blank separated, with a header or not.

use std::path::Path;

use super::Parcel;
use crate::error::{Error, Result};

/// Labels and names.
pub(super) fn read_names(path: &Path, parcels: &[Parcel]) -> Result<Vec<(i32, String)>> {
    let rows = rows(path)?;
    let header = rows.first().filter(|row| row.iter().all(|cell| cell.parse::<f64>().is_err()));
    let column = |wanted: &[&str]| {
        let is_wanted = |cell: &String| wanted.contains(&cell.to_lowercase().as_str());
        header.and_then(|row| row.iter().position(is_wanted))
    };
    let label_column = column(&["index", "label", "roi", "roi label", "value", "no."]);
    let name_column = column(&["name", "roi name", "labels", "region"]);
    let has_header = label_column.is_some() && name_column.is_some();
    let body = &rows[usize::from(has_header)..];
    let mut names = Vec::new();
    for (place, row) in body.iter().enumerate() {
        let label = match label_column.filter(|_| has_header) {
            Some(column) => row.get(column).and_then(|cell| cell.parse().ok()),
            None => row.iter().find_map(|cell| cell.parse().ok()),
        };
        let name = match name_column.filter(|_| has_header) {
            Some(column) => row.get(column),
            // A short name often stands beside the long one.
            None => row.iter().filter(|cell| cell.parse::<f64>().is_err()).max_by_key(|c| c.len()),
        };
        let label = label.or_else(|| parcels.get(place).map(|parcel| parcel.label));
        match (label, name) {
            (Some(0), _) => {}
            (Some(label), Some(name)) => names.push((label, name.clone())),
            _ => return Err(bad_row(path, place + usize::from(has_header), "a label and a name")),
        }
    }
    Ok(names)
}

/// Labels and places in mm.
pub(super) fn read_coordinates(path: &Path, parcels: &[Parcel]) -> Result<Vec<(i32, [f64; 3])>> {
    let mut places = Vec::new();
    for (index, row) in rows(path)?.iter().enumerate() {
        let numbers: Vec<f64> = row.iter().filter_map(|cell| cell.parse().ok()).collect();
        let label = match numbers.len() {
            0 if index == 0 => continue,
            3 => parcels.get(places.len()).map(|parcel| parcel.label),
            n if n > 3 && numbers[0].fract() == 0.0 => Some(numbers[0] as i32),
            _ => None,
        };
        let xyz: Option<[f64; 3]> =
            numbers.last_chunk().copied().filter(|xyz| xyz.iter().all(|x| x.is_finite()));
        let (Some(label), Some(xyz)) = (label, xyz) else {
            return Err(bad_row(path, index, "a label and three coordinates in mm"));
        };
        places.push((label, xyz));
    }
    Ok(places)
}

fn bad_row(path: &Path, index: usize, expected: &str) -> Error {
    let problem = format!("expected {expected}");
    Error::Row { path: path.to_path_buf(), row: index + 1, problem }
}

/// Cells of the lines that are not empty and no comment.
fn rows(path: &Path) -> Result<Vec<Vec<String>>> {
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    let text = std::fs::read_to_string(path).map_err(attach)?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let separator = ['\t', ';', ','].into_iter().find(|&c| lines.iter().any(|l| l.contains(c)));
    let cells = |line: &str| -> Vec<String> {
        let trimmed = |cell: &str| cell.trim().trim_matches('"').to_owned();
        match separator {
            Some(separator) => line.split(separator).map(trimmed).collect(),
            None => line.split_whitespace().map(trimmed).collect(),
        }
    };
    Ok(lines.into_iter().map(cells).collect())
}
