//! Every report with its own scan and with others, and the numbers that follow.
use std::{collections::BTreeMap, sync::Arc};

use flamingo::{GenerateConfig, Medium, Model};
use report::{
    evidence::{Evidence, EvidenceConfig, EvidenceInput, GateOpening, Unit, blocks},
    metrics::{brier, n_distinct, reliability, slot_scores},
    render::SummaryTable,
};
use scan::Split;

use super::{
    Calibration, EvaluateConfig, Evaluation, NamedScores, TextScores, WindowScore, Written,
    WrittenReport, baselines,
};
use crate::{
    Result,
    aside::aside,
    event::Control,
    media::Media,
    plan::{ScanPlan, stated},
    readout::{self, Query},
    stage::Stage,
};

pub(super) fn evaluate(
    config: &EvaluateConfig,
    written: &Written<'_>,
    control: &mut Control<'_>,
) -> Result<Evaluation> {
    let Written { media, trained, reports, .. } = *written;
    let model = &trained.model;
    let test = media.rows_of(Split::Test)?;
    let baselines = baselines::fit(config, media, &test, control)?;
    let units = test.iter().map(|&row| unit(media, row)).collect::<Result<Vec<_>>>()?;
    let truth: Vec<String> = test.iter().map(|&row| truth(media, row)).collect();
    let (max_pairs, seed) = (config.max_pairs, media.run.seed);
    let (units, truth, blocks) = aside(control, move || {
        let blocks = blocks(&units, &truth, max_pairs, seed);
        (units, truth, blocks)
    })?;
    let nll = cross_nll(config, written, &test, &blocks, control)?;
    let Values { value, stated, no_scan } = cross_values(written, &test, &blocks, control)?;
    let input = EvidenceInput {
        units,
        truth,
        blocks,
        nll,
        value,
        stated,
        no_scan,
        free_text: None,
        majority: label(media, baselines.majority),
        baselines: baselines.linear,
        missing: baselines.missing,
        gates: gates(model)?,
    };
    let drawing = EvidenceConfig {
        n_permutations: config.permutations,
        n_shuffles: config.shuffles,
        seed: media.run.seed,
    };
    let (input, evidence) = aside(control, move || {
        let evidence = Evidence::measure(&input, &drawing);
        (input, evidence)
    })?;
    let evidence = evidence?;
    let fit = &trained.fit;
    let texts: Vec<&str> = reports.iter().map(|it| it.answer.text.as_str()).collect();
    let pairs: Vec<(&str, &str)> = reports
        .iter()
        .map(|it| (it.answer.text.as_str(), media.cohort().rows[it.row].report.as_str()))
        .collect();
    let n_stopped = reports.iter().filter(|it| it.answer.stopped).count();
    Ok(Evaluation {
        name: media.plan.spec().name.clone(),
        seed: media.run.seed,
        verdict: evidence.verdict.to_string(),
        table: SummaryTable::new(&evidence).rows,
        scored_slot: media.slots().scored().name.clone(),
        slots: all_slots(media, reports)?,
        calibration: calibration(media, reports, fit)?,
        texts: TextScores::of(&pairs)?,
        n_distinct_reports: n_distinct(&texts),
        stopped: n_stopped as f64 / texts.len() as f64,
        windows: windows(media, reports, &input, &test),
        blocks: input.blocks,
        nll: input.nll,
        evidence,
        fit: fit.clone(),
    })
}

/// `nll[i][k]`: nats a token of report `i` given scan `k` of its block.
fn cross_nll(
    config: &EvaluateConfig,
    written: &Written<'_>,
    test: &[usize],
    blocks: &[Vec<usize>],
    control: &mut Control<'_>,
) -> Result<Vec<Vec<f64>>> {
    let Written { media, trained, reading, .. } = *written;
    let shown = media_of(media, test)?;
    let mut items = Vec::new();
    let mut reports = Vec::new();
    for block in blocks {
        for &report in block {
            for &scan in block {
                let medium = Some(Arc::clone(&shown[&test[scan]]));
                let query = Query { prompt: media.prompt(test[report]), medium };
                items.push(query.scored(&media.cohort().rows[test[report]].report));
                reports.push(report);
            }
        }
    }
    let found =
        readout::likelihoods(&trained.model, ("nll", &items), config.batch_size, reading, control)?;
    let mut nll = vec![Vec::new(); test.len()];
    for (report, it) in reports.into_iter().zip(found) {
        nll[report].push(-it.sum / it.n_tokens as f64);
    }
    Ok(nll)
}

/// What the model sees of each row, read once.
fn media_of(media: &Media<'_>, rows: &[usize]) -> Result<BTreeMap<usize, Arc<Medium>>> {
    rows.iter().map(|&row| Ok((row, media.medium(row)?))).collect()
}

/// Values of the scored slot in generated texts.
struct Values {
    /// Of prompt `i` with scan `k` of its block.
    value: Vec<Vec<Option<String>>>,
    /// Of prompt `i` with its own scan.
    stated: Vec<Option<String>>,
    /// Of prompt `i` without a scan.
    no_scan: Vec<Option<String>>,
}

