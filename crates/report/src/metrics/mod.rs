//! Numbers about reports: scores of texts and slots, calibration, and intervals that respect how windows
//! were sampled.

mod bootstrap;
mod calibration;
mod caption;
mod copying;
mod interval;
mod jackknife;
pub mod ptb;
mod rank_correlation;
mod risk;
mod roc_auc;
mod rouge_l;
mod share;
mod slot_scores;
mod slot_statements;
mod statements;
mod student;
mod temperature;
mod trust;
pub mod vqa;

pub(crate) use bootstrap::Clusters;
pub use bootstrap::{Draws, bootstrap};
pub use calibration::{Reliability, ReliabilityBin, brier, reliability};
pub(crate) use calibration::{argmax, check_rows, squared_distances};
pub use caption::{Caption, CaptionScores, CorpusScores, caption_scores};
pub use copying::{Copying, copying};
pub use interval::Interval;
pub(crate) use jackknife::{Jackknife, RowMeans, effective, mean_interval};
pub(crate) use rank_correlation::correlation;
pub use rank_correlation::rank_correlation;
pub use risk::{RiskCoverage, RiskPoint, risk_coverage};
pub use roc_auc::roc_auc;
pub(crate) use rouge_l::of_words as rouge_of_words;
pub use rouge_l::rouge_l;
pub use share::share_interval;
pub(crate) use share::{agreeing, mean_share_interval};
pub use slot_scores::{Confusion, SlotScores, n_distinct, slot_scores};
pub use slot_statements::{Determined, Findings, SlotCalibration, SlotStatements, together};
pub use statements::{
    Agreement, NumberError, SetScores, StatementRates, number_error, set_scores, statement_rates,
};
pub use temperature::{Temperature, fit_temperature, softmax};
pub use trust::SlotTrust;

use crate::{Error, Result};

/// Two columns that must have the same length.
pub(crate) fn same_length(what: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Length { what, found, expected }) }
}

/// A column that must hold something.
pub(crate) fn at_least(what: &'static str, found: usize, expected: usize) -> Result<()> {
    if found >= expected { Ok(()) } else { Err(Error::TooFew { what, found, expected }) }
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
