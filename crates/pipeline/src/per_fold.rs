//! What each repetition scored: a row a repetition and metric.
use scan::Split;
use tables::{Column, Separator, Table};

use crate::{Result, phases::Evaluation, plan::RunPlan};

/// A score of an evaluation; none where it was not measured.
type Score = (&'static str, fn(&Evaluation) -> Option<f64>);

/// What is measured in every repetition.
pub(crate) const SCORES: [Score; 14] = [
    ("two_afc", |it| Some(it.evidence.verdict.two_afc.estimate)),
    ("written", |it| Some(it.evidence.written?.estimate)),
    ("likelihood_gain", |it| Some(it.evidence.likelihood_gain.estimate)),
    ("recall_at_1", |it| Some(it.evidence.retrieval.recall_at_1)),
    ("mrr", |it| Some(it.evidence.retrieval.mrr)),
    ("sensitivity", |it| Some(it.evidence.sensitivity)),
    ("brier", |it| Some(it.calibration.as_ref()?.brier)),
    ("ece", |it| Some(it.calibration.as_ref()?.reliability.ece)),
    ("bleu_4", |it| Some(it.texts.scores.bleu[3])),
    ("rouge_l", |it| Some(it.texts.scores.rouge_l)),
    ("cider_d", |it| Some(it.texts.scores.cider_d)),
    ("cider_r", |it| Some(it.texts.scores.cider_r)),
    ("f1_micro", |it| it.statements.together.as_ref()?.micro.f1),
    ("f1_macro", |it| it.statements.together.as_ref()?.macro_mean.f1),
];

/// A number of a repetition.
struct Row<'a> {
    run: &'a RunPlan,
    metric: String,
    value: Option<f64>,
}

/// `per_fold_metrics.csv`: the scores of every run, then the accuracy of the written texts and of each
/// baseline, with how many rows of the table were learned from and tested. A score that a run does not have
/// is empty.
pub(crate) fn table(runs: &[RunPlan], evaluations: &[Evaluation]) -> Result<Vec<u8>> {
    let rows = runs.iter().zip(evaluations).flat_map(|(run, of)| {
        let scores = SCORES.iter().map(|(name, score)| ((*name).to_owned(), score(of)));
        let accuracies = of
            .table
            .iter()
            .map(|row| (format!("accuracy: {}", row.name), Some(row.accuracy.estimate)));
        scores.chain(accuracies).map(move |(metric, value)| Row { run, metric, value })
    });
    written(&rows.collect::<Vec<_>>())
}

fn written(rows: &[Row<'_>]) -> Result<Vec<u8>> {
    let whole = |of: &dyn Fn(&RunPlan) -> Option<usize>| {
        Column::Integer(rows.iter().map(|row| Some(of(row.run)? as i64)).collect())
    };
    let n = |split: Split| whole(&|run| Some(run.splits.iter().filter(|it| **it == split).count()));
    let seed = rows.iter().map(|row| Some(row.run.seed.to_string())).collect();
    let table = Table::new([
        ("run", Column::Text(rows.iter().map(|row| row.run.label.clone()).collect())),
        ("repeat", whole(&|run| run.repeat.or(run.fold.map(|_| 1)))),
        ("fold", whole(&|run| run.fold)),
        ("seed", Column::Text(seed)),
        ("n_train", n(Split::Train)),
        ("n_validation", n(Split::Validation)),
        ("n_test", n(Split::Test)),
        ("metric", Column::Text(rows.iter().map(|row| Some(row.metric.clone())).collect())),
        ("value", Column::Number(rows.iter().map(|row| row.value).collect())),
    ])?;
    Ok(table.to_text(Separator::Comma)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_says_which_fold_of_which_drawing_it_is() {
        use Split::{Test, Train, Validation};
        let run = |label: &str, repeat, fold, seed| RunPlan {
            label: Some(label.to_owned()),
            repeat,
            fold,
            seed,
            splits: vec![Train, Train, Validation, Test, Train],
        };
        let runs =
            [run("repeat-2_fold-1_seed-9", Some(2), Some(1), 9), run("seed-4", None, None, 4)];
        let rows: Vec<Row<'_>> = [("two_afc", Some(0.75)), ("brier", None)]
            .into_iter()
            .zip(&runs)
            .map(|((metric, value), run)| Row { run, metric: metric.to_owned(), value })
            .collect();
        let text = String::from_utf8(written(&rows).unwrap()).unwrap();
        let expected = "run,repeat,fold,seed,n_train,n_validation,n_test,metric,value\n\
                        repeat-2_fold-1_seed-9,2,1,9,3,1,1,two_afc,0.75\n\
                        seed-4,,,4,3,1,1,brier,\n";
        assert_eq!(text, expected);
    }
}
