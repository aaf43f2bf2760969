//! What a training learns, in tokens.
use serde::Serialize;

/// Texts that a training learns and is judged by.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainingPlan {
    /// Tokens of the longest prompt, with its scan.
    pub prompt_tokens: usize,
    /// Tokens of each report that is learned or judges, its end left out, in the order of the table.
    #[serde(skip)]
    pub report_tokens: Vec<usize>,
}

impl TrainingPlan {
    /// Tokens of the longest report, with its end.
    pub(crate) fn most_new_tokens(&self) -> usize {
        1 + self.report_tokens.iter().max().copied().unwrap_or(0)
    }
}
