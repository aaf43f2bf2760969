//! What a run directory says of the items of a data set, and what repetitions say together.
use report::counted;
use serde::Serialize;

use crate::{
    phases::{Asked, FewShot, FewShotMetrics},
    plan::{Plan, RunPlan},
    unit_record::UnitRecord,
};

/// The items of one run, in the order of the data set.
fn asked(plan: &Plan, run: &RunPlan) -> Option<Asked> {
    plan.spec().few_shot().map(|config| Asked::of(plan.benchmark(), config, run.seed))
}

/// How many items a run asks.
pub(crate) fn n_items(plan: &Plan) -> usize {
    asked(plan, &plan.runs[0]).map_or(0, |it| it.items.len())
}

/// One an item.
pub(crate) fn units<'a>(
    plan: &'a Plan,
    run: &RunPlan,
    few_shot: Option<&'a FewShot>,
) -> Vec<UnitRecord<'a>> {
    let stage = plan.spec().stages().last().map_or("", |stage| stage.name());
    let record = |item: usize| {
        let failure = few_shot.and_then(|it| it.failures.get(&item));
        UnitRecord::of("item", &plan.benchmark().test[item].id, stage, failure)
    };
    asked(plan, run).map_or_else(Vec::new, |it| it.items).into_iter().map(record).collect()
}

/// `metrics.json` of repetitions.
#[derive(Debug, Serialize)]
pub(crate) struct FewShotSummary {
    name: String,
    metric: Option<String>,
    n_repetitions: usize,
    shots: Vec<Trials>,
}

/// One number of shots over all repetitions.
#[derive(Debug, PartialEq, Serialize)]
struct Trials {
    shots: usize,
    /// The score of each repetition.
    trials: Vec<f64>,
    mean: f64,
    /// Over repetitions, divided by their number.
    stddev: f64,
}

impl FewShotSummary {
    pub(crate) fn of(plan: &Plan, repetitions: &[FewShotMetrics]) -> Self {
        let first = &repetitions[0];
        let trials = |(at, shots): (usize, &crate::phases::ShotMetrics)| {
            let score =
                |it: &FewShotMetrics| Some(it.shots[at].scores.as_ref()?.headline().1.estimate);
            let trials: Vec<f64> = repetitions.iter().filter_map(score).collect();
            Trials::of(shots.shots, trials)
        };
        Self {
            name: plan.spec().name.clone(),
            metric: first.metric.clone(),
            n_repetitions: repetitions.len(),
            shots: first.shots.iter().enumerate().map(trials).collect(),
        }
    }

    /// A line for each number of shots.
    pub(crate) fn terminal(&self) -> String {
        let metric = self.metric.as_deref().unwrap_or("not scored");
        let n = counted(self.n_repetitions, "repetition");
        let line = |it: &Trials| match it.trials.as_slice() {
            [] => format!("{:>5}\n", it.shots),
            _ => format!("{:>5}  {:.2} ± {:.2}\n", it.shots, it.mean, it.stddev),
        };
        let lines: String = self.shots.iter().map(line).collect();
        format!("shots  {metric}, mean and standard deviation over {n}\n{lines}")
    }
}

impl Trials {
    fn of(shots: usize, trials: Vec<f64>) -> Self {
        let n = trials.len().max(1) as f64;
        let mean = trials.iter().sum::<f64>() / n;
        let stddev = (trials.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / n).sqrt();
        Self { shots, trials, mean, stddev }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_have_numpys_standard_deviation() {
        // numpy.std([1, 2, 4, 5]) is sqrt(2.5)
        let found = Trials::of(4, vec![1.0, 2.0, 4.0, 5.0]);
        assert!((found.mean - 3.0).abs() < 1e-12 && (found.stddev - 2.5_f64.sqrt()).abs() < 1e-12);
    }
}
