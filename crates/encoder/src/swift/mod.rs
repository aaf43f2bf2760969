//! SwiFT (Kim et al. 2023): a shifted-window transformer over volumes and time.

mod block;
mod encoder;
mod network;
mod partition;
mod size;
#[cfg(test)]
mod tests;
mod weights;

pub(crate) use encoder::{ID, NAME};
pub use encoder::{SwiftConfig, SwiftEncoder};
pub use network::{Swift, SwiftPlace};
pub use size::SwiftSize;
