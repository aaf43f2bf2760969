//! Every report with every scan, and the numbers that follow.
use std::collections::BTreeMap;

use flamingo::{GenerateConfig, Model};
use report::{
    evidence::{Evidence, EvidenceConfig, EvidenceInput, GateOpening, Unit},
    metrics::{Interval, brier, n_distinct, reliability, slot_scores},
    render::SummaryRow,
};
use scan::Split;

use super::{
    Calibration, EvaluateConfig, Evaluation, NamedScores, WindowScore,
    baselines::{self, Baselines},
};
use crate::{
    Result,
    event::Control,
    plan::{ScanPlan, stated},
    readout::{self, Query},
    stage::{Stage, generate},
    state::State,
};

const STAGE: &str = "evaluate";

pub(super) fn evaluate(
    config: &EvaluateConfig,
    state: &State<'_>,
    control: &mut Control<'_>,
) -> Result<Evaluation> {
    let model = generate::open(state)?;
    let test = state.rows_of(Split::Test)?;
    let baselines = baselines::fit(config, state, &test)?;
    let nll = cross_nll(config, &model, state, &test, control)?;
    let (value, no_scan) = cross_values(&model, state, &test, control)?;
    let input = EvidenceInput {
        units: test.iter().map(|&row| unit(state, row)).collect(),
        truth: test.iter().map(|&row| truth(state, row)).collect(),
        nll,
        value,
        no_scan,
        majority: label(state, baselines.majority),
        gates: gates(&model)?,
    };
    let resampling = EvidenceConfig {
        n_draws: config.bootstrap,
        n_permutations: config.permutations,
        n_shuffles: config.shuffles,
        seed: state.run.seed,
    };
    let evidence = Evidence::measure(&input, &resampling)?;
    let fit = state.fit.clone().expect("reports come from a fitted model");
    let texts: Vec<&str> = state.reports.iter().map(|it| it.answer.text.as_str()).collect();
    let n_stopped = state.reports.iter().filter(|it| it.answer.stopped).count();
    Ok(Evaluation {
        name: state.plan.spec().name.clone(),
        seed: state.run.seed,
        verdict: evidence.verdict.to_string(),
        table: table(&resampling, state, &input, &evidence, &baselines)?,
        scored_slot: state.slots().scored().name.clone(),
        slots: all_slots(state)?,
        calibration: calibration(state, &fit)?,
        n_distinct_reports: n_distinct(&texts),
        stopped: n_stopped as f64 / texts.len() as f64,
        windows: windows(state, &input, &test),
        nll: input.nll,
        evidence,
        fit,
    })
}

/// `nll[i][j]`: nats a token of report `i` given scan `j`.
fn cross_nll(
    config: &EvaluateConfig,
    model: &Model,
    state: &State<'_>,
    test: &[usize],
    control: &mut Control<'_>,
) -> Result<Vec<Vec<f64>>> {
    let mut items = Vec::with_capacity(test.len() * test.len());
    for &report in test {
        for &scan in test {
            let medium = Some(state.medium(scan)?);
            let query = Query { prompt: state.prompt(report), medium };
            items.push(query.scored(&state.cohort().rows[report].report));
        }
    }
    let found = readout::likelihoods(model, &items, config.batch_size, STAGE, control)?;
    let nll: Vec<f64> = found.iter().map(|it| -it.sum / it.n_tokens as f64).collect();
    Ok(nll.chunks(test.len()).map(<[f64]>::to_vec).collect())
}

type Values = Vec<Vec<Option<String>>>;

/// The scored value in the text of prompt `i` with scan `j`, and of prompt `i` without a scan.
fn cross_values(
    model: &Model,
    state: &State<'_>,
    test: &[usize],
    control: &mut Control<'_>,
) -> Result<(Values, Vec<Option<String>>)> {
    // many windows share a prompt; what was generated for one is there for all
    let mut wanted: BTreeMap<(String, Option<usize>), Option<String>> = BTreeMap::new();
    for &row in test {
        let scans = test.iter().copied().map(Some).chain([None]);
        wanted.extend(scans.map(|scan| ((state.prompt(row), scan), None)));
    }
    for report in &state.reports {
        let key = (report.prompt.clone(), Some(report.row));
        wanted.insert(key, Some(report.answer.text.clone()));
    }
    let missing: Vec<(String, Option<usize>)> =
        wanted.iter().filter(|(_, text)| text.is_none()).map(|(key, _)| key.clone()).collect();
    let queries: Vec<Query> = missing
        .iter()
        .map(|(prompt, scan)| {
            let medium = scan.map(|row| state.medium(row)).transpose()?;
            Ok(Query { prompt: prompt.clone(), medium })
        })
        .collect::<Result<_>>()?;
    let texts = readout::texts(model, &queries, generation(state), STAGE, control)?;
    wanted.extend(missing.into_iter().zip(texts.into_iter().map(|(text, _)| Some(text))));
    let value = |row: usize, scan: Option<usize>| {
        stated(state.slots(), wanted[&(state.prompt(row), scan)].as_deref().unwrap_or_default())
    };
    let with = |row: usize| test.iter().map(|&scan| value(row, Some(scan))).collect();
    Ok((
        test.iter().map(|&row| with(row)).collect(),
        test.iter().map(|&row| value(row, None)).collect(),
    ))
}

