//! The vectors by which pictures are similar: from a table, or from the package's own encoder.
use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use tables::{Cell, Column, Table};

use super::config::FeatureTable;
use crate::{Error, Result, plan::BenchmarkPicture};

/// A vector for each picture, by place.
pub(crate) type Vectors = HashMap<usize, Vec<f32>>;

/// The vectors of these pictures from a table at `path`.
///
/// # Errors
/// Names a picture that has no row, or several; and a row without a vector.
pub(crate) fn from_table(
    path: &Path,
    config: &FeatureTable,
    pictures: &[BenchmarkPicture],
    wanted: &[usize],
) -> Result<Vectors> {
    let refuse = |problem: String| Error::TableProblem { path: path.to_owned(), problem };
    let table = tables::read(path)?;
    let no_key = || refuse(format!("it has no column {}, the key of pictures", config.key));
    let keys = table.column(&config.key).ok_or_else(no_key)?;
    let mut rows: HashMap<String, usize> = HashMap::new();
    for row in 0..table.n_rows() {
        let key = match keys.cell(row) {
            Cell::Text(text) => text.to_owned(),
            Cell::Integer(number) => number.to_string(),
            _ => return Err(refuse(format!("row {} has no {}", row + 2, config.key))),
        };
        if let Some(first) = rows.insert(key.clone(), row) {
            let (first, row) = (first + 2, row + 2);
            return Err(refuse(format!("rows {first} and {row} are both of {key}")));
        }
    }
    let (mut vectors, mut problems) = (Vectors::new(), Vec::new());
    let mut named: HashMap<&str, usize> = HashMap::new();
    for &picture in wanted {
        let name = pictures[picture].name.as_str();
        if named.insert(name, picture).is_some() {
            let problem = "two pictures of different folders are called so, and the table cannot tell them apart";
            problems.push(refuse(format!("{name}: {problem}")));
            continue;
        }
        let Some(&row) = rows.get(name) else {
            problems.push(refuse(format!("no row is of picture {name}")));
            continue;
        };
        match vector(&table, row, &config.key) {
            Ok(vector) => drop(vectors.insert(picture, vector)),
            Err(problem) => problems.push(refuse(format!("row {}: {problem}", row + 2))),
        }
    }
    Error::collect(problems)?;
    let widths: BTreeSet<usize> = vectors.values().map(Vec::len).collect();
    if widths.contains(&0) {
        return Err(refuse("it has no column of numbers beside the key".to_owned()));
    }
    Ok(vectors)
}

/// The column `embedding`, or else all columns of numbers but the key.
fn vector(table: &Table, row: usize, key: &str) -> Result<Vec<f32>, String> {
    let values = match table.column("embedding").map(|column| column.cell(row)) {
        Some(Cell::Vector(values)) => values.to_vec(),
        _ => numbers(table, row, key)?,
    };
    if values.iter().any(|it| !it.is_finite()) {
        return Err("its vector holds what is not a finite number".to_owned());
    }
    if !values.is_empty() && values.iter().all(|it| *it == 0.0) {
        return Err("its vector is zero, and so like nothing".to_owned());
    }
    Ok(values)
}

/// All columns of numbers but the key.
fn numbers(table: &Table, row: usize, key: &str) -> Result<Vec<f32>, String> {
    let columns = table.names().filter(|name| *name != key);
    let columns = columns.filter_map(|name| Some((name, table.column(name)?)));
    let of_numbers =
        columns.filter(|(_, column)| matches!(column, Column::Integer(_) | Column::Number(_)));
    let number = |(name, column): (&str, &Column)| match column.cell(row) {
        Cell::Integer(number) => Ok(number as f32),
        Cell::Number(number) => Ok(number as f32),
        _ => Err(format!("{name} is missing, expected a number")),
    };
    of_numbers.map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures() -> Vec<BenchmarkPicture> {
        ["a.png", "b.png"]
            .map(|name| BenchmarkPicture { name: name.to_owned(), path: name.into(), sha256: None })
            .to_vec()
    }

    fn read(text: &str) -> Result<Vectors> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("features.csv");
        std::fs::write(&path, text).unwrap();
        let config = FeatureTable { file: path.clone(), key: "image".to_owned() };
        from_table(&path, &config, &pictures(), &[0, 1])
    }

    #[test]
    fn all_columns_of_numbers_are_the_vector() {
        let found =
            read("image,site,x,y\nb.png,one,1,2.5\na.png,two,3,4.5\nc.png,two,0,0\n").unwrap();
        assert_eq!(
            (found[&0].as_slice(), found[&1].as_slice()),
            (&[3.0, 4.5][..], &[1.0, 2.5][..])
        );
    }

    #[test]
    fn what_a_table_lacks_is_said() {
        for (text, said) in [
            ("name,x\na.png,1\n", "it has no column image"),
            ("image,x\na.png,1\n", "no row is of picture b.png"),
            ("image,x\na.png,1\nb.png,2\nb.png,3\n", "rows 3 and 4 are both of b.png"),
            ("image,x,y\na.png,1,1\nb.png,,2\n", "row 3: x is missing, expected a number"),
            ("image,x\na.png,1\nb.png,0\n", "row 3: its vector is zero"),
            ("image,x\na.png,u\nb.png,v\n", "it has no column of numbers beside the key"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
