//! The steps, one a file.
mod atlas;
mod clean;
mod columns;
mod denoise;
mod event_windows;
mod lost;
mod mask;
mod normalise;
mod order_parcels;
mod parcel_count;
mod parcellate;
mod prepare;
mod resample_time;
mod shares;
mod sliding_windows;
mod volumes;
mod whiten;

pub use atlas::{AtlasFiles, ReadAtlas};
pub use denoise::{DenoiseConfig, Nuisance};
pub use normalise::{FITTED, NormaliseConfig, formula_name, normalised};
pub use order_parcels::OrderParcelsConfig;
pub use parcellate::ParcellateConfig;
pub use resample_time::ResampleTimeConfig;
pub use volumes::VOLUME_LEFT_RIGHT_TEMPLATE;

pub use scan::{CleanConfig, VoxelMaskConfig, WhitenConfig, WindowConfig, WindowsConfig};

pub use crate::{
    mirror::{
        LEFT_RIGHT_TEMPLATE, LeftRightPairs, LeftRightTemplate, MirrorCheck, look, look_of_run,
    },
    policy::PrepareConfig,
    volumes::{TensorVolumes, Volumes, VolumesConfig},
};

/// Stages that files may name by the word of earlier versions, each after the word that is written now.
pub const OLD_WORDS: [(&str, &str); 2] =
    [("event_windows", "window"), ("sliding_windows", "windows")];

/// Hands every step to the macro `$all`: what it is called among the stages of a pipeline, and its settings.
#[macro_export]
macro_rules! steps {
    ($all:ident) => {
        $all! {
            /// Keep the voxels that are bright enough in the training scans.
            Mask($crate::steps::VoxelMaskConfig),
            /// Detrend and standardise the voxels of every scan.
            Clean($crate::steps::CleanConfig),
            /// Cut the windows of the events of the table out of the scans.
            #[serde(alias = "window")]
            EventWindows($crate::steps::WindowConfig),
            /// Whiten the noise covariance estimated on the training windows.
            Whiten($crate::steps::WhitenConfig),
            /// Extract parcel time series from every scan.
            Parcellate($crate::steps::ParcellateConfig),
            /// Reorder parcels to match an encoder's atlas, by their labels.
            OrderParcels($crate::steps::OrderParcelsConfig),
            /// Remove trends, frequencies and confounds from parcel series.
            Denoise($crate::steps::DenoiseConfig),
            /// Resample parcel series to another repetition time.
            ResampleTime($crate::steps::ResampleTimeConfig),
            /// Normalise parcel series to the scale that an encoder was trained on.
            Normalise($crate::steps::NormaliseConfig),
            /// Prepare scans as the code around a published encoder does: scale, repetition time, windows.
            Prepare($crate::steps::PrepareConfig),
            /// Prepare volumes, for encoders that read volumes.
            Volumes($crate::steps::VolumesConfig),
            /// Cut sliding windows of frames.
            #[serde(alias = "windows")]
            SlidingWindows($crate::steps::WindowsConfig),
        }
    };
}

use std::path::PathBuf;

use serde::Serialize;

use crate::Step;

/// The settings of a step that names files, as [`said`]; the files by their names alone.
fn said_by_names<S: Step + Clone + Serialize>(config: &S) -> String {
    let mut config = config.clone();
    for path in config.paths() {
        *path = path.file_name().map_or_else(|| path.clone(), PathBuf::from);
    }
    said(&config)
}

/// The settings of a step as they go into keys and digests.
fn said(config: &impl Serialize) -> String {
    serde_json::to_string(config).expect("settings are plain values")
}
