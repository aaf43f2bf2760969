//! What many repetitions say together.
use std::collections::BTreeMap;

use report::{
    counted,
    evidence::{Answer, MissingBaseline},
    metrics::Interval,
    tables::{SummaryRow, SummaryTable, other_scans},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Result,
    asked::{self, FewShotSummary},
    event::{Control, Event},
    per_fold::{self, SCORES},
    phases::{Evaluation, FewShotMetrics},
    plan::{Plan, SourcePlan},
    publish::Publisher,
    run::{Finished, Outcome},
};

/// The table and the line of one run, or of all repetitions; those also get a parent folder.
pub(crate) fn conclude(
    plan: &Plan,
    finished: Vec<Finished>,
    control: &mut Control<'_>,
) -> Result<Outcome> {
    // of repetitions, the one in which most failed
    let n_of = |failed: &BTreeMap<String, usize>| failed.values().sum::<usize>();
    let failed = finished.iter().map(|it| &it.failed).max_by_key(|it| n_of(it)).cloned();
    let mut failed = failed.unwrap_or_default();
    let (n_units, unit) = match &plan.source {
        SourcePlan::Cohort(cohort) => (cohort.scans.len(), "scan"),
        SourcePlan::Recordings(recordings) => {
            for excluded in recordings.cohort.failed() {
                let kind = excluded.reason.failure_kind().to_string();
                *failed.entry(kind).or_default() += 1;
            }
            (recordings.recordings().len() + recordings.cohort.failed().count(), "recording")
        }
        SourcePlan::Pictures(pictures) => (pictures.pictures.len(), "picture"),
        SourcePlan::Benchmark(_) => (asked::n_items(plan), "item"),
        SourcePlan::Corpus { .. } => (1, "corpus"),
    };
    let asked = finished.iter().find_map(|it| it.asked.clone());
    let (evaluations, few_shot): (Vec<_>, Vec<_>) =
        finished.into_iter().map(|it| (it.evaluation, it.few_shot)).unzip();
    let evaluations: Vec<Evaluation> = evaluations.into_iter().flatten().collect();
    let few_shot: Vec<FewShotMetrics> = few_shot.into_iter().flatten().collect();
    let mut outcome = Outcome {
        run_dir: plan.run_dir.clone(),
        n_failed: n_of(&failed),
        failed,
        n_units,
        unit,
        table: None,
        verdict: None,
        metrics: None,
    };
    if let Some(asked) = asked {
        outcome.table = Some(asked.terminal());
        outcome.verdict = asked.verdict().map(str::to_owned);
        outcome.metrics = Some(serde_json::to_value(&asked).expect("plain values"));
        return Ok(outcome);
    }
    if let Some(first) = few_shot.first() {
        let (table, metrics) = if plan.is_repeated() {
            let summary = FewShotSummary::of(plan, &few_shot);
            (summary.terminal(), serde_json::to_value(&summary).expect("plain values"))
        } else {
            (first.terminal(), serde_json::to_value(first).expect("plain values"))
        };
        if plan.is_repeated() {
            publish(plan, &metrics, &table, None, None)?;
            control.tell(Event::Published { run_dir: plan.run_dir.clone() });
        }
        outcome.table = Some(table);
        outcome.metrics = Some(metrics);
        return Ok(outcome);
    }
    let (table, metrics) = match evaluations.as_slice() {
        [] => return Ok(outcome),
        [only] if !plan.is_repeated() => {
            outcome.verdict = Some(only.verdict.clone());
            let table = SummaryTable::new(&only.evidence);
            (table, serde_json::to_value(only).expect("plain values"))
        }
        many => {
            let summary = Summary::of(plan, many);
            outcome.verdict = Some(summary.verdict.clone());
            let metrics = serde_json::to_value(&summary).expect("plain values");
            let intervals = "range over repetitions".to_owned();
            let (rows, missing) = (summary.table, summary.missing);
            let measure = many[0].evidence.measure;
            (SummaryTable { measure, intervals, rows, missing }, metrics)
        }
    };
    let mut table = table.terminal();
    if let ([only], false) = (evaluations.as_slice(), plan.is_repeated()) {
        table.push_str("\ngenerated texts against their references: ");
        table.push_str(&only.texts.to_string());
        table.push('\n');
        if !only.statements.slots.is_empty() {
            table.push('\n');
            table.push_str(&only.statements.terminal());
        }
        table.push('\n');
        table.push_str(&other_scans(&only.evidence));
        for note in &only.notes {
            table.push_str(note);
            table.push('\n');
        }
    }
    if plan.is_repeated() {
        let each = per_fold::table(&plan.runs, &evaluations)?;
        publish(plan, &metrics, &table, Some(&each), outcome.verdict.as_deref())?;
        control.tell(Event::Published { run_dir: plan.run_dir.clone() });
    }
    outcome.table = Some(table);
    outcome.metrics = Some(metrics);
    Ok(outcome)
}

