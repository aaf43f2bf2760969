//! Grids and what moves images between them: turning, resampling, smoothing.
//!
//! Images inside are 64-bit slices with x fastest, as files store them.

mod fill;
mod grid;
mod orient;
mod prepared;
mod resample;
mod smooth;
mod spline;

pub use grid::Grid;
pub use orient::Orientation;
pub use resample::{Interpolation, Range, Resampler, grid_of_zooms, resample};
pub use smooth::Smoother;

pub(crate) use prepared::Prepared;

#[cfg(test)]
mod tests;
