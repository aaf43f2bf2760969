//! Brain-JEPA (Dong et al. 2024): a vision transformer over patches of parcel series, whose places are
//! the parcels' positions along the gradients of the functional connectome.
//!
//! No numbers recorded from the original are kept: it is checked against its formulas, worked out again
//! in the tests, and says of itself that it is unverified. Neither paper nor weights say in which order
//! the table of gradients has its parcels; its authors' data loader puts Tian's before Schaefer's, and
//! that is what is asked for.

mod encoder;
mod network;
mod size;
#[cfg(test)]
mod tests;
mod weights;

pub use encoder::{BrainJepaConfig, BrainJepaEncoder};
pub(crate) use encoder::{ID, NAME};
pub use network::BrainJepa;
pub use size::BrainJepaSize;