fn cross_values(
    written: &Written<'_>,
    test: &[usize],
    blocks: &[Vec<usize>],
    control: &mut Control<'_>,
) -> Result<Values> {
    let Written { media, trained, reports, reading } = *written;
    // many windows share a prompt; what was generated for one is there for all
    let mut wanted: BTreeMap<(String, Option<usize>), Option<String>> = BTreeMap::new();
    for &row in test {
        wanted.extend([Some(row), None].map(|scan| ((media.prompt(row), scan), None)));
    }
    for block in blocks {
        for &report in block {
            let scans = block.iter().map(|&scan| Some(test[scan]));
            wanted.extend(scans.map(|scan| ((media.prompt(test[report]), scan), None)));
        }
    }
    for report in reports {
        let key = (report.prompt.clone(), Some(report.row));
        wanted.insert(key, Some(report.answer.text.clone()));
    }
    let missing: Vec<(String, Option<usize>)> =
        wanted.iter().filter(|(_, text)| text.is_none()).map(|(key, _)| key.clone()).collect();
    let shown = media_of(media, test)?;
    let queries = missing.iter().map(|(prompt, scan)| {
        let medium = scan.map(|row| Arc::clone(&shown[&row]));
        Query { prompt: prompt.clone(), medium }
    });
    let queries: Vec<Query> = queries.collect();
    let texts = readout::texts(&trained.model, &queries, generation(media), reading, control)?;
    wanted.extend(missing.into_iter().zip(texts.into_iter().map(|(text, _)| Some(text))));
    let value = |row: usize, scan: Option<usize>| {
        stated(media.slots(), wanted[&(media.prompt(row), scan)].as_deref().unwrap_or_default())
    };
    let mut values = vec![Vec::new(); test.len()];
    for block in blocks {
        for &report in block {
            let scans = block.iter().map(|&scan| value(test[report], Some(test[scan])));
            values[report] = scans.collect();
        }
    }
    Ok(Values {
        value: values,
        stated: test.iter().map(|&row| value(row, Some(row))).collect(),
        no_scan: test.iter().map(|&row| value(row, None)).collect(),
    })
}

/// As the reports themselves were generated.
fn generation<'a>(media: &Media<'a>) -> &'a GenerateConfig {
    let mut stages = media.plan.spec().stages().iter();
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

/// Every slot of the generated reports against the same slot of the true ones.
fn all_slots(media: &Media<'_>, reports: &[WrittenReport]) -> Result<Vec<NamedScores>> {
    let slots = media.slots();
    let parsed: Vec<_> = reports
        .iter()
        .map(|it| {
            let truth = &media.cohort().rows[it.row].report;
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

fn calibration(
    media: &Media<'_>,
    reports: &[WrittenReport],
    fit: &super::Fit,
) -> Result<Calibration> {
    let scored = media.slots().scored_idx();
    let (probabilities, class): (Vec<Vec<f64>>, Vec<usize>) = reports
        .iter()
        .filter_map(|it| {
            let probabilities = it.answer.slots[scored].probabilities.values().copied().collect();
            Some((probabilities, media.class(it.row)?))
        })
        .unzip();
    Ok(Calibration {
        temperature: fit.temperature,
        brier: brier(&probabilities, &class)?,
        reliability: reliability(&probabilities, &class)?,
    })
}

fn windows(
    media: &Media<'_>,
    reports: &[WrittenReport],
    input: &EvidenceInput,
    test: &[usize],
) -> Vec<WindowScore> {
    let scored = media.slots().scored_idx();
    let place = |window: usize| {
        let of_block = |block: &Vec<usize>| block.iter().position(|it| *it == window);
        input.blocks.iter().find_map(of_block)
    };
    test.iter()
        .enumerate()
        .map(|(idx, &row)| {
            let (scan, planned) = (scan(media, row), &media.cohort().rows[row]);
            let answer = reports.iter().find(|it| it.row == row).map(|it| &it.answer);
            let row_nll = &input.nll[idx];
            let own = place(idx).map(|place| row_nll[place]);
            let others = own
                .filter(|_| row_nll.len() > 1)
                .map(|own| (row_nll.iter().sum::<f64>() - own) / (row_nll.len() - 1) as f64);
            WindowScore {
                subject: scan.subject.clone(),
                session: scan.session.clone(),
                run: scan.run,
                window: planned.window,
                onset_s: planned.onset_s,
                truth: input.truth[idx].clone(),
                generated: input.stated[idx].clone(),
                no_scan: input.no_scan[idx].clone(),
                confidence: answer.and_then(|it| it.slots[scored].confidence),
                nll_own: own,
                nll_others: others,
            }
        })
        .collect()
}

fn scan<'a>(media: &Media<'a>, row: usize) -> &'a ScanPlan {
    &media.cohort().scans[media.cohort().rows[row].scan_idx]
}

fn unit(media: &Media<'_>, row: usize) -> Result<Unit> {
    let (scan, planned) = (scan(media, row), &media.cohort().rows[row]);
    Ok(Unit {
        subject: scan.subject.clone(),
        scan: format!("ses-{}_run-{}", scan.session, scan.run),
        // the same in a copy of the scan, whatever the order of its rows
        window: format!("{} s for {} s", planned.onset_s, planned.duration_s),
        site: scan.site.clone(),
        scan_digest: scan.sha256.clone(),
        window_digest: digest(media.medium(row)?.as_ref()),
    })
}

/// Names what the model reads of a window, whatever file it came from.
fn digest(medium: &Medium) -> String {
    let shape = medium.shape().iter().flat_map(|n| (*n as u64).to_le_bytes());
    let bytes: Vec<u8> = shape.chain(medium.iter().flat_map(|it| it.to_le_bytes())).collect();
    files::sha256_bytes(&bytes)
}

fn truth(media: &Media<'_>, row: usize) -> String {
    let truth = media.cohort().rows[row].truth.clone();
    truth.expect("the plan asks every test report for the scored slot")
}

fn label(media: &Media<'_>, class: usize) -> String {
    let (value, _) = media.slots().scored().values.get_index(class).expect("a class of the slot");
    value.clone()
}
