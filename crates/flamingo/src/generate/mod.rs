//! Writing: prompts and scans in, text out.
//!
//! ```text
//! GenerateConfig ─ Decoding ─┐
//! Requests ─ ids, scans ─────┴─ Flamingo::generate_ids ─ ids ─ text
//! ```
//! A call holds all its state: calls on one model cannot touch each other, and an error leaves
//! nothing behind.

mod batch;
mod config;
mod guided;
mod ids;
mod number;
mod request;
#[cfg(test)]
mod tests;
mod writer;

use crate::{Model, Result, Stop, flamingo::NEVER};
pub use config::{Constrain, GenerateConfig};
pub use guided::{Guide, Next};
pub use ids::{Choice, Chosen, Decoding, Forced, Listener, Sequence};
pub use number::NumberRange;
pub use request::{Generated, Request};
pub use writer::Writer;

impl Model {
    /// Writes each request's continuation, in the given order; `num_return_sequences` for each,
    /// best first, one after the other.
    pub fn generate(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
    ) -> Result<Vec<Generated>> {
        self.generate_streaming(requests, config, &mut |_, _| ())
    }

    /// The same, telling `piece` the place in the result and some more text as soon as it is
    /// certain: complete characters, after each token or, with beams, at the end.
    pub fn generate_streaming(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
        piece: &mut dyn FnMut(usize, &str),
    ) -> Result<Vec<Generated>> {
        self.writer().write(requests, config, piece, NEVER)
    }

    /// [`Self::generate`], ending before the next block with [`Error::Stopped`](crate::Error::Stopped)
    /// once `stop` says so.
    pub fn generate_until(
        &self,
        requests: &[Request],
        config: &GenerateConfig,
        stop: Stop<'_>,
    ) -> Result<Vec<Generated>> {
        self.writer().write(requests, config, &mut |_, _| (), stop)
    }
}
