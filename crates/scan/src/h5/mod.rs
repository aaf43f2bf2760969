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
mod dataset;
mod file;
mod scan;
mod text;
mod tree;
mod write;

pub use attributes::Attribute;
pub use cohort::CohortFile;
pub use file::Hdf5File;
pub use tree::{AttributeName, Hdf5Node, NodeKind};
pub use write::{CohortWriter, write_hdf5};

pub(crate) use file::begins_at;
pub(crate) use scan::{T_R as T_R_NAMES, footprint, open_scan, shape};

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
