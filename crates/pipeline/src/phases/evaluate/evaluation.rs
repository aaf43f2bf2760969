//! What an evaluation measures, and what it gives.

use report::{
    evidence::Evidence,
    metrics::{Copying, Reliability, SlotScores, Temperature},
    tables::{StatementTable, SummaryRow},
};
use serde::{Deserialize, Serialize};

use super::texts::TextScores;
use crate::{
    answers::Reading,
    media::Media,
    phases::{Trained, WrittenReport, finetune::Fit},
};

/// Everything `metrics.json` holds: no times, so that the same run gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluation {
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// The one line.
    pub(crate) verdict: String,
    /// Accuracy in the scored slot, one row a way to answer.
    pub(crate) table: Vec<SummaryRow>,
    pub(crate) evidence: Evidence,
    /// Whether the text depends on each of several media, the others staying the own ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) each_medium: Vec<MediumEvidence>,
    /// The first scored slot; empty of free text.
    pub(crate) scored_slot: String,
    /// All of them, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) scored_slots: Vec<String>,
    /// One entry a slot of the report.
    pub(crate) slots: Vec<NamedScores>,
    /// What is stated in every slot, beside what is true.
    pub(crate) statements: StatementTable,
    /// None where no scored slot has probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) calibration: Option<Calibration>,
    pub(crate) texts: TextScores,
    pub(crate) n_distinct_reports: usize,
    /// What the generated texts share with those that were trained on.
    #[serde(default)]
    pub(crate) copying: Copying,
    /// How the statement of each scored slot goes with the scan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) answers: Vec<SlotAnswers>,
    /// What these windows cannot tell, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// Share of reports that ended by themselves.
    pub(crate) stopped: f64,
    pub(crate) windows: Vec<WindowScore>,
    /// Windows that were compared with each other, as places in `windows`; one block of all where all
    /// pairs were compared.
    pub(crate) blocks: Vec<Vec<usize>>,
    /// Row: report, in the order of `windows`; column: scan, in the order of the report's block; nats a
    /// token. A row is empty where the window is in no block.
    pub(crate) nll: Vec<Vec<f64>>,
    pub(crate) fit: Fit,
}

/// Whether the text depends on one medium of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MediumEvidence {
    /// Its name.
    pub(crate) name: String,
    /// The one line, or why there is none.
    pub(crate) verdict: String,
    /// Test windows without it, which are left out.
    pub(crate) n_missing: usize,
    /// Accuracy in the scored slot, one row a way to answer: with the own medium, with another's, without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) table: Vec<SummaryRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) evidence: Option<Evidence>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NamedScores {
    pub(crate) slot: String,
    pub(crate) scores: SlotScores,
}

/// How the statement of one scored slot goes with the scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SlotAnswers {
    pub(crate) slot: String,
    /// Share of statements that are others with another scan, over all scans that were compared.
    pub(crate) sensitivity: f64,
    /// Of the reports that state it, the share that say the same without a scan.
    pub(crate) unchanged_without_scan: Option<f64>,
}

/// Whether the probabilities of the scored slot are worth what they say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Calibration {
    pub(crate) temperature: Temperature,
    pub(crate) brier: f64,
    pub(crate) reliability: Reliability,
}

/// One test window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WindowScore {
    pub(crate) subject: String,
    pub(crate) session: String,
    pub(crate) run: usize,
    pub(crate) window: usize,
    pub(crate) onset_s: f64,
    pub(crate) truth: String,
    pub(crate) generated: Option<String>,
    pub(crate) no_scan: Option<String>,
    pub(crate) confidence: Option<f64>,
    /// Nats a token of the true report given its own scan, and given the others of its block on
    /// average.
    pub(crate) nll_own: Option<f64>,
    pub(crate) nll_others: Option<f64>,
    /// What is written without a scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text_without_scan: Option<String>,
    /// The window of somebody else, or where there is one person of another scan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) other_scan: Option<String>,
    /// What is written with that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text_with_other_scan: Option<String>,
}

impl Evaluation {
    /// Scores of the first scored slot, unless it is a set.
    pub(crate) fn scored(&self) -> Option<&SlotScores> {
        let scored = self.slots.iter().find(|it| it.slot == self.scored_slot);
        scored.map(|it| &it.scores)
    }
}

/// What is measured.
#[derive(Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) media: &'a Media<'a>,
    pub(super) trained: &'a Trained,
    pub(super) reports: &'a [WrittenReport],
    /// Keeps what was read of the model for a stopped run to go on after.
    pub(super) reading: &'a Reading,
}
