//! HDF5 files for tests: h5py's, and small ones with one thing wrong.

use std::path::{Path, PathBuf};

use hdf5::{File, types::VarLenUnicode};
use ndarray::Array2;

/// A file that h5py 3.16 wrote.
pub(super) fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/oracles/hdf5_cifti").join(name)
}

/// Values `10 · row + column`, as many as a small recording has.
pub(super) fn table(n_rows: usize, n_columns: usize) -> Array2<f64> {
    Array2::from_shape_fn((n_rows, n_columns), |(row, column)| (10 * row + column) as f64)
}

/// A file with one dataset of 4 × 3 values, packed by gzip.
pub(super) fn small(path: &Path) -> File {
    let file = File::create(path).unwrap();
    let builder = file.new_dataset_builder().deflate(4).chunk((2, 3));
    let dataset = builder.with_data(&table(4, 3)).create("ts").unwrap();
    dataset.new_attr::<f64>().create("TR").unwrap().write_scalar(&0.8).unwrap();
    file
}

/// Adds a text attribute.
pub(super) fn say(object: &hdf5::Location, name: &str, text: &str) {
    let text: VarLenUnicode = text.parse().unwrap();
    object.new_attr::<VarLenUnicode>().create(name).unwrap().write_scalar(&text).unwrap();
}
