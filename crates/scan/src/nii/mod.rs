//! NIfTI files, and `FreeSurfer`'s images beside them: `.nii`, `.nii.gz`, `.hdr` with `.img`, both versions and byte orders, read as a
//! stream and checked before anything is allocated.
//!
//! The `nifti` crate decodes NIfTI-1 headers; voxels and NIfTI-2 are decoded here. What a file may claim, where it lies in the world
//! and how long a frame takes are decided here, because a wrong answer there is silent.

mod geometry;
mod header;
mod mgh;
mod raw;
mod read;
mod source;
mod sums;
mod timing;
mod voxels;
mod write;

pub use geometry::AffineSource;
pub use header::Scaling;
pub use raw::Format;
pub use read::{ReadOptions, read_bold, read_bold_with, read_values, read_volume};
pub use write::{volume_bytes, write_bold, write_volume};

pub(crate) use geometry::{affine_rows, sides_disagree};
pub(crate) use header::{
    Header, dtype_name, is_image_of_pair, open, open_with_extensions, pair_of,
};
pub(crate) use mgh::{MAGIC as MGH_MAGIC, is_surface as is_surface_mgh};
pub(crate) use read::{
    StoredImage, checked_affine, each_chunk, read_values_with_grid, sized, sized_grid,
};
pub(crate) use source::Source;
pub(crate) use sums::{Stretch, add_up, n_nonfinite};
pub(crate) use timing::{PLAUSIBLE_S, repetition_time, space_unit, t_r_field, time_unit};
pub(crate) use voxels::Decoder;

/// The most bytes of voxels a header may claim, on disk or in memory: 8 GiB.
pub const MAX_BYTES: u64 = 8 << 30;

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod every_kind;

#[cfg(test)]
mod mgh_tests;

#[cfg(test)]
mod online;

#[cfg(test)]
mod recorded;

#[cfg(test)]
mod tests;
