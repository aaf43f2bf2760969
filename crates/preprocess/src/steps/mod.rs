//! The steps, one a file.
mod atlas;
mod columns;
mod denoise;
mod lost;
mod normalise;
mod order_parcels;
mod parcel_count;
mod parcellate;
mod prepare;
mod resample_time;
mod shares;
mod volumes;
mod windows;

pub use atlas::{AtlasFiles, ReadAtlas};
pub use denoise::{DenoiseConfig, Nuisance};
pub use normalise::{FITTED, NormaliseConfig, formula_name, normalised};
pub use order_parcels::{OrderParcelsConfig, columns, ordered};
pub use parcellate::ParcellateConfig;
pub use resample_time::ResampleTimeConfig;
pub use volumes::VOLUME_LIKENESS;

pub use crate::{
    mirror::{LIKENESS, Likeness, MirrorCheck, Sides, look, look_of_run},
    policy::PrepareConfig,
    volumes::{TensorVolumes, Volumes, VolumesConfig, cut_volumes},
};

use serde::Serialize;

/// The settings of a step as they go into keys and digests.
fn said(config: &impl Serialize) -> String {
    serde_json::to_string(config).expect("settings are plain values")
}
