//! Names and coordinates of regions, in the tables that come with atlases: FSL and `FreeSurfer`
//! look-up tables, BIDS `dseg.tsv`, comma, semicolon, tab or blank separated, with a header or not;
//! and the XML of AAL and of FSL's atlases.

use std::path::Path;

use roxmltree::{Document, Node, ParsingOptions};

use super::{
    Parcel,
    listed::{Labelled, Listed, is_background},
};
use crate::{
    error::{Error, Result, brief},
    tables::text::cells,
};

/// The most bytes such a table may have.
const MAX_BYTES: u64 = 16 << 20;

/// Labels and names. Labels of the `background` name no region.
pub(super) fn read_names(
    path: &Path,
    parcels: &[Parcel],
    background: &[i32],
) -> Result<Vec<(i32, String)>> {
    let refuse = |problem: String| Error::Axes { path: path.to_path_buf(), problem };
    Listed::new("names", name_rows(path)?).of(parcels, background).map_err(refuse)
}

/// Label, whether it is the background, and name of each row.
fn name_rows(path: &Path) -> Result<Labelled<String>> {
    let text = text(path)?;
    let names = if text.starts_with('<') {
        let names =
            from_xml(&text).map_err(|problem| Error::Axes { path: path.to_path_buf(), problem })?;
        names.into_iter().map(|(label, name)| (Some(label), name)).collect()
    } else {
        named_rows(path, &rows(&text))?
    };
    let row = |(label, name): (Option<i32>, String)| (label, is_background(&name), name);
    Ok(names.into_iter().map(row).collect())
}

/// A name a row, with its label where the row has one.
fn named_rows(path: &Path, rows: &[Vec<String>]) -> Result<Vec<(Option<i32>, String)>> {
    let header = rows.first().filter(|row| row.iter().all(|cell| !is_number(cell)));
    let column = |wanted: &[&str]| {
        let is_wanted = |cell: &String| wanted.contains(&cell.to_lowercase().as_str());
        header.and_then(|row| row.iter().position(is_wanted))
    };
    let label_names = ["index", "label", "roi", "roi label", "value", "no."];
    // "label" is a number in one table and an abbreviation in the next
    let is_numbered = |column: &usize| {
        let cells = rows[1..].iter().map(|row| row.get(*column));
        cells.into_iter().all(|cell| cell.is_some_and(|cell| cell.parse::<i32>().is_ok()))
    };
    let label_column = label_names.iter().filter_map(|name| column(&[name])).find(is_numbered);
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
            None => row.iter().filter(|cell| !is_number(cell)).max_by_key(|c| c.len()),
        };
        let Some(name) = name else {
            return Err(bad_row(path, place + usize::from(has_header), "a label and a name"));
        };
        names.push((label, name.clone()));
    }
    // a header over a list of names alone, or over labels that it calls otherwise
    let n_labelled = names.iter().filter(|(label, _)| label.is_some()).count();
    let is_header = names.first().is_some_and(|(label, name)| {
        let is_list = n_labelled == 0 && name_names.contains(&name.to_lowercase().as_str());
        label.is_none() && (is_list || n_labelled + 1 == names.len())
    });
    if is_header && names.len() > 1 {
        names.remove(0);
    }
    Ok(names)
}

/// Labels and places in mm. Labels of the `background` place no region.
pub(super) fn read_coordinates(
    path: &Path,
    parcels: &[Parcel],
    background: &[i32],
) -> Result<Vec<(i32, [f64; 3])>> {
    let refuse = |problem: String| Error::Axes { path: path.to_path_buf(), problem };
    Listed::new("coordinates", place_rows(path)?).of(parcels, background).map_err(refuse)
}

