//! A table as HDF5: a dataset a column, all with one row each.

use std::path::Path;

use files::Aside;
use hdf5::File;
use ndarray::Array2;

use super::write::{failed, texts, unwritten};
use crate::error::Result;

/// A column of a table in HDF5.
#[derive(Clone, Debug, PartialEq)]
pub enum Hdf5Column {
    /// A string each; a value that is missing is empty.
    Text(Vec<String>),
    /// A number each; NaN is none.
    Numbers(Vec<f64>),
    /// As many numbers in each row: `(n_rows, width)`.
    Matrix(Array2<f64>),
}

/// Writes a dataset for each column below the root: numbers of 64 bits, strings of UTF-8.
///
/// The file appears under its name only when it is whole.
pub fn write_hdf5_columns(path: impl AsRef<Path>, columns: &[(String, Hdf5Column)]) -> Result<()> {
    let path = path.as_ref();
    let aside = Aside::new(path).map_err(|source| unwritten(path, source))?;
    let write = || {
        let file = File::create(aside.path())?;
        for (name, column) in columns {
            let plain = || file.new_dataset_builder().obj_track_times(false);
            match column {
                Hdf5Column::Text(values) => texts(&file, name, values)?,
                Hdf5Column::Numbers(values) => drop(plain().with_data(values).create(&**name)?),
                Hdf5Column::Matrix(values) => {
                    let values = values.as_standard_layout();
                    drop(plain().with_data(&values).create(&**name)?);
                }
            }
        }
        file.close()
    };
    write().map_err(|error| failed(path, &error))?;
    aside.keep().map_err(|source| unwritten(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nii::testing::Scratch;

    #[test]
    fn columns_read_back_as_they_were_written() {
        let scratch = Scratch::new();
        let path = scratch.path("t.h5");
        let matrix = Array2::from_shape_fn((2, 3), |(row, at)| (row * 3 + at) as f64 / 7.0);
        let columns = [
            ("who".to_owned(), Hdf5Column::Text(vec!["01".into(), String::new()])),
            ("age".to_owned(), Hdf5Column::Numbers(vec![30.5, f64::NAN])),
            ("vector".to_owned(), Hdf5Column::Matrix(matrix.clone())),
        ];
        write_hdf5_columns(&path, &columns).unwrap();
        assert_eq!(crate::read_array(&path, Some("vector")).unwrap(), matrix.into_dyn());
        let ages = crate::read_array(&path, Some("age")).unwrap();
        assert!(ages[[0]] == 30.5 && ages[[1]].is_nan());
        let refused = write_hdf5_columns(&path, &[("a\0".to_owned(), columns[1].1.clone())]);
        assert!(
            refused.is_err() && crate::read_array(&path, Some("age")).is_ok(),
            "the file stays"
        );
    }
}
