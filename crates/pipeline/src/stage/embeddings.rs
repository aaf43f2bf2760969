//! The tables of embeddings of a run.

/// The table, where the stage keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Embeddings {
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
}

/// Columns of what was measured; the others are labels, and what the rows came from.
pub(crate) const MEASURED: [&str; 7] = [
    "n_windows",
    "n_frames",
    "t_r_s",
    "mean_fd_mm",
    "median_tsnr",
    "median_dvars_percent",
    "n_lost_parcels",
];

pub(super) const SUBJECTS: &str = "embeddings.parquet";
pub(super) const RUNS: &str = "embeddings_runs.parquet";
