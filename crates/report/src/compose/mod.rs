//! Reference reports from columns and measured quantities: numbers and text in, text out.
//!
//! What is high or low is so beside the *training* people: [`Statistics`] are fitted to them alone, a person's
//! scans in one mean, and every z is taken from these. Nothing is stated that was not measured or given.

mod networks;
mod spec;
mod statistics;
mod text;

pub use networks::{Parcellation, network_measures};
pub use spec::{ReportSpec, Source, StatementSpec, Template};
pub use statistics::{Spread, Statistics};
pub use text::{Composed, Statement};

use std::collections::BTreeMap;

/// What is known of one scan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Whose scan it is.
    pub subject: String,
    /// The scan's own name, from which its phrasings are drawn.
    pub name: String,
    /// Whether statistics may be fitted to it.
    pub is_training: bool,
    /// The cells of the cohort's table, by column.
    pub columns: BTreeMap<String, String>,
    /// Numbers by name: `frames`, `t_r` in seconds, `mean_fd` in mm, `tsnr`, `coverage` in percent, and of each
    /// network `within:NAME`, `between:NAME` and `laterality:NAME`, differences and means of Fisher's z.
    pub quantities: BTreeMap<String, f64>,
}

#[cfg(test)]
mod tests;