/// Label, whether it is the background, and place of each row.
fn place_rows(path: &Path) -> Result<Labelled<[f64; 3]>> {
    let mut places = Vec::new();
    let mut is_labelled = None;
    for (index, row) in rows(&text(path)?).iter().enumerate() {
        let numbers: Vec<f64> = row.iter().filter_map(|cell| cell.parse().ok()).collect();
        if numbers.is_empty() && index == 0 {
            continue;
        }
        let is_background = row.iter().any(|cell| is_background(cell));
        // a row of three among labelled ones lacks a number
        let is_labelled = *is_labelled.get_or_insert(numbers.len() > 3);
        let label = match numbers.len() {
            3 if !is_labelled => Some(None),
            n if n > 3 && is_labelled && numbers[0].fract() == 0.0 => Some(Some(numbers[0] as i32)),
            _ => None,
        };
        let xyz: Option<[f64; 3]> =
            numbers.last_chunk().copied().filter(|xyz| xyz.iter().all(|x| x.is_finite()));
        let (Some(label), Some(xyz)) = (label, xyz) else {
            return Err(bad_row(path, index, "a label and three coordinates in mm"));
        };
        places.push((label, is_background, xyz));
    }
    Ok(places)
}

/// Where the regions of an atlas are, in mm and ascending by label, from the table that comes with it:
/// for series of `n_parcels` whose labels image is not at hand.
///
/// # Errors
/// Names the file where a row has no coordinates, or there are not as many as parcels.
pub fn read_places(path: &Path, n_parcels: usize) -> Result<Vec<[f64; 3]>> {
    let unnamed = |label: i32| Parcel { label, name: String::new(), centre_mm: None };
    let parcels: Vec<Parcel> = (1..=n_parcels as i32).map(unnamed).collect();
    let mut places = read_coordinates(path, &parcels, &[0])?;
    places.retain(|(label, _)| *label != 0);
    places.sort_by_key(|(label, _)| *label);
    if places.len() != n_parcels {
        let found = places.len();
        let problem = format!("holds coordinates of {found} parcels, expected {n_parcels}");
        return Err(Error::Axes { path: path.to_path_buf(), problem });
    }
    Ok(places.into_iter().map(|(_, place)| place).collect())
}

/// The regions of an atlas whose labels image is not at hand, ascending by label: as many as the table
/// of names has, or the one of coordinates.
///
/// # Errors
/// Names the file where a row has no name or no place, or the tables disagree.
pub fn read_parcels(names: Option<&Path>, coordinates: Option<&Path>) -> Result<Vec<Parcel>> {
    let parcel = |label: i32| Parcel { label, name: format!("label {label}"), centre_mm: None };
    let mut parcels = match (names, coordinates) {
        (Some(path), _) => Listed::new("names", name_rows(path)?).alone(path)?,
        (None, Some(path)) => Listed::new("coordinates", place_rows(path)?).alone(path)?,
        (None, None) => Vec::new(),
    };
    parcels.sort_unstable();
    let mut parcels: Vec<Parcel> = parcels.into_iter().map(parcel).collect();
    if let Some(path) = names {
        super::take_names(&mut parcels, path, &[0])?;
    }
    let n = parcels.len();
    if let Some(path) = coordinates {
        super::take_coordinates(&mut parcels, path, &[0])?;
        if parcels.len() != n {
            let found = parcels.len();
            let problem = format!(
                "places parcels that the names do not have: {found} together, expected {n}"
            );
            return Err(Error::Axes { path: path.to_path_buf(), problem });
        }
    }
    Ok(parcels)
}

fn bad_row(path: &Path, index: usize, expected: &str) -> Error {
    let problem = format!("expected {expected}");
    Error::Row { path: path.to_path_buf(), row: index + 1, problem }
}

