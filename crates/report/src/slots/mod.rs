//! What a report can say that is either right or wrong: named slots, their values, the words for
//! them.

mod cell;
mod clause;
#[cfg(test)]
pub(crate) mod example;
mod find;
mod number;
mod parse;
mod place;
mod reading;
mod rewrite;
mod set;
mod slot;
mod wording;
mod write;

pub use find::SlotSpan;
pub use number::NumberForm;
pub use parse::ParsedReport;
pub use place::Place;
pub use reading::{NONE, SlotReading};
pub use rewrite::{Alternatives, Choice};
pub use set::{Derivation, SlotSet};
pub use slot::{Author, Forms, Section, Slot, SlotKind, Truth};
pub use wording::{Next, Wording, Writer};
