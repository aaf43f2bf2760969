//! What was shown in place of the own scans, or told before the reports.

use serde::{Deserialize, Serialize};

/// Which scans stand in for the own one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// Of any other person.
    Another,
    /// Of another person of the same site, sex and decade of age.
    Matched,
    /// Of another person with the same label.
    SameLabel,
    /// None: the language model alone.
    NoScan,
    /// The mean of what the model is shown of the training scans.
    MeanScan,
    /// The own one with a phase drawn for every frequency of every column.
    PhaseRandomised,
    /// The own one with a phase drawn for every frequency.
    PhaseRandomisedTogether,
    /// The own one with its frames in another order.
    TimePermuted,
}

/// What a model did with something in place of the own scan of each window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Substitute {
    /// What stands in.
    pub kind: ConditionKind,
    /// The same in words.
    pub name: String,
    /// Nats a token of the true report.
    pub nll: Vec<f64>,
    /// How right the text is, as with the own scan: of one slot 1 or 0.
    pub right: Vec<f64>,
    /// Why there is nothing to measure; `nll` and `right` are empty then.
    pub missing: Option<String>,
}

impl Substitute {
    /// One that cannot be had.
    pub fn missing(kind: ConditionKind, name: &str, reason: String) -> Self {
        let (nll, right) = (Vec::new(), Vec::new());
        Self { kind, name: name.to_owned(), nll, right, missing: Some(reason) }
    }
}

/// What a model did with the scans of `n` windows as they are, without the parcels of a slot's place, and without
/// as many others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OccludedSlot {
    /// The slot.
    pub slot: String,
    /// Its place in words, if it has one.
    pub place: Option<String>,
    /// Parcels that were taken out, or why none could be.
    pub occluded: std::result::Result<Occluded, String>,
}

/// What was written about a slot, and how likely the true reports are, window by window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Occluded {
    /// Parcels of the place, and as many others.
    pub n_parcels: usize,
    /// Stated with the whole scan.
    pub own: Vec<Option<String>>,
    /// Stated without the place.
    pub without: Vec<Option<String>>,
    /// Stated without as many other parcels.
    pub control: Vec<Option<String>>,
    /// Nats a token of the true report without the place.
    pub nll_without: Vec<f64>,
    /// The same without as many other parcels.
    pub nll_control: Vec<f64>,
}

/// What was written after a prompt that states a wrong value of a slot, window by window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToldOtherwise {
    /// The slot.
    pub slot: String,
    /// The value in the prompt, neither true nor stated without being told; `None` leaves the window out.
    pub told: Vec<Option<String>>,
    /// What is stated after it.
    pub stated: Vec<Option<String>>,
    /// What is stated after the plain prompt.
    pub plain: Vec<Option<String>>,
}