/// The `<label>`s of an atlas: with `<index>` and `<name>` in them (AAL), or with an `index` before
/// their text (FSL). FSL's labels images of probabilistic atlases count from 1 where the XML counts
/// from 0.
fn from_xml(text: &str) -> std::result::Result<Vec<(i32, String)>, String> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: 1 << 20, ..Default::default() };
    let document =
        Document::parse_with_options(text, options).map_err(|e| brief(&e.to_string()))?;
    let elements = |name: &'static str| {
        document.descendants().filter(move |node| node.tag_name().name() == name)
    };
    let is_probabilistic = |node: Node| {
        node.text().is_some_and(|kind| kind.trim().to_lowercase().starts_with("probab"))
    };
    let first = i32::from(elements("type").any(is_probabilistic));
    let words = |node: Node| node.text().map(|text| text.trim().to_owned());
    let label = |node: Node| -> Option<(i32, String)> {
        if let Some(index) = node.attribute("index") {
            return Some((index.trim().parse::<i32>().ok()?.checked_add(first)?, words(node)?));
        }
        let child = |name| node.children().find(|node| node.tag_name().name() == name);
        Some((words(child("index")?)?.parse().ok()?, words(child("name")?)?))
    };
    let names: Option<Vec<_>> = elements("label").map(label).collect();
    match names {
        Some(names) if !names.is_empty() => Ok(names),
        _ => Err("expected <label> elements with an index and a name each".to_owned()),
    }
}

/// A file that must be short and must be text.
fn text(path: &Path) -> Result<String> {
    crate::pointer::refuse(path)?;
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    let found = std::fs::metadata(path).map_err(attach)?.len();
    if found > MAX_BYTES {
        return Err(Error::TooLarge {
            path: path.to_path_buf(),
            found: found.into(),
            limit: MAX_BYTES,
        });
    }
    let text = formats::read_text_up_to(path, MAX_BYTES).map_err(attach)?;
    Ok(text.trim_start_matches('\u{feff}').trim_start().to_owned())
}

/// Cells of the lines that are not empty and no comment.
fn rows(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    if let Some(rows) = named_before(&lines) {
        return rows;
    }
    let separator = ['\t', ';', ','].into_iter().find(|&c| lines.iter().any(|l| l.contains(c)));
    if let Some(separator) = separator {
        return lines.into_iter().map(|line| cells(line, separator)).collect();
    }
    let is_numbered = |line: &&str| line.split_whitespace().next().is_some_and(is_number);
    let has_header =
        lines.len() > 1 && !is_numbered(&lines[0]) && lines[1..].iter().all(is_numbered);
    let header = lines.iter().take(usize::from(has_header));
    let header = header.map(|line| line.split_whitespace().map(str::to_owned).collect());
    let body = lines.iter().skip(usize::from(has_header)).map(|line| blank_separated(line));
    header.chain(body).collect()
}

/// What Connectome Workbench reads and Schaefer's atlas comes with: a name on one line, its label and
/// the four numbers of its colour on the next.
fn named_before(lines: &[&str]) -> Option<Vec<Vec<String>>> {
    let (pairs, []) = lines.as_chunks::<2>() else { return None };
    let row = |[name, label]: &[&str; 2]| {
        let numbers: Vec<&str> = label.split_whitespace().collect();
        let is_colour = numbers.len() == 5 && numbers.iter().all(|word| is_number(word));
        is_colour.then(|| vec![numbers[0].to_owned(), (*name).to_owned()])
    };
    pairs.iter().map(row).collect()
}

/// A label, a name of one word or more, and the three or four numbers of a colour or a place; or a
/// name and a label.
fn blank_separated(line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let before = words.iter().take_while(|word| is_number(word)).count();
    let after = words[before..].iter().rev().take_while(|word| is_number(word)).count();
    let after = if after < 3 { after.min(usize::from(before == 0)) } else { after.min(4) };
    let (head, tail) = words.split_at(words.len() - after);
    let (head, name) = head.split_at(before);
    let owned = |word: &&str| (*word).to_owned();
    let name = name.join(" ").trim_matches('"').to_owned();
    let name = (!name.is_empty()).then_some(name);
    head.iter().map(owned).chain(name).chain(tail.iter().map(owned)).collect()
}

fn is_number(word: &str) -> bool {
    word.parse::<f64>().is_ok()
}
