//! What a report can say that is either right or wrong: named slots, their values, the words for
//! them.

#[cfg(test)]
pub(crate) mod example;
mod find;
mod parse;
mod rewrite;
mod set;

pub use find::SlotSpan;
pub use parse::{ParsedReport, SlotReading};
pub use rewrite::{Alternatives, Choice};
pub use set::{Derivation, Section, Slot, SlotSet};
