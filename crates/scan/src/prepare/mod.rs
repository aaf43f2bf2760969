//! From a clean series or volume to what a model was trained on: sampling rate, windows, scale.

mod fit;
mod global_z;
mod normalise;
mod sampling;
mod windows;

pub use global_z::{Background, GlobalZ};
pub use normalise::{FittedNormalisation, Normalisation};
pub use sampling::{Resampling, resample_time};
pub use windows::{PadPolicy, Window, WindowPolicy, WindowsConfig};
