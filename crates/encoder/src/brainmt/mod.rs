//! BrainMT (Kannan et al. 2025): volumes through strided convolutions, a state-space model over all
//! cells and frames, and attention over them.

mod encoder;
mod mixer;
mod network;
mod size;
mod stem;
#[cfg(test)]
mod tests;
mod weights;

pub(crate) use encoder::ID;
pub use encoder::{BrainMtConfig, BrainMtEncoder};
pub use mixer::{Direction, Inside, Mixer};
pub use network::{BrainMt, Place};
pub use size::{BrainMtSize, cells};
pub use stem::{Stem, StemPart};
pub(crate) use weights::read;
