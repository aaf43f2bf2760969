//! The table of windows and reports, in any form of a table.
use std::path::Path;

use scan::PairsTable;
use serde_json::{Map, Value};
use tables::Cell;

use crate::{Error, Result};

/// Reads CSV, TSV, JSON lines or Parquet, which may have `further` columns; the content decides, not the name.
pub(super) fn read(path: &Path, further: &[&str]) -> Result<PairsTable> {
    if is_json(path) {
        return of_json(path, further);
    }
    if !is_parquet(path) {
        return Ok(scan::read_pairs_with(path, further)?);
    }
    let table = tables::read(path)?;
    let names: Vec<String> = table.names().map(str::to_owned).collect();
    let cells = |row: usize| {
        let cells = table.columns().iter().map(|(_, column)| in_words(column.cell(row)));
        cells.collect::<Vec<String>>()
    };
    let rows = (0..table.n_rows()).map(|row| (row + 2, cells(row)));
    Ok(PairsTable::of_rows(path, &names, further, rows)?)
}

/// A table of a JSON object a line, whose keys are the columns; a line is a row.
fn of_json(path: &Path, further: &[&str]) -> Result<PairsTable> {
    let text = files::read_table(path)?;
    let lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
    let mut rows: Vec<(usize, Map<String, Value>)> = Vec::new();
    for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
        let object = serde_json::from_str(line).map_err(|error| {
            let problem = format!("{error}, expected a JSON object with a value for each column");
            Error::RowProblem { path: path.to_owned(), row: number, problem }
        })?;
        rows.push((number, object));
    }
    let mut names: Vec<String> = Vec::new();
    for name in rows.iter().flat_map(|(_, object)| object.keys()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let mut cells = Vec::with_capacity(rows.len());
    for (number, object) in rows {
        let cell = |name: &String| match object.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Null) | None => Ok(String::new()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
            Some(_) => {
                let problem = format!("{name} is a list or an object, expected a text or a number");
                Err(Error::RowProblem { path: path.to_owned(), row: number, problem })
            }
        };
        cells.push((number, names.iter().map(cell).collect::<Result<Vec<_>>>()?));
    }
    Ok(PairsTable::of_rows(path, &names, further, cells.into_iter())?)
}

fn is_json(path: &Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; 64];
    let n = std::fs::File::open(path).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    let start = start[..n].strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start[..n]);
    start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn is_parquet(path: &Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; 4];
    let file = std::fs::File::open(path);
    file.is_ok_and(|mut file| file.read_exact(&mut start).is_ok()) && start == *b"PAR1"
}

/// A cell as a table of text would have it; a list of numbers has no words.
fn in_words(cell: Cell<'_>) -> String {
    match cell {
        Cell::Text(text) => text.to_owned(),
        Cell::Integer(number) => number.to_string(),
        Cell::Number(number) => number.to_string(),
        Cell::Flag(flag) => flag.to_string(),
        Cell::Missing | Cell::Vector(_) | Cell::Opaque => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tables::{Column, Table};

    use super::read;

    #[test]
    fn the_same_pairs_are_read_from_csv_tsv_and_parquet() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("scan.nii"), "").unwrap();
        let text = |cells: [&str; 2]| Column::Text(cells.map(|it| Some(it.to_owned())).to_vec());
        let table = Table::new([
            ("subject", Column::Integer(vec![Some(1), Some(12)])),
            ("session", text(["a", "b+1"])),
            ("scan", text(["scan.nii", "scan.nii"])),
            ("onset", Column::Number(vec![Some(2.5), Some(10.0)])),
            ("duration", Column::Integer(vec![Some(4), Some(4)])),
            ("report", text(["Findings: none.", "Two words, and more.\nA line."])),
            ("split", text(["train", "test"])),
        ])
        .unwrap();
        // the content decides, not the name
        let forms = [
            ("a.csv", table.to_text(tables::Separator::Comma).unwrap()),
            ("b.csv", table.to_text(tables::Separator::Tab).unwrap()),
            ("c.csv", table.to_parquet().unwrap()),
        ];
        let all = forms.map(|(name, bytes)| {
            fs::write(at(name), bytes).unwrap();
            read(&at(name), &[]).unwrap().pairs
        });
        let lines = [
            r#"{"subject": 1, "session": "a", "scan": "scan.nii", "onset": 2.5, "duration": 4,"#,
            r#" "report": "Findings: none.", "split": "train"}"#,
            "\n\n",
            r#"{"split": "test", "subject": "12", "session": "b+1", "scan": "scan.nii", "onset": 10,"#,
            r#" "duration": 4.0, "report": "Two words, and more.\nA line."}"#,
        ];
        fs::write(at("d.csv"), lines.concat()).unwrap();
        let mut json = read(&at("d.csv"), &[]).unwrap().pairs;
        // rows are the lines of the file
        assert_eq!((json[0].row, json[1].row), (1, 3));
        (json[0].row, json[1].row) = (2, 3);
        let mut all: Vec<_> = all.into_iter().chain([json]).collect();
        assert_eq!(all[0].len(), 2);
        assert_eq!((all[0][1].subject.as_str(), all[0][1].session.as_str()), ("12", "b+1"));
        assert_eq!((all[0][0].onset, all[0][1].duration), (2.5, 4.0));
        let first = all[0].clone();
        assert!(all.iter_mut().all(|pairs| *pairs == first));
        for (line, expected) in [
            (r#"{"subject": [1]}"#, "row 1: subject is a list or an object"),
            (r#"{"subject": 1"#, "row 1: EOF while parsing an object"),
            (r#"{"subject": "1"}"#, "column session is missing"),
        ] {
            fs::write(at("e.jsonl"), line).unwrap();
            let said = read(&at("e.jsonl"), &[]).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
        fs::write(
            at("d.parquet"),
            Table::new([("subject", text(["1", "2"]))]).unwrap().to_parquet().unwrap(),
        )
        .unwrap();
        let said = read(&at("d.parquet"), &[]).unwrap_err().to_string();
        assert!(said.contains("d.parquet") && said.contains("session"), "{said}");
    }
}
