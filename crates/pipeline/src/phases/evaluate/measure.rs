//! Every report with its own scan and with others, and the numbers that follow.
use std::{collections::BTreeMap, sync::Arc};

use flamingo::{GenerateConfig, Medium};
use report::{
    evidence::{Evidence, EvidenceInput, Unit, age_bin, blocks},
    metrics::{copying, n_distinct},
    tables::SummaryTable,
};
use scan::Split;

use super::{
    baselines,
    config::EvaluateConfig,
    each_medium::EachMedium,
    evaluation::{Evaluation, MediumEvidence, WindowScore, Written},
    notes,
    others::{Others, Tested},
    said::{self, Texts, Values},
    texts::TextScores,
};
use crate::{
    Result,
    answers::{self, Query},
    aside::aside,
    event::Control,
    media::Media,
    phases::WrittenReport,
    plan::ScanPlan,
};

pub(super) fn evaluate(
    config: &EvaluateConfig,
    written: &Written<'_>,
    control: &mut Control<'_>,
) -> Result<Evaluation> {
    let Written { media, trained, reports, .. } = *written;
    let model = &trained.model;
    // the others are written, and there is nothing to measure them by
    let has_truth = |row: &usize| media.cohort().rows[*row].truth.is_some();
    let test: Vec<usize> = media.rows_of(Split::Test)?.into_iter().filter(has_truth).collect();
    let baselines = baselines::fit(config, media, &test, control)?;
    let units = test.iter().map(|&row| unit(media, row)).collect::<Result<Vec<_>>>()?;
    let truth: Vec<String> = test.iter().map(|&row| truth(media, row)).collect();
    let (max_pairs, seed) = (config.max_pairs, media.run.seed);
    let InBlocks { units, truth, blocks } = in_blocks(units, truth, max_pairs, seed, control)?;
    let shown = media_of(media, &test)?;
    let with = |_: usize, scan: usize| shown[&test[scan]].clone();
    let scored = CrossScored { name: "nll", rows: &test, blocks: &blocks, with: &with };
    let nll = scored.nll(config, written, control)?;
    let texts = cross_texts(written, &test, &blocks, control)?;
    let tested = Tested { config, written, test: &test, texts: &texts };
    let Others { substitutes, occluded, told } = Others::measure(&tested, control)?;
    let question = |row: usize| media.prompt(row);
    let said = Values::of(media, (&texts, &question), &test, &blocks, &baselines.majority);
    let each = EachMedium { config, written, majority: &baselines };
    let each_medium = each.measure(&test, control)?;
    let of_slots = said::answers_of_slots(media, &texts, &test, &blocks);
    let trained_on = media.rows_of(Split::Train)?;
    let trained_on = trained_on.iter().map(|&row| media.cohort().rows[row].report.as_str());
    let trained_on: Vec<&str> = trained_on.collect();
    let Values { value, stated, no_scan, shares, free_text } = said;
    let input = EvidenceInput {
        units,
        truth,
        blocks,
        nll,
        value,
        stated,
        no_scan,
        free_text,
        shares,
        substitutes,
        occluded,
        told_otherwise: told,
        majority: baselines.joint_majority(media),
        baselines: baselines.linear,
        missing: baselines.missing,
        gates: answers::gates(model)?,
    };
    let drawing = config.drawing(seed);
    let (input, evidence) = aside(control, move || {
        let evidence = Evidence::measure(&input, &drawing);
        (input, evidence)
    })?;
    let evidence = evidence?;
    let lines: Vec<String> = each_medium.iter().map(|it| it.verdict.clone()).collect();
    let fit = &trained.fit;
    let answers: Vec<&str> = reports.iter().map(|it| it.answer.text.as_str()).collect();
    let pairs: Vec<(&str, &str)> = reports
        .iter()
        .map(|it| (it.answer.text.as_str(), media.cohort().rows[it.row].report.as_str()))
        .collect();
    let n_stopped = reports.iter().filter(|it| it.answer.stopped).count();
    Ok(Evaluation {
        name: media.plan.spec().name.clone(),
        seed: media.run.seed,
        verdict: verdict(&evidence, &each_medium),
        table: SummaryTable::new(&evidence).rows,
        scored_slot: media.slots().scored().map_or_else(String::new, |it| it.name.clone()),
        scored_slots: scored_slots(media),
        slots: said::all_slots(media, reports)?,
        statements: said::statements(media, reports, fit)?,
        calibration: said::calibration(media, reports, fit)?,
        texts: TextScores::of(&pairs)?,
        n_distinct_reports: n_distinct(&answers),
        copying: copying(&answers, &trained_on),
        answers: of_slots,
        notes: notes::of(media)?.into_iter().chain(lines).collect(),
        stopped: n_stopped as f64 / answers.len() as f64,
        windows: windows(media, reports, &input, &test, &texts),
        blocks: input.blocks,
        nll: input.nll,
        evidence,
        each_medium,
        fit: fit.clone(),
    })
}

