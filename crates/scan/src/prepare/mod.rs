//! From a clean series or volume to what a model was trained on: sampling rate, windows, scale.

mod fit;
mod global_z;
mod normalise;
mod policy;
mod sampling;
mod volumes;
mod windows;
mod z;

pub use global_z::{Background, GlobalZ};
pub use normalise::{FittedNormalisation, Normalisation};
pub use policy::{EncoderPolicy, PolicyRate, PreparedSeries, picked as picked_frames};
pub use sampling::{Resampling, anti_alias_sections, resample_time};
pub use volumes::{Margins, resample_run};
pub use windows::{PadPolicy, Window, WindowPolicy, WindowsConfig};
pub use z::half_parcel_z;
