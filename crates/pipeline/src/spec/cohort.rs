//! What is read: windows of scans with their reports, or text alone.
use std::path::PathBuf;

use report::{prompt::PromptTemplate, slots::SlotSet};
use scan::SplitUnit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::component::Component;

/// What a pipeline reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CohortSpec {
    /// Windows of scans paired with reports.
    Pairs(PairsSpec),
    /// Pictures, to be written under.
    Pictures(PicturesSpec),
    /// Text without scans, to train a language model on.
    Corpus(CorpusSpec),
}

/// A table of windows and reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairsSpec {
    /// CSV with the columns subject, session, scan, onset, duration, report, split.
    pub table: PathBuf,
    /// What may never be in two splits at once.
    pub split_unit: SplitUnit,
    /// What a report states that is either right or wrong.
    pub slots: Component<SlotSet>,
    /// What the model is told before it writes; holds `{technique}` once.
    pub prompt: PromptTemplate,
}

/// A table of pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PicturesSpec {
    /// CSV with the column image, relative to the table, and perhaps reference: a text that someone
    /// wrote under it. A picture with several references has several rows.
    pub table: PathBuf,
    /// What the model is told before it writes; holds `<image>` once.
    pub prompt: String,
}

/// Plain texts, separated by blank lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorpusSpec {
    /// The file.
    pub texts: PathBuf,
}
