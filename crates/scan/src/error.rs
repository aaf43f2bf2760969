//! What can go wrong between a file and a series, as sentences about the user's files.

use std::{io, path::PathBuf};

use crate::split::{Split, SplitUnit};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure of this crate; a sentence names the file, what was found and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the sentence beside each variant says what its fields hold")]
pub enum Error {
    // files
    #[error("{}: cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}: not a NIfTI file: {found}", path.display())]
    NotNifti { path: PathBuf, found: String },
    #[error("{}: is {found}", path.display())]
    Pointer { path: PathBuf, found: &'static str },
    #[error("{}: is {found}; expected {expected}", path.display())]
    Unsupported { path: PathBuf, found: String, expected: &'static str },
    #[error("{}: header field {field} is {found}, expected {expected}", path.display())]
    Header { path: PathBuf, field: &'static str, found: String, expected: &'static str },
    #[error("{}: holds {found} bytes, its header promises {expected}", path.display())]
    Truncated { path: PathBuf, found: u64, expected: u128 },
    #[error("{}: goes on for more than {limit} bytes after the {promised} of its header", path.display())]
    TooLong { path: PathBuf, promised: u64, limit: u64 },
    #[error("{}: another file stands there now than when it was opened", path.display())]
    Changed { path: PathBuf },
    #[error("{}: gzip stream ends early or is damaged: {source}", path.display())]
    Gzip { path: PathBuf, source: io::Error },
    #[error("{}: header claims {found} bytes of voxels, the limit is {limit}", path.display())]
    TooLarge { path: PathBuf, found: u128, limit: u64 },
    #[error("{}: {n_bytes} bytes of voxels do not fit into memory", path.display())]
    OutOfMemory { path: PathBuf, n_bytes: u64 },
    #[error("needs {} MB of memory, the budget is {} MB", found.div_ceil(1_000_000), limit / 1_000_000)]
    OverBudget { found: u64, limit: u64 },
    #[error("{}: holds no array `{name}`, expected one of its own: {found}", path.display())]
    NoArray { path: PathBuf, name: String, found: String },
    #[error("{}: name does not end in .nii or .nii.gz", path.display())]
    FileName { path: PathBuf },
    #[error("{}: shape {found:?} does not fit into NIfTI-1, expected at most 32767 a side", path.display())]
    TooWide { path: PathBuf, found: Vec<usize> },
    #[error("{}: has {} dimensions {found:?}, expected {expected}", path.display(), found.len())]
    Dimensions { path: PathBuf, found: Vec<usize>, expected: usize },
    #[error("{}: repetition time unknown: {problem}", path.display())]
    RepetitionTime { path: PathBuf, problem: String },

    #[error("{}: cannot be read as CIFTI-2: {problem}", path.display())]
    Cifti { path: PathBuf, problem: String },
    #[error("{}: cannot be read as GIFTI: {problem}", path.display())]
    Gifti { path: PathBuf, problem: String },
    #[error("{}: {problem}", path.display())]
    Matlab { path: PathBuf, problem: String },
    #[error("{}: {problem}", path.display())]
    Surface { path: PathBuf, problem: String },

    #[error("{}: {problem}", path.display())]
    Arrow { path: PathBuf, problem: String },
    #[error("{}: {problem}", path.display())]
    Hdf5 { path: PathBuf, problem: String },
    #[error(transparent)]
    Tensor(formats::Error),
    #[error("{}: is a table of {found:?} values, expected at least one frame and parcel", path.display())]
    NoFrames { path: PathBuf, found: Vec<usize> },
    #[error(
        "{}: is an array of {found:?} values, expected two axes (a series) or four (a run)",
        path.display()
    )]
    ArrayAxes { path: PathBuf, found: Vec<usize> },
    #[error(
        "{}: does not say where its voxels lie; give `space`, for example `fsl_mni2mm`, or an affine",
        path.display()
    )]
    NoSpace { path: PathBuf },
    #[error(
        "{}: neither its sform nor its qform is set, so the order of its axes and which side is left \
         cannot be known; expected a file that says one of them",
        path.display()
    )]
    Unplaced { path: PathBuf },
    #[error("{scan}: grid is {found:?}, expected {expected:?} as in the space that was named")]
    NamedGrid { scan: String, found: [usize; 3], expected: [usize; 3] },
    #[error("{}: {problem}", path.display())]
    Axes { path: PathBuf, problem: String },

    // geometry
    #[error("affine does not map voxels to millimetres: {problem}: {rows:?}")]
    Affine { problem: &'static str, rows: Box<[[f64; 4]; 4]> },
    #[error("{}: {source}", path.display())]
    AffineOf { path: PathBuf, source: Box<Error> },
    #[error(
        "orientation is {found:?}, expected three letters such as LAS: one of R L, one of A P, \
         one of S I"
    )]
    Orientation { found: String },
    #[error("repetition time is {found} s, expected a positive finite number of seconds")]
    BadRepetitionTime { found: f64 },
    #[error("array of shape {found:?} is empty, expected at least one voxel and one frame")]
    EmptyArray { found: Vec<usize> },

    // parcels
    #[error("{}: label {found} is not a whole number", path.display())]
    Label { path: PathBuf, found: f64 },
    #[error("{}: holds no label but background", path.display())]
    NoLabels { path: PathBuf },
    #[error("{scan}: no parcel of the atlas lies in it; are both in one space?")]
    NoParcel { scan: String },
    #[error("{scan}: every voxel of every parcel is 0 or not finite in all frames")]
    NoData { scan: String },
    #[error("{scan}: grid is {found:?}, expected {expected:?} as in the atlas")]
    AtlasShape { scan: String, found: [usize; 3], expected: [usize; 3] },

    // voxels
    #[error("{scan}: grid is {found:?}, expected {expected:?} as in the voxel mask")]
    GridShape { scan: String, found: [usize; 3], expected: [usize; 3] },
    #[error("{scan}: affine differs by {found} from the voxel mask's, expected at most {limit}")]
    GridAffine { scan: String, found: f64, limit: f64 },
    #[error("{scan}: {found} of {total} values inside the voxel mask are not finite")]
    NonFinite { scan: String, found: usize, total: usize },
    #[error("{scan}: mean image is not finite in {found} voxels, so no voxel mask can be fitted")]
    NonFiniteMean { scan: String, found: usize },
    #[error("voxel mask needs at least one run, found none")]
    NoRuns,
    #[error("voxel mask keeps 0 of {total} voxels: {rule}")]
    EmptyMask { total: usize, rule: String },
    #[error("voxel mask is damaged: {problem}")]
    DamagedMask { problem: String },
    #[error("{field} is {found}, expected {expected}")]
    Setting { field: &'static str, found: f64, expected: &'static str },

    // series
    #[error("confounds have {found} frames, the series have {expected}")]
    ConfoundFrames { found: usize, expected: usize },
    #[error("kept frame {found} is out of order or beyond the run's {n_frames} frames")]
    KeptFrame { found: usize, n_frames: usize },
    #[error("{found} of {total} values of the series are not finite")]
    NonFiniteSeries { found: usize, total: usize },
    #[error("{task} needs at least {expected} frames, found {found}")]
    TooFewFrames { task: &'static str, found: usize, expected: usize },
    #[error("{task} needs {expected} voxels, found {found}")]
    VoxelCount { task: &'static str, found: usize, expected: usize },
    #[error("{task} needs {expected} series, found {found}")]
    SeriesCount { task: &'static str, found: usize, expected: usize },
    #[error("normalisation needs a recording of at least {expected} frames, found none")]
    NoRecordings { expected: usize },
    #[error("fitted normalisation is damaged: {problem}")]
    DamagedFit { problem: String },
    #[error(
        "window at onset {} s takes frames {first} to {last}, \
         but the run has {n_run_frames} frames ({} s)",
        crate::seconds(*onset_s), crate::seconds(*run_s)
    )]
    Window { onset_s: f64, first: i64, last: i64, n_run_frames: usize, run_s: f64 },
    #[error("window onset is {found} s, expected a finite number")]
    WindowOnset { found: f64 },
    #[error("{task} needs raw intensities, found no voxel with a positive mean that varies")]
    NoRawVoxel { task: &'static str },
    #[error("{task} needs series that vary, found no voxel that varies")]
    NoVariation { task: &'static str },

    // confounds
    #[error("{}: column {column} is missing", path.display())]
    MissingConfound { path: PathBuf, column: String },
    #[error("{}: has no .json beside it, which says what its components are", path.display())]
    NoSidecar { path: PathBuf },
    #[error("{}: is not a JSON object keyed by column: {problem}", path.display())]
    Sidecar { path: PathBuf, problem: String },
    #[error("{}: every frame is left out", path.display())]
    NothingKept { path: PathBuf },

    // covariance
    #[error("covariance needs at least {expected} samples, found {found}")]
    TooFewSamples { found: usize, expected: usize },
    #[error("{found} voxels are too many for a covariance, expected at most {limit}")]
    TooManyVoxels { found: usize, limit: usize },
    #[error("covariance is singular: smallest eigenvalue {smallest}, largest {largest}")]
    Singular { smallest: f64, largest: f64 },
    #[error("{n_groups} group labels for {n_samples} samples, expected one each")]
    GroupCount { n_groups: usize, n_samples: usize },
    #[error("whitening matrix has shape {found:?}, expected a finite square matrix")]
    WhiteningMatrix { found: [usize; 2] },

    // cohort tables
    #[error("{}: unknown column {found:?}, allowed are {}", path.display(), allowed.join(", "))]
    UnknownColumn { path: PathBuf, found: String, allowed: &'static [&'static str] },
    #[error("{}: column {column} is missing", path.display())]
    MissingColumn { path: PathBuf, column: &'static str },
    #[error("{}: column {column} appears twice", path.display())]
    DoubleColumn { path: PathBuf, column: &'static str },
    #[error("{}: row {row}: column {column} is {found:?}, expected {expected}", path.display())]
    Cell { path: PathBuf, row: usize, column: &'static str, found: String, expected: &'static str },
    #[error("{}: row {row}: {problem}", path.display())]
    Row { path: PathBuf, row: usize, problem: String },
    #[error("{}: {problem}", path.display())]
    Table { path: PathBuf, problem: &'static str },
    #[error(
        "{}: rows {first_row} and {row} both hold scan {} at onset {onset} s",
        path.display(), scan.display()
    )]
    DuplicatePair { path: PathBuf, first_row: usize, row: usize, scan: PathBuf, onset: f64 },
    #[error(
        "{}: {unit} {name} is in split {first} (row {first_row}) and in split {second} (row {row})",
        path.display()
    )]
    SplitLeak {
        path: PathBuf,
        unit: SplitUnit,
        name: String,
        first: Split,
        first_row: usize,
        second: Split,
        row: usize,
    },
}

/// Words of a file or a library on one line, whatever they hold.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// As [`one_line`], cut where they would be more than anyone reads.
pub(crate) fn brief(text: &str) -> String {
    one_line(&text.chars().take(200).collect::<String>())
}
