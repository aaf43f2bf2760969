//! Answers to questions, as pages show them.
use pages::AskedQuestion;
use report::tables::Table;

use crate::phases::{AskMetrics, AskedCohort, GivenAnswer, QuestionFound};

/// Every question with what became of it.
pub(super) fn questions(metrics: &AskMetrics) -> Vec<AskedQuestion> {
    metrics.questions.iter().map(|it| question(it, metrics)).collect()
}

fn question(found: &QuestionFound, metrics: &AskMetrics) -> AskedQuestion {
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    add("Windows, people", format!("{}, {}", metrics.n_windows, metrics.n_people));
    if metrics.n_trained_on > 0 {
        add("Trained on, and not judged by", metrics.n_trained_on.to_string());
    }
    if let Some(scores) = &found.scores {
        add(
            "Windows and people with a known answer",
            format!("{}, {}", scores.n_windows, scores.n_people),
        );
        add("Accuracy", scores.accuracy.to_string());
        add("Accuracy without a scan", scores.accuracy_without_scan.to_string());
        add("Most frequent true answer", scores.majority.to_string());
        add("Balanced accuracy", scores.balanced_accuracy.to_string());
        let area = scores
            .roc_auc
            .map_or_else(|| "only one true answer occurs".to_owned(), |it| it.to_string());
        add("Area under the ROC curve", area);
        add("Brier score", scores.brier.to_string());
    }
    if let Some(it) = &found.dependence {
        add("Answers that change without a scan", it.changed_without_scan.to_string());
        add("Probability that moves without a scan", it.moved_without_scan.to_string());
        let others = it.changed_with_other_scans.zip(it.moved_with_other_scans);
        if let Some((changed, moved)) = others {
            let whose = metrics.other_scans.in_words();
            add(&format!("Answers that change with {whose}"), changed.to_string());
            add(&format!("Probability that moves with {whose}"), moved.to_string());
        }
    }
    AskedQuestion {
        id: found.id.clone(),
        words: found.words.clone(),
        verdict: found.evidence.as_ref().map(|it| it.verdict.clone()),
        no_verdict: found.no_verdict.clone(),
        answers: found.answers.iter().cloned().zip(found.n_given.iter().copied()).collect(),
        facts,
    }
}

/// What was answered about some scans, a row for each allowed answer.
pub(super) fn of_scans(asked: Option<&AskedCohort>, scans: &[usize]) -> Table {
    let others = asked.map_or("other scans", |it| it.metrics.other_scans.in_words());
    let columns =
        ["answer", "probability", "without a scan", others, "given", "true", "trained on"];
    let given = asked.map_or(&[][..], |it| &it.given);
    let given = given.iter().filter(|it| scans.contains(&it.scan_idx));
    let rows = given.flat_map(|it| (0..it.allowed.len()).map(move |at| row(it, at)));
    Table {
        head: "question".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
        notes: Vec::new(),
    }
}

fn row(given: &GivenAnswer, at: usize) -> (String, Vec<String>) {
    let allowed = &given.allowed[at];
    let window = given.window.map_or_else(String::new, |it| format!(", window {it}"));
    let number = |it: f64| format!("{it:.3}");
    let mark = |is: bool| if is { "yes" } else { "" }.to_owned();
    let cells = vec![
        allowed.answer.clone(),
        number(allowed.probability),
        number(allowed.no_scan),
        allowed.other_scans.map_or_else(|| "n/a".to_owned(), number),
        mark(given.given == at),
        given.truth.map_or_else(|| "n/a".to_owned(), |truth| mark(truth == at)),
        mark(given.trained_on),
    ];
    (format!("{}, {}{window}", given.question, given.scan), cells)
}
