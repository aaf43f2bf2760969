//! Brain scans as checked values: files, geometry, voxel series, cleaning, windows, cohort tables.
//!
//! ```text
//! .nii(.gz) ── read_bold ─→ Bold (x, y, z, t) + affine + t_r
//!                            │ VoxelMask::apply
//!                            ▼
//!                  VoxelSeries (n_frames, n_voxels) + t_r ── clean ─→ WindowConfig::cut ─→ NoiseWhitening::apply
//! ```
//!
//! Nothing here knows of tensors, prompts or pipelines, and nothing prints.

#![cfg_attr(test, allow(clippy::float_cmp, reason = "tests compare exact numbers exactly"))]

mod affine;
mod arrow;
mod atlas;
mod bold;
mod cifti;
mod clean;
mod confounds;
mod connectivity;
mod covariance;
#[cfg(test)]
mod damaged;
mod dense;
mod describe;
mod digest;
mod error;
mod failure_kind;
mod footprint;
mod foreign;
mod frames;
mod geometry;
mod h5;
mod high_variance;
mod inspect;
mod kind;
mod mask;
mod matlab;
mod named;
mod nii;
mod open;
mod pairs;
mod pointer;
mod prepare;
mod probe_header;
mod quality;
mod seconds;
mod series;
mod shape;
mod sidecar;
mod signal;
mod split;
mod surface;
mod surrogate;
mod tables;
mod tensor;
mod whiten;
mod window;
mod xml;

pub use affine::Affine;
pub use arrow::{ArrowDescription, ArrowRows, read_stacked};
pub use atlas::{
    Atlas, ExtractConfig, MapName, Parcel, Reduction, WorkingGrid, read_parcels, read_places,
};
pub use bold::{Bold, Volume};
pub use cifti::{
    BrainModel, BrainModelsAxis, CiftiAxis, CiftiFile, CiftiParcel, CiftiVolume, LabelMap, Place,
    Places, SeriesAxis,
};
pub use clean::{CleanConfig, Detrend, Standardize, clean};
pub use confounds::{
    CompCor, ConfoundConfig, ConfoundStrategy, ConfoundTable, Confounds, Expansion, MotionFigures,
    MotionLimits, MotionScrub, NCompCor, framewise_displacement, largest_displacement,
    mean_displacement,
};
pub use connectivity::{
    ConnectivityKind, CovarianceEstimator, connectivity, fisher_z, lower_triangle,
};
pub use covariance::ledoit_wolf;
pub use dense::{DenseSeries, GrayordinateAtlas};
pub use describe::{
    ArrayDescription, CiftiDescription, Description, Hdf5Description, ValueFacts, describe,
};
pub use digest::{files_of_scan, sha256_file, sha256_scan, sha256_scan_by};
pub use error::{Error, Result};
pub use failure_kind::FailureKind;
pub use footprint::{Footprint, footprint};
pub use formats::{MAX_SETTINGS, MAX_TABLE, pointer, read_text_up_to, read_up_to};
pub use frames::{BoldFile, Frame, Frames};
pub use geometry::{
    Grid, Interpolation, Orientation, Range, Resampler, Smoother, grid_of_zooms, resample,
};
pub use h5::{
    Attribute, AttributeName, CohortFile, CohortWriter, Hdf5Column, Hdf5File, Hdf5Node, NodeKind,
    write_hdf5, write_hdf5_columns,
};
pub use high_variance::high_variance_confounds;
pub use inspect::{Inspection, check_placed, inspect};
pub use mask::{VoxelMask, VoxelMaskConfig};
pub use matlab::MatlabDescription;
pub use named::{array_names, read_array};
pub use nii::{
    AffineSource, Format, MAX_BYTES, ReadOptions, Scaling, read_bold, read_bold_with, read_values,
    read_volume, volume_bytes, write_bold, write_volume,
};
pub use open::{OpenOptions, Opened, Scan, Space, VolumeAxes, open};
pub use pairs::{Pair, PairsTable, read_pairs, read_pairs_with};
pub use prepare::{
    Background, EncoderPolicy, FittedNormalisation, GlobalZ, Margins, Normalisation, PadPolicy,
    PolicyRate, PreparedSeries, Resampling, Window, WindowPolicy, WindowsConfig,
    anti_alias_sections, half_parcel_z, picked_frames, resample_run, resample_time,
};
pub use probe_header::{HeaderFacts, probe_header};
pub use quality::{ImageQualityMetrics, QualityLimits, dvars};
pub use seconds::seconds;
pub use series::{ParcelSeries, VoxelSeries};
pub use shape::{Shape, shape};
pub use sidecar::parse_sidecar;
pub use signal::{DegreesOfFreedom, Filter, SignalConfig, clean_signals};
pub use split::{Split, SplitUnit};
pub use surface::{SurfaceDescription, SurfaceFile, hemisphere_of_name};
pub use surrogate::{Phases, phase_randomised, time_permuted};
pub use tables::{SeriesAxes, read_series};
pub use tensor::{read_npy, write_npy};
pub use whiten::{NoiseWhitening, Shrinkage, WhitenConfig, residuals_by_group};
pub use window::{FrameRange, WindowConfig};
