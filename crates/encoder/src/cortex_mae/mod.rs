//! CortexMAE (Lane et al. 2025) of parcels: a masked autoencoder over patches of parcel series in time.
//!
//! Its siblings of flat maps and of volumes are not built. No numbers recorded from the original are
//! kept: it is checked against its formulas, worked out again in the tests, and says of itself that it
//! is unverified. The published settings were not at hand; what is built is their program's default,
//! places and times apart and a class token without a position, and a file with other tensors is
//! refused. Its authors scale a parcel before its rate is changed, a pipeline does so after.

mod encoder;
mod network;
mod size;
#[cfg(test)]
mod tests;
mod weights;

pub(crate) use encoder::ID;
pub use encoder::{CortexMaeConfig, CortexMaeEncoder};
pub use network::CortexMae;
pub use size::CortexMaeSize;