/// The one line: of several media it is about all of them together.
fn verdict(evidence: &Evidence, each_medium: &[MediumEvidence]) -> String {
    let line = evidence.verdict.to_string();
    if each_medium.is_empty() { line } else { line.replacen("SCAN", "MEDIA", 1) }
}

/// Units with their values, and the blocks of windows that are compared with each other.
pub(super) struct InBlocks {
    pub(super) units: Vec<Unit>,
    pub(super) truth: Vec<String>,
    pub(super) blocks: Vec<Vec<usize>>,
}

/// Puts units into blocks; beside the run's own thread, as there may be many pairs.
pub(super) fn in_blocks(
    units: Vec<Unit>,
    truth: Vec<String>,
    max_pairs: usize,
    seed: u64,
    control: &Control<'_>,
) -> Result<InBlocks> {
    aside(control, move || {
        let blocks = blocks(&units, &truth, max_pairs, seed);
        InBlocks { units, truth, blocks }
    })
}

/// The true reports of rows, each scored with what every window of its block shows.
pub(super) struct CrossScored<'a> {
    /// What keeps these likelihoods apart from others of the stage.
    pub(super) name: &'a str,
    pub(super) rows: &'a [usize],
    pub(super) blocks: &'a [Vec<usize>],
    /// The media of a report, by its place among the rows, with that of a window.
    pub(super) with: &'a dyn Fn(usize, usize) -> Vec<Arc<Medium>>,
}

impl CrossScored<'_> {
    /// `nll[i][k]`: nats a token of report `i` given what window `k` of its block shows.
    pub(super) fn nll(
        &self,
        config: &EvaluateConfig,
        written: &Written<'_>,
        control: &mut Control<'_>,
    ) -> Result<Vec<Vec<f64>>> {
        let Written { media, trained, reading, .. } = *written;
        let (mut items, mut reports) = (Vec::new(), Vec::new());
        for block in self.blocks {
            for &report in block {
                for &window in block {
                    let row = self.rows[report];
                    let (prompt, shown) = (media.prompt(row), (self.with)(report, window));
                    let query = Query { prompt, media: shown };
                    items.push(query.scored(&media.cohort().rows[row].report));
                    reports.push(report);
                }
            }
        }
        let (model, asked) = (&trained.model, (self.name, items.as_slice()));
        let found = answers::likelihoods(model, asked, config.batch_size, reading, control)?;
        let mut nll = vec![Vec::new(); self.rows.len()];
        for (report, it) in reports.into_iter().zip(found) {
            nll[report].push(it.nll());
        }
        Ok(nll)
    }
}

/// What the model sees of each row, read once.
fn media_of(media: &Media<'_>, rows: &[usize]) -> Result<BTreeMap<usize, Vec<Arc<Medium>>>> {
    rows.iter().map(|&row| Ok((row, media.shown_of(row)?))).collect()
}

/// What is written after every prompt with every scan of its block, and with none.
fn cross_texts(
    written: &Written<'_>,
    test: &[usize],
    blocks: &[Vec<usize>],
    control: &mut Control<'_>,
) -> Result<Texts> {
    let Written { media, trained, reports, reading } = *written;
    // many windows share a prompt; what was generated for one is there for all
    let mut wanted = Texts::new();
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
        let media = scan.map(|row| shown[&row].clone()).unwrap_or_default();
        Query { prompt: prompt.clone(), media }
    });
    let queries: Vec<Query> = queries.collect();
    let (model, slots, config) = (&trained.model, media.slots(), generation(media));
    let texts = answers::texts(model, slots, ("texts", &queries), config, reading, control)?;
    for (key, written) in missing.into_iter().zip(texts) {
        wanted.insert(key, Some(written.text));
    }
    Ok(wanted)
}