/// `metrics.json` of the parent folder; intervals are mean and range over repetitions.
#[derive(Debug, Serialize)]
struct Summary {
    name: String,
    verdict: String,
    n_repetitions: usize,
    /// What every repetition has.
    table: Vec<SummaryRow>,
    /// What some repetition does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<MissingBaseline>,
    scores: Vec<Score>,
    repetitions: Vec<Repetition>,
}

#[derive(Debug, Serialize)]
struct Score {
    name: &'static str,
    /// Mean and range; `null` where some repetition did not measure it.
    over_repetitions: Option<Interval>,
}

#[derive(Debug, Serialize)]
struct Repetition {
    label: Option<String>,
    seed: u64,
    verdict: String,
    table: Vec<SummaryRow>,
    chosen_step: usize,
}

impl Summary {
    fn of(plan: &Plan, evaluations: &[Evaluation]) -> Self {
        let tables: Vec<&[SummaryRow]> = evaluations.iter().map(|it| &it.table[..]).collect();
        let score = |(name, of): &(&'static str, fn(&Evaluation) -> Option<f64>)| Score {
            name,
            over_repetitions: over_all(evaluations.iter().map(of)),
        };
        let repetition = |(run, it): (&crate::plan::RunPlan, &Evaluation)| Repetition {
            label: run.label.clone(),
            seed: run.seed,
            verdict: it.verdict.clone(),
            table: it.table.clone(),
            chosen_step: it.fit.chosen_step,
        };
        Self {
            name: plan.spec().name.clone(),
            verdict: verdict(evaluations),
            n_repetitions: evaluations.len(),
            table: table(&tables),
            missing: missing(evaluations),
            scores: SCORES.iter().map(score).collect(),
            repetitions: plan.runs.iter().zip(evaluations).map(repetition).collect(),
        }
    }
}

/// Mean and range of the rows that all tables have, whatever their order.
fn table(tables: &[&[SummaryRow]]) -> Vec<SummaryRow> {
    let of_all = |row: &SummaryRow| {
        let same = |table: &&[SummaryRow]| {
            Some(table.iter().find(|it| it.name == row.name)?.accuracy.estimate)
        };
        let estimates = tables.iter().map(same).collect::<Option<Vec<f64>>>()?;
        Some(SummaryRow { name: row.name.clone(), accuracy: range(estimates.into_iter()) })
    };
    tables[0].iter().filter_map(of_all).collect()
}

/// Each baseline that a repetition lacks once, with the first reason and in how many it is so.
fn missing(evaluations: &[Evaluation]) -> Vec<MissingBaseline> {
    let mut found: Vec<(MissingBaseline, usize)> = Vec::new();
    for missing in evaluations.iter().flat_map(|it| &it.evidence.missing_baselines) {
        match found.iter_mut().find(|(it, _)| it.name == missing.name) {
            Some((_, n)) => *n += 1,
            None => found.push((missing.clone(), 1)),
        }
    }
    let n_all = evaluations.len();
    let said = |(MissingBaseline { name, reason }, n)| {
        let reason = format!("in {n} of {n_all} repetitions: {reason}");
        MissingBaseline { name, reason }
    };
    found.into_iter().map(said).collect()
}

