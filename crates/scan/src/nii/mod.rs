//! NIfTI-1 files: `.nii` and `.nii.gz`, read as a stream and checked before anything is allocated.
//!
//! The `nifti` crate decodes header and voxels; what a file may claim, where it lies in the world
//! and how long a frame takes are decided here, because a wrong answer there is silent.

mod geometry;
mod header;
mod read;
mod source;
mod timing;
mod write;

pub use geometry::AffineSource;
pub use header::Scaling;
pub use read::{ReadOptions, read_bold, read_bold_with, read_values, read_volume};
pub use write::write_bold;

pub(crate) use geometry::affine_rows;
pub(crate) use header::{Header, dtype_name};
pub(crate) use read::each_chunk;
pub(crate) use source::Source;
pub(crate) use timing::repetition_time;

/// The most bytes of voxels a header may claim, on disk or in memory: 8 GiB.
pub const MAX_BYTES: u64 = 8 << 30;

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
