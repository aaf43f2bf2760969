//! What one step hands to the next, by name.
use std::fmt;

/// What is known of recordings at a place of their road.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Scans of a table as files.
    Scans,
    /// Recordings of a cohort as files.
    Recordings,
    /// One voxel series a scan.
    Series,
    /// One window of a series an event.
    Windows,
    /// One window of volumes an event.
    VolumeWindows,
    /// One parcel series a scan.
    ParcelSeries,
    /// Volumes of every scan.
    Volumes,
    /// Windows over whole scans.
    ScanWindows,
    /// What an encoder makes of every scan.
    Tokens,
}

impl Kind {
    /// Whether it is windows.
    pub fn is_cut(self) -> bool {
        matches!(self, Self::Windows | Self::VolumeWindows | Self::ScanWindows)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scans => "scans",
            Self::Recordings => "recordings",
            Self::Series => "voxel series",
            Self::Windows => "windows",
            Self::VolumeWindows => "windows of volumes",
            Self::ParcelSeries => "parcel series",
            Self::Volumes => "volumes",
            Self::ScanWindows => "windows of whole scans",
            Self::Tokens => "tokens",
        })
    }
}
