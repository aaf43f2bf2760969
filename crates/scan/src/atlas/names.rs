//! Names and coordinates of regions, in the tables that come with atlases: FSL and `FreeSurfer`
//! look-up tables, BIDS `dseg.tsv`, comma, semicolon, tab or blank separated, with a header or not;
//! the XML of FSL and of AAL.

use std::path::Path;

use super::Parcel;
use crate::error::{Error, Result};

/// Labels and names.
pub(super) fn read_names(path: &Path, parcels: &[Parcel]) -> Result<Vec<(i32, String)>> {
    let text = text(path)?;
    if text.trim_start().starts_with('<') {
        return names_in_xml(path, &text);
    }
    let rows = rows(&text);
    let header = rows.first().filter(|row| row.iter().all(|cell| cell.parse::<f64>().is_err()));
    let column = |wanted: &[&str]| {
        let is_wanted = |cell: &String| wanted.contains(&cell.to_lowercase().as_str());
        header.and_then(|row| row.iter().position(is_wanted))
    };
    let label_names = ["index", "label", "roi", "roi label", "value", "no."];
    // "label" is a number in one table and an abbreviation in the next
    let is_number = |column: &usize| {
        let cells = rows[1..].iter().map(|row| row.get(*column));
        cells.into_iter().all(|cell| cell.is_some_and(|cell| cell.parse::<i32>().is_ok()))
    };
    let label_column = label_names.iter().filter_map(|name| column(&[name])).find(is_number);
    let name_names = ["name", "roi name", "labels", "region", "regions", "label"];
    let name_column = name_names
        .iter()
        .filter_map(|name| column(&[name]))
        .find(|column| Some(*column) != label_column);
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
    for (index, row) in rows(&text(path)?).iter().enumerate() {
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

/// `<label index="0">name</label>` counts from 0 and its image from 1 (FSL's maximum probability
/// maps); `<label><index>2001</index><name>…</name></label>` is the value in the image (AAL).
fn names_in_xml(path: &Path, text: &str) -> Result<Vec<(i32, String)>> {
    let damaged = |row: usize| {
        let (path, problem) = (path.to_path_buf(), "is damaged XML".to_owned());
        Error::Row { path, row, problem }
    };
    let document = roxmltree::Document::parse(text).map_err(|e| damaged(e.pos().row as usize))?;
    let labels = document.descendants().filter(|node| node.has_tag_name("label"));
    let names = labels.enumerate().map(|(position, node)| {
        let child = |name| {
            let child = node.children().find(|child| child.has_tag_name(name))?;
            child.text().map(str::trim)
        };
        let from_zero = node.attribute("index").and_then(|index| index.trim().parse::<i32>().ok());
        let label = from_zero.map(|index| index.saturating_add(1));
        let label = label.or_else(|| child("index")?.parse().ok());
        let name = child("name").or_else(|| node.text().map(str::trim));
        match (label, name.filter(|name| !name.is_empty())) {
            (Some(label), Some(name)) => Ok((label, name.to_owned())),
            _ => {
                let problem = format!("its label {} lacks an index or a name", position + 1);
                Err(Error::Axes { path: path.to_path_buf(), problem })
            }
        }
    });
    names.collect()
}

fn text(path: &Path) -> Result<String> {
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    std::fs::read_to_string(path).map_err(attach)
}

/// Cells of the lines that are not empty and no comment.
fn rows(text: &str) -> Vec<Vec<String>> {
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
    lines.into_iter().map(cells).collect()
}
