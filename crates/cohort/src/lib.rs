//! Cohorts: which recordings of whom there are, which of them are wanted, who is learned from.
//!
//! ```text
//! BIDS folder ─┐                              entities, where, header, qc_thresholds
//! files ───────┤
//! manifest ────┼─ index ─→ Cohort { Recording …, Excluded … } ── divide ─→ Division
//! HDF5 file ───┘                                                      train │ validation │ test
//! ```
//!
//! What is wrong with one recording leaves it out, with the [`Reason`]; what is wrong with a table
//! or a setting is an [`Error`]. No path leaves the cohort's folder, and no sentence names anybody.

mod bids;
mod by_pattern;
mod censored;
mod division;
mod entity;
mod error;
mod folder;
mod labels;
mod manifest;
mod propose;
mod pseudonym;
mod quality;
mod query;
mod reason;
mod recording;
mod root;
mod rows;
mod select;
mod sidecar;
mod spelling;
mod stack;
#[cfg(test)]
mod testing;
mod timing;
mod twice;
mod value;

pub use bids::{BidsConfig, confounds_beside, coverage_beside};
pub use by_pattern::{FilePattern, FilesConfig};
pub use censored::Kept;
pub use division::{
    Division, FractionsConfig, KfoldConfig, SplitConfig, repeated_folds, stratified_group_folds,
};
pub use entity::{Entities, Entity, entities_of};
pub use error::{Error, Result};
pub use manifest::{ManifestColumns, ManifestConfig};
pub use propose::{Alternative, Proposal, propose};
pub use pseudonym::Pseudonyms;
pub use quality::QcThresholds;
pub use query::{Query, QueryError};
pub use reason::{Part, Reason, Way};
pub use recording::{Cohort, Count, Excluded, Recording, RepetitionTime, Source, TrSource};
pub use rows::ArrowConfig;
pub use select::Wanted;
pub use stack::Hdf5Config;
pub use timing::{Timing, Timings};
pub use value::{Labels, Value};
