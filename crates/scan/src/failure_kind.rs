//! Kinds of failure, to count by.

use std::{fmt, io};

use crate::Error;

/// Why a recording is left out, without names and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// A file is not there.
    Missing,
    /// A file cannot be read, or is of no form that is read.
    Unreadable,
    /// A file ends early or its compressed stream is damaged.
    Truncated,
    /// A field of the header is impossible.
    Header,
    /// The array has the wrong number of dimensions, or the wrong sizes.
    Shape,
    /// Grid or affine do not fit the atlas, the mask or the other scans, or are unknown.
    Geometry,
    /// Left and right are exchanged, or contradict each other.
    LeftRight,
    /// The repetition time is unknown, impossible or contradicted.
    RepetitionTime,
    /// Too few frames, or a window beyond the end of the run.
    Frames,
    /// The confounds table is not there.
    NoConfounds,
    /// The confounds table has other frames or columns than are needed.
    ConfoundsMismatch,
    /// A JSON sidecar is damaged or missing.
    Sidecar,
    /// Values are NaN or infinite.
    NonFinite,
    /// No voxel or no parcel holds data.
    NoData,
    /// More memory is needed than there is.
    Memory,
    /// The file changed while it was worked on.
    Changed,
    /// A figure of quality is beyond a threshold.
    Quality,
    /// The pipeline does not ask for it.
    NotSelected,
    /// A file name or a label is not what it should be.
    Name,
    /// A path leaves the folder of the cohort.
    OutsideFolder,
    /// A cell of a table is not what its column holds.
    Table,
    /// None of the others.
    Other,
}

impl FailureKind {
    /// Its word in tables and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Truncated => "truncated",
            Self::Header => "header",
            Self::Shape => "shape",
            Self::Geometry => "geometry",
            Self::LeftRight => "left_right",
            Self::RepetitionTime => "repetition_time",
            Self::Frames => "frames",
            Self::NoConfounds => "no_confounds",
            Self::ConfoundsMismatch => "confounds_mismatch",
            Self::Sidecar => "sidecar",
            Self::NonFinite => "non_finite",
            Self::NoData => "no_data",
            Self::Memory => "memory",
            Self::Changed => "changed",
            Self::Quality => "quality",
            Self::NotSelected => "not_selected",
            Self::Name => "name",
            Self::OutsideFolder => "outside_folder",
            Self::Table => "table",
            Self::Other => "other",
        }
    }

    /// Of a file that the system could not read.
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            io::ErrorKind::OutOfMemory => Self::Memory,
            _ => Self::Unreadable,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Error {
    /// What kind of failure it is of a recording.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Read { source, .. } => FailureKind::of_io(source),
            Self::Pointer { .. }
            | Self::Unsupported { .. }
            | Self::NoArray { .. }
            | Self::FileName { .. }
            | Self::Cifti { .. }
            | Self::Gifti { .. }
            | Self::Matlab { .. }
            | Self::Surface { .. }
            | Self::Arrow { .. }
            | Self::Hdf5 { .. }
            | Self::Tensor(_) => FailureKind::Unreadable,
            Self::Truncated { .. } | Self::Gzip { .. } | Self::TooLong { .. } => {
                FailureKind::Truncated
            }
            Self::NotNifti { .. } | Self::Header { .. } | Self::TooLarge { .. } => {
                FailureKind::Header
            }
            Self::Changed { .. } => FailureKind::Changed,
            Self::OutOfMemory { .. } | Self::OverBudget { .. } => FailureKind::Memory,
            Self::Dimensions { .. }
            | Self::TooWide { .. }
            | Self::NoFrames { .. }
            | Self::ArrayAxes { .. }
            | Self::EmptyArray { .. }
            | Self::VoxelCount { .. }
            | Self::SeriesCount { .. } => FailureKind::Shape,
            Self::RepetitionTime { .. } | Self::BadRepetitionTime { .. } => {
                FailureKind::RepetitionTime
            }
            Self::NoSpace { .. }
            | Self::Unplaced { .. }
            | Self::NamedGrid { .. }
            | Self::Axes { .. }
            | Self::Affine { .. }
            | Self::AffineOf { .. }
            | Self::Orientation { .. }
            | Self::NoParcel { .. }
            | Self::AtlasShape { .. }
            | Self::GridShape { .. }
            | Self::GridAffine { .. } => FailureKind::Geometry,
            Self::NonFinite { .. } | Self::NonFiniteMean { .. } | Self::NonFiniteSeries { .. } => {
                FailureKind::NonFinite
            }
            Self::NoData { .. } | Self::NoRawVoxel { .. } | Self::NoVariation { .. } => {
                FailureKind::NoData
            }
            Self::TooFewFrames { .. } | Self::Window { .. } | Self::KeptFrame { .. } => {
                FailureKind::Frames
            }
            Self::ConfoundFrames { .. }
            | Self::MissingConfound { .. }
            | Self::NothingKept { .. } => FailureKind::ConfoundsMismatch,
            Self::NoSidecar { .. } | Self::Sidecar { .. } => FailureKind::Sidecar,
            Self::UnknownColumn { .. }
            | Self::MissingColumn { .. }
            | Self::DoubleColumn { .. }
            | Self::Cell { .. }
            | Self::Row { .. }
            | Self::Table { .. }
            | Self::DuplicatePair { .. } => FailureKind::Table,
            _ => FailureKind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_away_is_told_from_one_that_is_cut_or_locked() {
        let read = |source| Error::Read { path: "a.nii".into(), source }.kind();
        assert_eq!(read(io::Error::from_raw_os_error(2)), FailureKind::Missing);
        assert_eq!(read(io::Error::from_raw_os_error(13)), FailureKind::Unreadable);
        assert_eq!(read(io::ErrorKind::UnexpectedEof.into()), FailureKind::Truncated);
        let cut = Error::Truncated { path: "a.nii".into(), found: 3, expected: 4 };
        assert_eq!(cut.kind().to_string(), "truncated");
    }
}
