//! The text side: what a report is, what it says, and whether it says it because of the scan.
//!
//! Plain numbers and strings in, plain numbers and strings out: no tensors, no files, no printing.

pub mod compose;
mod count;
mod error;
pub mod evidence;
pub mod few_shot;
pub mod generated;
pub mod linear;
pub mod metrics;
pub mod probe;
pub mod prompt;
pub mod questions;
pub mod slots;
pub mod tables;

pub use count::counted;
pub use error::{Error, Result};
