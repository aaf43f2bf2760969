//! HDF5 files: any dataset of numbers, and cohort files read one subject at a time.
//!
//! The C library follows whatever a file names. Here a path is walked link by link, so that
//! nothing outside the file is read: external links, virtual datasets and external storage are
//! refused, soft links must end inside. Shapes, types and filters are checked before values are
//! read, and errors are sentences (the library's own stack is silent).
//!
//! The library has one lock for all threads: readings of several threads follow each other, and
//! nothing here waits for another thread while it holds the lock.

mod attributes;
mod chunks;
mod cohort;
mod columns;
mod dataset;
mod file;
mod joined;
mod scan;
mod text;
mod tree;
mod write;

pub use attributes::Attribute;
pub use cohort::CohortFile;
pub use columns::{Hdf5Column, write_hdf5_columns};
pub use file::Hdf5File;
pub use tree::{AttributeName, Hdf5Node, NodeKind};
pub use write::{CohortWriter, write_hdf5};

pub(crate) use file::begins_at;
pub(crate) use scan::{T_R as T_R_NAMES, footprint, open_scan, shape};

use std::path::Path;

use crate::error::{Error, Result};

/// Runs work that calls the library on a file; a panic in it is an error about that file.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    formats::guarded(work).unwrap_or_else(|formats::Panicked(said)| {
        let said = if said.is_empty() { said } else { format!(": {said}") };
        let problem = format!("cannot be read as HDF5: the library gave up on it{said}");
        Err(Error::Hdf5 { path: path.to_path_buf(), problem })
    })
}

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
