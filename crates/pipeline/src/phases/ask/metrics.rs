//! What answers are worth, question by question.
use std::fmt::Write as _;

use report::{
    counted,
    evidence::Evidence,
    questions::{AnswerScores, Dependence},
};
use serde::{Deserialize, Serialize};

use super::{config::Question, others::Others};

/// `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AskMetrics {
    name: String,
    model_id: String,
    seed: u64,
    /// Of each question; of several with its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    pub(crate) n_windows: usize,
    pub(crate) n_people: usize,
    /// Windows of scans that the model was trained on: answered, and not judged by.
    pub(crate) n_trained_on: usize,
    /// Which scans stand beside the own ones, in the whole cohort.
    pub(crate) other_scans: Others,
    pub(crate) questions: Vec<QuestionFound>,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct QuestionFound {
    pub(crate) id: String,
    pub(crate) words: String,
    pub(crate) answers: Vec<String>,
    /// How often each is given.
    pub(crate) n_given: Vec<usize>,
    /// None where every scan was trained on.
    pub(crate) dependence: Option<Dependence>,
    /// None where the truth is not known.
    pub(crate) scores: Option<AnswerScores>,
    /// Whether the answers depend on the scan, by the house's rule.
    pub(crate) verdict: Option<String>,
    /// Why there is no verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) no_verdict: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) evidence: Option<Evidence>,
}

impl QuestionFound {
    pub(super) fn new(
        question: &Question,
        n_given: Vec<usize>,
        dependence: Option<Dependence>,
        scores: Option<AnswerScores>,
        evidence: Result<Evidence, String>,
    ) -> Self {
        let (evidence, no_verdict) = match evidence {
            Ok(evidence) => (Some(evidence), None),
            Err(reason) => (None, Some(reason)),
        };
        Self {
            id: question.id.clone(),
            words: question.words.clone().into(),
            answers: question.answers.clone(),
            n_given,
            dependence,
            scores,
            verdict: evidence.as_ref().map(|it| it.verdict.to_string()),
            no_verdict,
            evidence,
        }
    }

    /// `sex: male 12, female 4; changed without a scan 0.20 [0.10, 0.30]`.
    pub(super) fn in_words(&self) -> String {
        let given = self.answers.iter().zip(&self.n_given);
        let given: Vec<String> = given.map(|(answer, n)| format!("{answer} {n}")).collect();
        let changed = self.dependence.as_ref().map_or_else(
            || "every scan was trained on, so nothing is known of others".to_owned(),
            |it| format!("changed without a scan {}", it.changed_without_scan),
        );
        format!("{}: {}; {changed}", self.id, given.join(", "))
    }
}

impl AskMetrics {
    pub(super) fn new(
        name: &str,
        model_id: &str,
        seed: u64,
        [n_windows, n_people, n_trained_on]: [usize; 3],
        other_scans: Others,
        questions: Vec<QuestionFound>,
    ) -> Self {
        let verdict = match questions.as_slice() {
            [only] => only.verdict.clone(),
            several => {
                let line =
                    |it: &QuestionFound| Some(format!("{}: {}", it.id, it.verdict.as_ref()?));
                let lines: Vec<String> = several.iter().filter_map(line).collect();
                (!lines.is_empty()).then(|| lines.join("\n"))
            }
        };
        let (name, model_id) = (name.to_owned(), model_id.to_owned());
        Self {
            name,
            model_id,
            seed,
            verdict,
            n_windows,
            n_people,
            n_trained_on,
            other_scans,
            questions,
        }
    }

    pub(crate) fn verdict(&self) -> Option<&str> {
        self.verdict.as_deref()
    }

    /// A line a question, then what there is to know.
    pub(crate) fn terminal(&self) -> String {
        const HEADS: [&str; 5] =
            ["accuracy", "without a scan", "most frequent", "balanced", "area (ROC)"];
        let first = "question".len();
        let first = self.questions.iter().map(|it| it.id.chars().count()).fold(first, usize::max);
        let mut table = format!("{:<first$}  {:>7}", "question", "windows");
        HEADS.iter().for_each(|head| _ = write!(table, "  {head:<18}"));
        let mut table = table.trim_end().to_owned() + "\n";
        for it in &self.questions {
            let Some(scores) = &it.scores else {
                let _ = writeln!(table, "{:<first$}  {:>7}  truth not known", it.id, 0);
                continue;
            };
            let area = scores.roc_auc.map_or_else(|| "n/a".to_owned(), |it| it.to_string());
            let cells = [
                scores.accuracy.to_string(),
                scores.accuracy_without_scan.to_string(),
                scores.majority.to_string(),
                scores.balanced_accuracy.to_string(),
                area,
            ];
            let mut line = format!("{:<first$}  {:>7}", it.id, scores.n_windows);
            cells.iter().for_each(|cell| _ = write!(line, "  {cell:<18}"));
            table.push_str(line.trim_end());
            table.push('\n');
        }
        table.push('\n');
        for it in &self.questions {
            let _ = writeln!(table, "{}", it.in_words());
            if let Some(why) = &it.no_verdict {
                let _ = writeln!(table, "{}: no verdict, because {why}", it.id);
            }
        }
        if self.n_trained_on > 0 {
            let n = counted(self.n_windows, "window");
            let _ = writeln!(
                table,
                "{} of {n} are of scans that the model was trained on: answered, and not judged by",
                self.n_trained_on
            );
        }
        table
    }
}
