//! Brain-Semantoks (Gijsen et al. 2025): one token for each network and each stretch of time, made by a
//! convolution a network, and a transformer over them.

mod encoder;
mod network;
mod sibling;
mod size;
#[cfg(test)]
mod tests;
mod tokenizer;
mod weights;

pub use encoder::{BrainSemantoksConfig, BrainSemantoksEncoder};
pub(crate) use encoder::{ID, NAME};
pub use network::{BrainSemantoks, SemantoksPlace};
pub use size::{
    BrainSemantoksSize, DenseBranch, SemantoksBranch, SemantoksPooling, StructuredBranch,
};
