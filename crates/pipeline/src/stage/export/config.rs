//! What is exported, and in which form.
use scan::{ConnectivityKind, CovarianceEstimator};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is written for other programs, into the folder `export`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportConfig {
    /// The form of the tables.
    pub format: ExportFormat,
    /// The series of parcels as they are here: a file a recording, a column a parcel.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub series: bool,
    /// Connectivity: a row a recording or a window, a column an edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connectivity: Option<ExportedConnectivity>,
    /// The tables of embeddings; they are Parquet already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub embeddings: bool,
}

/// The form of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// Text with tabs, `n/a` for no value, as in BIDS: edges are columns by name.
    Tsv,
    /// Parquet: edges are one column of lists of 32-bit numbers.
    Parquet,
    /// A dataset a column: edges are one matrix of 64-bit numbers.
    Hdf5,
}

/// Which connectivity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedConnectivity {
    /// What a number between two parcels says.
    pub kind: ConnectivityKind,
    /// How the covariance is estimated.
    pub estimator: CovarianceEstimator,
    /// A row for each of these windows of a recording; absent: one row a recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<ExportedWindows>,
}

/// Windows of one length, from the first frame on as long as a whole one is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedWindows {
    /// Frames of a window.
    pub n_frames: usize,
    /// Frames from the beginning of one to that of the next.
    pub stride: usize,
}

impl ExportFormat {
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Tsv => "tsv",
            Self::Parquet => "parquet",
            Self::Hdf5 => "h5",
        }
    }
}

impl ExportConfig {
    /// What no stage before it makes, as a sentence.
    pub(crate) fn lacks(&self, has_parcels: bool, has_embeddings: bool) -> Option<&'static str> {
        if self.embeddings && !has_embeddings {
            return Some("writes embeddings, expected the stage embed before it");
        }
        let of_parcels = self.series || self.connectivity.is_some();
        (of_parcels && !has_parcels)
            .then_some("writes series of parcels, expected the stage parcellate before it")
    }
}