/// Yes or no only where all repetitions agree.
fn verdict(evaluations: &[Evaluation]) -> String {
    let count =
        |answer| evaluations.iter().filter(|it| it.evidence.verdict.answer == answer).count();
    let (yes, no, n) = (count(Answer::Yes), count(Answer::No), evaluations.len());
    let answer = match (yes, no) {
        (yes, _) if yes == n => Answer::Yes,
        (_, no) if no == n => Answer::No,
        _ => Answer::Undecided,
    };
    let two_afc = range(evaluations.iter().map(|it| it.evidence.verdict.two_afc.estimate));
    let written = written(evaluations).map_or_else(String::new, |it| format!("written {it}, "));
    format!(
        "SCAN-DEPENDENT: {} (2AFC {two_afc}, {written}n={}: {yes} yes, {no} no, {} undecided; \
         ranges over repetitions)",
        answer.word(),
        counted(n, "repetition"),
        n - yes - no,
    )
}

/// Mean and range of what is written with the own scan minus with another person's.
fn written(evaluations: &[Evaluation]) -> Option<Interval> {
    over_all(evaluations.iter().map(|it| it.evidence.written.map(|written| written.estimate)))
}

/// Mean and range of what every repetition has.
fn over_all(each: impl Iterator<Item = Option<f64>>) -> Option<Interval> {
    Some(range(each.collect::<Option<Vec<f64>>>()?.into_iter()))
}

/// Mean, smallest, largest.
fn range(values: impl Iterator<Item = f64> + Clone) -> Interval {
    let n = values.clone().count() as f64;
    Interval {
        estimate: values.clone().sum::<f64>() / n,
        low: values.clone().fold(f64::INFINITY, f64::min),
        high: values.fold(f64::NEG_INFINITY, f64::max),
    }
}

/// Writes the parent folder; `each` is the table of the repetitions.
fn publish(
    plan: &Plan,
    metrics: &Value,
    table: &str,
    each: Option<&[u8]>,
    verdict: Option<&str>,
) -> Result<()> {
    let mut out = Publisher::new(plan, &plan.run_dir)?;
    out.put("metrics.json", (files::to_json(metrics) + "\n").as_bytes())?;
    if let Some(each) = each {
        out.put("per_fold_metrics.csv", each)?;
    }
    let summary = match verdict {
        Some(verdict) => format!("Mean and range over repetitions.\n\n{table}\n{verdict}\n"),
        None => table.to_owned(),
    };
    out.put("summary.txt", summary.as_bytes())?;
    out.finish(|out| {
        out.write_record(&json!({
            "program": "neuroflamingo",
            "version": env!("CARGO_PKG_VERSION"),
            "name": plan.spec().name,
            "repetitions": plan.runs.iter().map(|run| &run.label).collect::<Vec<_>>(),
            "verdict": verdict,
            "files": out.files(),
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_joined_by_name_where_a_table_lacks_one() {
        let row = |name: &str, estimate| SummaryRow {
            name: name.to_owned(),
            accuracy: Interval { estimate, low: 0.0, high: 1.0 },
        };
        let whole = [row("generated", 0.5), row("logistic regression", 0.9), row("LDA", 0.75)];
        let lacks_one = [row("generated", 1.0), row("LDA", 0.25)];
        let joined = [("generated", 0.75), ("LDA", 0.5)];
        for tables in [[&whole[..], &lacks_one], [&lacks_one, &whole]] {
            let found = table(&tables);
            let found = found.iter().map(|it| (it.name.as_str(), it.accuracy.estimate));
            assert_eq!(found.collect::<Vec<_>>(), joined);
        }
    }

    #[test]
    fn a_range_is_mean_and_ends() {
        let range = range([0.5, 0.75, 1.0].into_iter());
        assert_eq!(range, Interval { estimate: 0.75, low: 0.5, high: 1.0 });
    }
}
