//! Tables with a list of numbers in each row, in any of the forms.
use std::path::Path;

use ndarray::Array2;
use scan::{Hdf5Column, write_hdf5_columns};
use serde_json::{Map, Value, json};
use tables::{Cell, Column, Separator, Table};

use super::config::ExportFormat;
use crate::Result;

/// A table whose rows have many numbers each.
pub(super) struct Rows {
    /// What else the rows say.
    pub(super) about: Table,
    /// What the numbers are called together.
    pub(super) called: &'static str,
    /// What each of them is called.
    pub(super) names: Vec<String>,
    /// `(n_rows, n_names)`; NaN where there is none.
    pub(super) values: Array2<f64>,
}

impl Rows {
    /// From a table that has them as one column of lists.
    pub(super) fn of_vectors(table: &Table, called: &'static str) -> Result<Self> {
        let about = table.columns().iter().filter(|(name, _)| name != called).cloned();
        let (width, values) = match table.column(called) {
            Some(Column::Vector { width, values }) => (*width, values.as_slice()),
            _ => (0, &[][..]),
        };
        let values = values.iter().map(|&x| f64::from(x)).collect();
        let values = Array2::from_shape_vec((table.n_rows(), width), values);
        Ok(Self {
            about: Table::new(about)?,
            called,
            names: (0..width).map(|at| format!("{called}_{at}")).collect(),
            values: values.expect("a table's columns are of one length"),
        })
    }

    /// Writes the table as `stem`, and what its columns are as its dictionary.
    pub(super) fn write(
        self,
        mut dictionary: Map<String, Value>,
        format: ExportFormat,
        dir: &Path,
        stem: &str,
    ) -> Result<()> {
        let Self { about, called, names, values } = self;
        let mut columns = about.columns().to_vec();
        match format {
            ExportFormat::Tsv => {
                let known = |x: &f64| (!x.is_nan()).then_some(*x);
                let named = names.iter().zip(values.columns());
                columns.extend(named.map(|(name, column)| {
                    (name.clone(), Column::Number(column.iter().map(known).collect()))
                }));
                for name in &names {
                    let said = json!({ "Description": format!("One of {called}") });
                    dictionary.entry(name.clone()).or_insert(said);
                }
            }
            ExportFormat::Parquet => {
                let width = values.ncols();
                let values = values.iter().map(|&x| x as f32).collect();
                columns.push((called.to_owned(), Column::Vector { width, values }));
                let said = json!({ "Description": "A list of numbers a row", "Names": names });
                dictionary.insert(called.to_owned(), said);
            }
            ExportFormat::Hdf5 => {
                let mut columns = hdf5(&about);
                columns.push((called.to_owned(), Hdf5Column::Matrix(values)));
                columns.push((format!("{called}_names"), Hdf5Column::Text(names)));
                write_hdf5_columns(dir.join(format!("{stem}.h5")), &columns)?;
                let said = json!({ "Description": "A matrix: a row as of the other datasets, a column as of \
                                                   the names beside it" });
                dictionary.insert(called.to_owned(), said);
                return Ok(files::write_json(&dir.join(format!("{stem}.json")), &dictionary)?);
            }
        }
        write_described(&Table::new(columns)?, dictionary, format, dir, stem)
    }
}

/// Writes a table as `stem`, and its dictionary beside it.
pub(super) fn write_described(
    table: &Table,
    dictionary: Map<String, Value>,
    format: ExportFormat,
    dir: &Path,
    stem: &str,
) -> Result<()> {
    write_table(table, format, &dir.join(format!("{stem}.{}", format.ending())))?;
    Ok(files::write_json(&dir.join(format!("{stem}.json")), &dictionary)?)
}

/// Writes a table.
pub(super) fn write_table(table: &Table, format: ExportFormat, path: &Path) -> Result<()> {
    let bytes = match format {
        ExportFormat::Tsv => table.to_text(Separator::Tab)?,
        ExportFormat::Parquet => table.to_parquet()?,
        ExportFormat::Hdf5 => return Ok(write_hdf5_columns(path, &hdf5(table))?),
    };
    Ok(files::write_atomic(path, &bytes)?)
}

/// The columns of a table as datasets: words as strings, numbers as numbers, true and false as 1 and 0.
fn hdf5(table: &Table) -> Vec<(String, Hdf5Column)> {
    let n = table.n_rows();
    let dataset = |column: &Column| match column {
        Column::Text(values) => {
            Hdf5Column::Text(values.iter().map(|it| it.clone().unwrap_or_default()).collect())
        }
        Column::Vector { width, values } => {
            let values = values.iter().map(|&x| f64::from(x)).collect();
            Hdf5Column::Matrix(
                Array2::from_shape_vec((n, *width), values).expect("rows of one width"),
            )
        }
        column => Hdf5Column::Numbers((0..n).map(|row| number(column.cell(row))).collect()),
    };
    table.columns().iter().map(|(name, column)| (name.replace('/', "_"), dataset(column))).collect()
}

fn number(cell: Cell<'_>) -> f64 {
    match cell {
        Cell::Integer(number) => number as f64,
        Cell::Number(number) => number,
        Cell::Flag(flag) => f64::from(u8::from(flag)),
        _ => f64::NAN,
    }
}
