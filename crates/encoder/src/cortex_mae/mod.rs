//! CortexMAE (Lane et al. 2025) of parcels: a masked autoencoder over patches of parcel series in time.
//!
//! Its siblings of flat maps and of volumes are not built. Everything about a published network that its
//! tensors do not tell is read from the `args` of its checkpoint.

mod args;
mod decoder;
mod encoder;
mod network;
mod size;
#[cfg(test)]
mod tests;
mod visible;
mod weights;

pub use decoder::CortexMaeDecoder;
pub use encoder::{CortexMaeConfig, CortexMaeEncoder};
pub(crate) use encoder::{ID, NAME};
pub use network::CortexMae;
pub use size::{CortexMaeDecoderSize, CortexMaeDecoding, CortexMaePositions, CortexMaeSize};
pub use visible::Visible;
