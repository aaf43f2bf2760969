//! The share of each parcel that had data, as a table beside a series of parcels says it.
use std::{collections::HashMap, path::Path};

use scan::{Parcel, ParcelSeries};
use tables::Cell;

use crate::{Error, Result};

/// The columns of XCP-D's tables of coverage.
const PARCEL: &str = "Node";
const SHARE: &str = "coverage";

/// The series with the shares that the table says of its parcels; by their names, or by their labels.
pub(super) fn added(mut series: ParcelSeries, table: Option<&Path>) -> Result<ParcelSeries> {
    let Some(path) = table else { return Ok(series) };
    let shares = read(path)?;
    let of = |name: fn(&Parcel) -> String| -> Option<Vec<f64>> {
        series.parcels.iter().map(|it| shares.get(&name(it)).copied()).collect()
    };
    let found = of(|it| it.name.clone()).or_else(|| of(|it| it.label.to_string()));
    let (n_rows, n_parcels) = (shares.len(), series.n_parcels());
    let Some(found) = found.filter(|_| n_rows == n_parcels) else {
        let is_missing = |it: &&Parcel| !shares.contains_key(&it.name);
        let missing = series.parcels.iter().find(is_missing);
        let missing = missing.map_or_else(String::new, |it| format!(" and none is {}", it.name));
        return refuse(
            path,
            &format!("has {n_rows} rows{missing}, expected one for each of {n_parcels} columns"),
        );
    };
    series.coverage = Some(found);
    Ok(series)
}

/// Shares by the name of the parcel; one without a value has no data.
fn read(path: &Path) -> Result<HashMap<String, f64>> {
    let table = tables::read(path)?;
    let (Some(parcels), Some(shares)) = (table.column(PARCEL), table.column(SHARE)) else {
        let names = table.names().take(4).collect::<Vec<_>>().join(", ");
        return refuse(path, &format!("has columns {names}, expected {PARCEL} and {SHARE}"));
    };
    let mut found = HashMap::new();
    for row in 0..table.n_rows() {
        let name = match parcels.cell(row) {
            Cell::Text(name) => name.to_owned(),
            Cell::Integer(label) => label.to_string(),
            _ => return refuse(path, &format!("names no parcel in row {}", row + 2)),
        };
        let share = match shares.cell(row) {
            Cell::Missing => Some(0.0),
            Cell::Integer(share) => Some(share as f64),
            Cell::Number(share) => Some(share),
            _ => None,
        };
        let Some(share) = share.filter(|share| (0.0..=1.0).contains(share)) else {
            let problem = format!("row {} has no share from 0 to 1 in {SHARE}", row + 2);
            return refuse(path, &problem);
        };
        if found.insert(name, share).is_some() {
            return refuse(path, &format!("names the parcel of row {} twice", row + 2));
        }
    }
    Ok(found)
}

fn refuse<T>(path: &Path, problem: &str) -> Result<T> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Err(Error::StageInput { stage: "parcellate", problem: format!("{name} {problem}") })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn of(names: &[&str], table: &str) -> std::result::Result<Option<Vec<f64>>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.tsv");
        std::fs::write(&path, table).unwrap();
        let parcel =
            |(name, label): (&&str, i32)| Parcel { label, name: (*name).into(), centre_mm: None };
        let parcels: Vec<Parcel> = names.iter().zip(7..).map(parcel).collect();
        let values = Array2::zeros((2, parcels.len()));
        let series = ParcelSeries {
            values,
            t_r: 2.0,
            parcels,
            lost: Vec::new(),
            coverage: None,
            n_nonfinite_frames: 0,
        };
        assert_eq!(added(series.clone(), None).unwrap().coverage, None);
        added(series, Some(&path)).map(|it| it.coverage).map_err(|error| error.to_string())
    }

    #[test]
    fn shares_are_found_by_name_or_by_label() {
        // as pandas 2 writes shares of 32 bits
        let table = "Node\tcoverage\nB\t0.53333336\nA\t1.0\nC\t0.0\n";
        let found = of(&["A", "B", "C"], table).unwrap().unwrap();
        assert_eq!(found, [1.0, 0.533_333_36, 0.0]);
        let found = of(&["label 7", "label 8"], "Node\tcoverage\n8\t0.25\n7\tn/a\n").unwrap();
        assert_eq!(found, Some(vec![0.0, 0.25]));
    }

    #[test]
    fn a_table_of_other_parcels_or_without_shares_is_refused() {
        for (table, said) in [
            (
                "Node\tcoverage\nA\t1\n",
                "c.tsv has 1 rows and none is B, expected one for each of 2",
            ),
            ("Node\tcoverage\nA\t1\nB\t1\nC\t1\n", "c.tsv has 3 rows, expected one for each of 2"),
            ("Node\tcoverage\nA\t1\nA\t1\n", "c.tsv names the parcel of row 3 twice"),
            ("Node\tcoverage\nA\t1\nB\t90.5\n", "c.tsv row 3 has no share from 0 to 1"),
            ("Node\tcoverage\nA\t1\nn/a\t0.5\n", "c.tsv names no parcel in row 3"),
            ("A\tB\n1\t0.5\n", "c.tsv has columns A, B, expected Node and coverage"),
        ] {
            let found = of(&["A", "B"], table).unwrap_err();
            assert!(found.contains(said), "{found}");
        }
    }
}
