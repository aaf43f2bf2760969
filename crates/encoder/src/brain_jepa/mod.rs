//! Brain-JEPA (Dong et al. 2024): a vision transformer over patches of parcel series, whose places are
//! the parcels' positions along the gradients of the functional connectome.
//!
//! The authors' table of gradients has its parcels in the order of their data loader: Tian's before
//! Schaefer's.

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
pub use weights::checked;