/// As the reports themselves were generated.
pub(super) fn generation<'a>(media: &Media<'a>) -> &'a GenerateConfig {
    media.plan.spec().generate().expect("reports come from this stage")
}

fn windows(
    media: &Media<'_>,
    reports: &[WrittenReport],
    input: &EvidenceInput,
    test: &[usize],
    texts: &Texts,
) -> Vec<WindowScore> {
    let scored = media.slots().scored_idxs().first().copied();
    let place = |window: usize| {
        let of_block = |block: &Vec<usize>| block.iter().position(|it| *it == window);
        input.blocks.iter().find_map(of_block)
    };
    let text = |row: usize, shown: Option<usize>| {
        texts.get(&(media.prompt(row), shown)).cloned().flatten()
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
            let other = other(&input.blocks, &input.units, idx).map(|it| test[it]);
            let named = |row: usize| {
                let window = media.cohort().rows[row].window;
                format!("{} win-{window}", self::scan(media, row).unit())
            };
            WindowScore {
                subject: scan.subject.clone(),
                session: scan.session.clone(),
                run: scan.run,
                window: planned.window,
                onset_s: planned.onset_s,
                truth: input.truth[idx].clone(),
                generated: input.stated[idx].clone(),
                no_scan: input.no_scan[idx].clone(),
                confidence: answer.and_then(|it| it.slots[scored?].confidence),
                nll_own: own,
                nll_others: others,
                text_without_scan: text(row, None),
                other_scan: other.map(named),
                text_with_other_scan: other.and_then(|other| text(row, Some(other))),
            }
        })
        .collect()
}

/// The window whose scan is shown beside that of `window`: the next of its block of another person, or of
/// another scan where there is no other person.
fn other(blocks: &[Vec<usize>], units: &[Unit], window: usize) -> Option<usize> {
    let block = blocks.iter().find(|block| block.contains(&window))?;
    let place = block.iter().position(|it| *it == window)?;
    let after = || block[place + 1..].iter().chain(&block[..place]).copied();
    let own = &units[window];
    after()
        .find(|&it| units[it].subject != own.subject)
        .or_else(|| after().find(|&it| units[it].scan_digest != own.scan_digest))
}

fn scan<'a>(media: &Media<'a>, row: usize) -> &'a ScanPlan {
    &media.cohort().scans[media.cohort().rows[row].scan_idx]
}

fn unit(media: &Media<'_>, row: usize) -> Result<Unit> {
    Ok(unit_of(media, row, digest(&media.shown_of(row)?)))
}

/// A row as a unit of evidence, whose window has this digest.
pub(super) fn unit_of(media: &Media<'_>, row: usize, window_digest: String) -> Unit {
    let (scan, planned) = (scan(media, row), &media.cohort().rows[row]);
    Unit {
        subject: scan.subject.clone(),
        scan: format!("ses-{}_run-{}", scan.session, scan.run),
        // the same in a copy of the scan, whatever the order of its rows
        window: format!("{} s for {} s", planned.onset_s, planned.duration_s),
        site: scan.site.clone(),
        sex: planned.sex.clone(),
        age_bin: planned.age.as_deref().and_then(age_bin),
        scan_digest: scan.sha256.clone(),
        window_digest,
    }
}

/// Names what the model reads of a window, whatever file it came from.
pub(super) fn digest(media: &[Arc<Medium>]) -> String {
    let bytes = media.iter().flat_map(|medium| {
        let shape = medium.shape().iter().flat_map(|n| (*n as u64).to_le_bytes());
        shape.chain(medium.iter().flat_map(|it| it.to_le_bytes())).collect::<Vec<u8>>()
    });
    files::sha256_bytes(&bytes.collect::<Vec<u8>>())
}

pub(super) fn truth(media: &Media<'_>, row: usize) -> String {
    let truth = media.cohort().rows[row].truth.clone();
    truth.expect("rows without any are left out")
}

/// All scored slots, where there are several.
fn scored_slots(media: &Media<'_>) -> Vec<String> {
    let slots = media.slots();
    let names = slots.scored_idxs().iter().map(|&idx| slots.slots()[idx].name.clone());
    if slots.scored_idxs().len() > 1 { names.collect() } else { Vec::new() }
}
