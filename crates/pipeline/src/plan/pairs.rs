//! The table of windows and reports, in any form of a table.
use std::path::Path;

use scan::PairsTable;
use tables::Cell;

use crate::Result;

/// Reads CSV, TSV or Parquet, which may have `further` columns; the content decides, not the name.
pub(super) fn read(path: &Path, further: &[&str]) -> Result<PairsTable> {
    if !is_parquet(path) {
        return Ok(scan::read_pairs_with(path, further)?);
    }
    let table = tables::read(path)?;
    let names: Vec<String> = table.names().map(str::to_owned).collect();
    let cells = |row: usize| {
        let cells = table.columns().iter().map(|(_, column)| in_words(column.cell(row)));
        cells.collect::<Vec<String>>()
    };
    Ok(PairsTable::of_rows(path, &names, further, (0..table.n_rows()).map(cells))?)
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
        let mut all = forms.map(|(name, bytes)| {
            fs::write(at(name), bytes).unwrap();
            read(&at(name), &[]).unwrap().pairs
        });
        assert_eq!(all[0].len(), 2);
        assert_eq!((all[0][1].subject.as_str(), all[0][1].session.as_str()), ("12", "b+1"));
        assert_eq!((all[0][0].onset, all[0][1].duration), (2.5, 4.0));
        let first = all[0].clone();
        assert!(all.iter_mut().all(|pairs| *pairs == first));
        fs::write(
            at("d.parquet"),
            Table::new([("subject", text(["1", "2"]))]).unwrap().to_parquet().unwrap(),
        )
        .unwrap();
        let said = read(&at("d.parquet"), &[]).unwrap_err().to_string();
        assert!(said.contains("d.parquet") && said.contains("session"), "{said}");
    }
}