/// As the reports themselves were generated.
fn generation<'a>(state: &State<'a>) -> &'a GenerateConfig {
    let mut stages = state.plan.spec().stages().iter();
    let found = stages.find_map(|stage| match stage {
        Stage::Generate(config) => Some(config),
        _ => None,
    });
    found.expect("reports come from this stage")
}

fn gates(model: &Model) -> Result<Vec<GateOpening>> {
    let gates = model.gates()?.into_iter().map(|gate| GateOpening {
        block: gate.block,
        attention: gate.attention,
        feed_forward: gate.feed_forward,
    });
    Ok(gates.collect())
}

fn table(
    config: &EvidenceConfig,
    state: &State<'_>,
    input: &EvidenceInput,
    evidence: &Evidence,
    baselines: &Baselines,
) -> Result<Vec<SummaryRow>> {
    let accuracy = |predicted: &[usize]| -> Result<Interval> {
        let right = |(&class, truth): (&usize, &String)| label(state, class) == *truth;
        let right: Vec<bool> = predicted.iter().zip(&input.truth).map(right).collect();
        Ok(Evidence::accuracy_of(&right, &input.units, config)?)
    };
    let row = |name: &str, accuracy| SummaryRow { name: name.to_owned(), accuracy };
    let shuffled = format!("shuffled scans (mean of {})", config.n_shuffles);
    Ok(vec![
        row("generated", evidence.accuracy),
        row(&shuffled, evidence.shuffled.interval),
        row("no scan", evidence.no_scan),
        row("majority template", evidence.majority),
        row("logistic regression", accuracy(&baselines.logistic)?),
        row("shrinkage LDA", accuracy(&baselines.lda)?),
    ])
}

/// Every slot of the generated reports against the same slot of the true ones.
fn all_slots(state: &State<'_>) -> Result<Vec<NamedScores>> {
    let slots = state.slots();
    let parsed: Vec<_> = state
        .reports
        .iter()
        .map(|it| {
            let truth = &state.cohort().rows[it.row].report;
            (slots.parse(truth), slots.parse(&it.answer.text))
        })
        .collect();
    let score = |(idx, slot): (usize, &report::slots::Slot)| {
        let truth: Vec<_> = parsed.iter().map(|(truth, _)| truth.slots[idx].value()).collect();
        let stated: Vec<_> = parsed.iter().map(|(_, text)| text.slots[idx].value()).collect();
        let scores = slot_scores(&slot.labels(), &truth, &stated)?;
        Ok(NamedScores { slot: slot.name.clone(), scores })
    };
    slots.slots().iter().enumerate().map(score).collect()
}

fn calibration(state: &State<'_>, fit: &super::Fit) -> Result<Calibration> {
    let scored = state.slots().scored_idx();
    let (probabilities, class): (Vec<Vec<f64>>, Vec<usize>) = state
        .reports
        .iter()
        .filter_map(|it| {
            let probabilities = it.answer.slots[scored].probabilities.values().copied().collect();
            Some((probabilities, state.class(it.row)?))
        })
        .unzip();
    Ok(Calibration {
        temperature: fit.temperature,
        brier: brier(&probabilities, &class)?,
        reliability: reliability(&probabilities, &class)?,
    })
}

fn windows(state: &State<'_>, input: &EvidenceInput, test: &[usize]) -> Vec<WindowScore> {
    let scored = state.slots().scored_idx();
    test.iter()
        .enumerate()
        .map(|(idx, &row)| {
            let (scan, planned) = (scan(state, row), &state.cohort().rows[row]);
            let answer = state.reports.iter().find(|it| it.row == row).map(|it| &it.answer);
            let own = input.nll[idx][idx];
            let others = input.nll[idx].iter().sum::<f64>() - own;
            WindowScore {
                subject: scan.subject.clone(),
                session: scan.session.clone(),
                run: scan.run,
                window: planned.window,
                onset_s: planned.onset_s,
                truth: input.truth[idx].clone(),
                generated: input.value[idx][idx].clone(),
                no_scan: input.no_scan[idx].clone(),
                confidence: answer.and_then(|it| it.slots[scored].confidence),
                nll_own: own,
                nll_others: others / (test.len() - 1) as f64,
            }
        })
        .collect()
}

fn scan<'a>(state: &State<'a>, row: usize) -> &'a ScanPlan {
    &state.cohort().scans[state.cohort().rows[row].scan_idx]
}

fn unit(state: &State<'_>, row: usize) -> Unit {
    let scan = scan(state, row);
    Unit {
        subject: scan.subject.clone(),
        scan: format!("ses-{}_run-{}", scan.session, scan.run),
        window: state.cohort().rows[row].window.to_string(),
    }
}

fn truth(state: &State<'_>, row: usize) -> String {
    let truth = state.cohort().rows[row].truth.clone();
    truth.expect("the plan asks every test report for the scored slot")
}

fn label(state: &State<'_>, class: usize) -> String {
    let (value, _) = state.slots().scored().values.get_index(class).expect("a class of the slot");
    value.clone()
}
