//! The settings of `ask`.
use flamingo::RankBy;
use report::questions::QuestionWords;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Questions with allowed answers, asked of a package about every scan of a cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskConfig {
    /// The questions; each is asked by itself.
    pub questions: Vec<Question>,
    /// What answers are compared by: `sum`, the log-probability of the answer, as the values of a slot are, or
    /// `mean`, that of its tokens on average.
    #[serde(default = "rank_by")]
    pub rank_by: RankBy,
    /// Answers that are read together.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// Pairs of windows whose scans are exchanged, about, for each question. Where there are more pairs, which ones is
    /// drawn by the run's seed.
    #[serde(default = "max_pairs")]
    pub max_pairs: usize,
    /// Permutations behind the p-value of each verdict, at least 999.
    #[serde(default = "permutations")]
    pub permutations: usize,
    /// Draws of people behind each interval that is drawn.
    #[serde(default = "bootstrap")]
    pub bootstrap: usize,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Names it in tables: letters, digits, `-` and `_`.
    pub id: String,
    /// What stands between the scan and the answer. May hold `{technique}` once, and columns of the cohort that say
    /// something of the person, such as `{age}`.
    pub words: QuestionWords,
    /// The answers among which the model chooses, at least two.
    pub answers: Vec<String>,
    /// The column with the true answers, in the same words; empty cells and `n/a` are not known. Absent: nothing is
    /// scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<String>,
}

impl Question {
    /// What is wrong with it whatever the cohort is.
    pub(super) fn check(&self) -> Result<(), String> {
        let id = &self.id;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || !id.chars().all(is_name) {
            return Err(format!(
                "has a question with the id {id:?}, expected letters, digits, - and _"
            ));
        }
        if let Some(answer) =
            self.answers.iter().find(|it| it.trim().is_empty() || it.trim() != *it)
        {
            return Err(format!(
                "question {id} allows the answer {answer:?}, expected words without a blank around them"
            ));
        }
        if let Some(answer) = tables::first_twice(self.answers.iter().map(String::as_str)) {
            return Err(format!("question {id} allows the answer {answer:?} twice"));
        }
        match self.answers.len() {
            0 | 1 => Err(format!(
                "question {id} allows {}, expected at least two to choose from",
                report::counted(self.answers.len(), "answer")
            )),
            _ => Ok(()),
        }
    }
}

impl AskConfig {
    /// Every column that a question states or is true by, each once.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        for question in &self.questions {
            for column in question.words.columns().into_iter().chain(question.truth.as_deref()) {
                if !columns.contains(&column) {
                    columns.push(column);
                }
            }
        }
        columns
    }
}

const fn rank_by() -> RankBy {
    RankBy::Sum
}

const fn batch_size() -> usize {
    32
}

/// All pairs of 200 windows.
const fn max_pairs() -> usize {
    20_000
}

const fn permutations() -> usize {
    999
}

const fn bootstrap() -> usize {
    2000
}
