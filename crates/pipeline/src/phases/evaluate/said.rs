//! What generated texts say, and how right that is.

use std::collections::BTreeMap;

use report::{
    evidence::{Shares, unchanged},
    metrics::{
        Determined, Reliability, SlotStatements, brier, reliability, rouge_l, slot_scores, together,
    },
    slots::{Slot, SlotReading, SlotSet},
    tables::StatementTable,
};

use super::evaluation::{Calibration, NamedScores, SlotAnswers};
use crate::{
    Result,
    media::Media,
    phases::{WrittenReport, finetune::Fit},
    plan::joined,
};

/// Texts by prompt and row of the scan, without one for no scan.
pub(super) type Texts = BTreeMap<(String, Option<usize>), Option<String>>;

/// One of them.
pub(super) fn written(texts: &Texts, of: (String, Option<usize>)) -> &str {
    texts[&of].as_deref().expect("everything that is asked for was written")
}

/// What the texts of an evaluation say.
pub(super) struct Values {
    /// Of prompt `i` with scan `k` of its block.
    pub(super) value: Vec<Vec<Option<String>>>,
    /// Of prompt `i` with its own scan.
    pub(super) stated: Vec<Option<String>>,
    /// Of prompt `i` without a scan.
    pub(super) no_scan: Vec<Option<String>>,
    /// How right that is, where it is no matter of one value.
    pub(super) shares: Option<Shares>,
    /// The texts with the own scan, where no slot is scored.
    pub(super) free_text: Option<Vec<String>>,
}

impl Values {
    /// Reads all texts, which are known by the `question` of their row; `majority` are the most frequent training values
    /// of the scored slots, of free text the most frequent report.
    pub(super) fn of(
        media: &Media<'_>,
        (texts, question): (&Texts, &dyn Fn(usize) -> String),
        test: &[usize],
        blocks: &[Vec<usize>],
        majority: &[Option<String>],
    ) -> Self {
        let slots = media.slots();
        let text = |row: usize, scan: Option<usize>| written(texts, (question(row), scan));
        // one text is written for many windows
        let mut known: BTreeMap<&str, Vec<Option<String>>> = BTreeMap::new();
        for text in texts.values().flatten() {
            known.entry(text).or_insert_with(|| scored_values(slots, text));
        }
        let value = |row: usize, scan: Option<usize>| {
            let text = text(row, scan);
            if slots.scored_idxs().is_empty() {
                return Some(text.to_owned());
            }
            let values = known[text].iter().map(Option::as_deref);
            joined(slots, &values.collect::<Vec<_>>())
        };
        let right = |row: usize, scan: Option<usize>| {
            let text = text(row, scan);
            rightness(media, row, text, &known[text])
        };
        let over_blocks = |of: &dyn Fn(usize, Option<usize>) -> f64| {
            let mut cells = vec![Vec::new(); test.len()];
            for block in blocks {
                for &report in block {
                    let scans = block.iter().map(|&scan| of(test[report], Some(test[scan])));
                    cells[report] = scans.collect();
                }
            }
            cells
        };
        let mut all = vec![Vec::new(); test.len()];
        for block in blocks {
            for &report in block {
                let scans = block.iter().map(|&scan| value(test[report], Some(test[scan])));
                all[report] = scans.collect();
            }
        }
        let of_majority = |row: usize| {
            let text = majority.first().and_then(Option::as_deref).unwrap_or_default();
            rightness(media, row, text, majority)
        };
        let one = slots.scored_idxs().len() == 1;
        Self {
            value: all,
            stated: test.iter().map(|&row| value(row, Some(row))).collect(),
            no_scan: test.iter().map(|&row| value(row, None)).collect(),
            shares: (!one).then(|| Shares {
                cells: over_blocks(&right),
                stated: test.iter().map(|&row| right(row, Some(row))).collect(),
                no_scan: test.iter().map(|&row| right(row, None)).collect(),
                majority: test.iter().map(|&row| of_majority(row)).collect(),
            }),
            free_text: slots
                .scored_idxs()
                .is_empty()
                .then(|| test.iter().map(|&row| text(row, Some(row)).to_owned()).collect()),
        }
    }
}

/// How right a text is about a row, as accuracies count it: of one scored slot 1 or 0.
pub(super) fn right(media: &Media<'_>, row: usize, text: &str) -> f64 {
    let (slots, planned) = (media.slots(), &media.cohort().rows[row]);
    let values = scored_values(slots, text);
    if slots.scored_idxs().len() != 1 {
        return rightness(media, row, text, &values);
    }
    let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
    let stated = joined(slots, &values);
    f64::from(u8::from(stated.is_some() && stated == planned.truth))
}

/// How the statement of each scored slot goes with the scan.
pub(super) fn answers_of_slots(
    media: &Media<'_>,
    texts: &Texts,
    test: &[usize],
    blocks: &[Vec<usize>],
) -> Vec<SlotAnswers> {
    let slots = media.slots();
    let mut known: BTreeMap<&str, Vec<Option<String>>> = BTreeMap::new();
    for text in texts.values().flatten() {
        known.entry(text).or_insert_with(|| scored_values(slots, text));
    }
    let said = |row: usize, scan: Option<usize>, at: usize| {
        let text = written(texts, (media.prompt(row), scan));
        known[text][at].clone()
    };
    let of_slot = |(at, &idx): (usize, &usize)| {
        let own: Vec<_> = test.iter().map(|&row| said(row, Some(row), at)).collect();
        let none: Vec<_> = test.iter().map(|&row| said(row, None, at)).collect();
        let (mut changed, mut all) = (0.0, 0.0);
        for block in blocks {
            for &report in block {
                for &scan in block.iter().filter(|scan| **scan != report) {
                    let other = said(test[report], Some(test[scan]), at);
                    changed += f64::from(u8::from(other != own[report]));
                    all += 1.0;
                }
            }
        }
        SlotAnswers {
            slot: slots.slots()[idx].name.clone(),
            sensitivity: if all > 0.0 { changed / all } else { 0.0 },
            unchanged_without_scan: unchanged(&own, &none),
        }
    };
    slots.scored_idxs().iter().enumerate().map(of_slot).collect()
}

/// What a text states in each scored slot.
fn scored_values(slots: &SlotSet, text: &str) -> Vec<Option<String>> {
    let read = slots.parse(text).slots;
    slots.scored_idxs().iter().map(|&idx| read[idx].value().map(str::to_owned)).collect()
}

/// The share of a row's scored slots with a truth that are stated rightly; of free text its ROUGE-L.
fn rightness(media: &Media<'_>, row: usize, text: &str, values: &[Option<String>]) -> f64 {
    let (slots, planned) = (media.slots(), &media.cohort().rows[row]);
    if slots.scored_idxs().is_empty() {
        return rouge_l(text, &planned.report);
    }
    let (mut right, mut all) = (0.0, 0.0);
    for (&idx, value) in slots.scored_idxs().iter().zip(values) {
        let Some(truth) = &planned.truths[idx] else { continue };
        let slot = &slots.slots()[idx];
        all += 1.0;
        right += f64::from(u8::from(value.as_ref().is_some_and(|it| slot.agrees(truth, it))));
    }
    // a row without any truth is left out before
    right / all
}

/// Every slot that has values, in the generated reports and in truth.
pub(super) fn all_slots(media: &Media<'_>, reports: &[WrittenReport]) -> Result<Vec<NamedScores>> {
    let readings = readings(media, reports);
    let score = |(idx, slot): (usize, &Slot)| {
        let labels = slot.labels();
        let label =
            |value: Option<&str>| value.and_then(|it| Some(labels[slot.class(it)?].as_str()));
        let truth =
            reports.iter().map(|it| label(media.cohort().rows[it.row].truths[idx].as_deref()));
        let stated = readings[idx].iter().map(|it| label(it.value()));
        let (truth, stated): (Vec<_>, Vec<_>) = (truth.collect(), stated.collect());
        let scores = slot_scores(&labels, &truth, &stated)?;
        Ok(NamedScores { slot: slot.name.clone(), scores })
    };
    let slots = media.slots().slots().iter().enumerate();
    let has_classes = |slot: &Slot| {
        slot.is_one_of_values() || slot.number().is_some_and(|form| !form.bins.is_empty())
    };
    slots.filter(|(_, slot)| has_classes(slot)).map(score).collect()
}

/// What the generated reports say, a row a slot.
fn readings(media: &Media<'_>, reports: &[WrittenReport]) -> Vec<Vec<SlotReading>> {
    let slots = media.slots();
    let mut readings = vec![Vec::with_capacity(reports.len()); slots.slots().len()];
    for report in reports {
        let read = slots.parse(&report.answer.text).slots;
        readings.iter_mut().zip(read).for_each(|(of_slot, it)| of_slot.push(it));
    }
    readings
}

/// What is stated in every slot, beside what is true.
pub(super) fn statements(
    media: &Media<'_>,
    reports: &[WrittenReport],
    fit: &Fit,
) -> Result<StatementTable> {
    let slots = media.slots();
    let readings = readings(media, reports);
    let truth = |idx: usize| -> Vec<Option<String>> {
        reports.iter().map(|it| media.cohort().rows[it.row].truths[idx].clone()).collect()
    };
    let of_slot = |(idx, slot): (usize, &Slot)| {
        let scored = slots.scored_idxs().contains(&idx);
        let probabilities: Vec<Vec<f64>> = reports
            .iter()
            .map(|it| it.answer.slots[idx].probabilities.values().copied().collect())
            .collect();
        let truth = truth(idx);
        let statements = SlotStatements::of(slot, scored, &truth, &readings[idx], &probabilities)?;
        let determined = determined(slot, &truth, reports, idx, fit);
        Ok(SlotStatements { determined, ..statements })
    };
    let each = slots.slots().iter().enumerate().map(of_slot).collect::<Result<Vec<_>>>()?;
    let scored = slots.scored_idxs();
    let together = if scored.is_empty() {
        None
    } else {
        let of: Vec<&Slot> = scored.iter().map(|&idx| &slots.slots()[idx]).collect();
        let truths: Vec<_> = scored.iter().map(|&idx| truth(idx)).collect();
        let said: Vec<_> = scored.iter().map(|&idx| readings[idx].clone()).collect();
        Some(together(&of, &truths, &said)?)
    };
    Ok(StatementTable { slots: each, together })
}

/// What of a slot is stated with a probability that is high enough, where it asks for a share of errors.
fn determined(
    slot: &Slot,
    truth: &[Option<String>],
    reports: &[WrittenReport],
    idx: usize,
    fit: &Fit,
) -> Option<Determined> {
    let (max_error, trust) = slot.max_error.zip(fit.fitting.slots.get(&slot.name))?;
    let stated = reports.iter().zip(truth).filter_map(|(report, truth)| {
        let said = &report.answer.slots[idx];
        let right = slot.agrees(truth.as_ref()?, said.stated.as_ref()?);
        Some((said.is_determined(), right))
    });
    let stated: Vec<(bool, bool)> = stated.collect();
    let sure = || stated.iter().filter(|(is_determined, _)| *is_determined);
    Some(Determined {
        max_error,
        least: trust.not_determined_below?,
        n_validation: trust.n,
        n_stated: stated.len(),
        n: sure().count(),
        n_right: sure().filter(|(_, right)| *right).count(),
    })
}

/// Of the first scored slot with probabilities; none without one.
pub(super) fn calibration(
    media: &Media<'_>,
    reports: &[WrittenReport],
    fit: &Fit,
) -> Result<Option<Calibration>> {
    let slots = media.slots();
    let mut scored = slots.scored_idxs().iter().copied();
    let Some(scored) = scored.find(|&idx| slots.slots()[idx].is_one_of_values()) else {
        return Ok(None);
    };
    let (probabilities, class): (Vec<Vec<f64>>, Vec<usize>) = reports
        .iter()
        .filter_map(|it| {
            let probabilities = it.answer.slots[scored].probabilities.values().copied().collect();
            Some((probabilities, media.class_of(it.row, scored)?))
        })
        .unzip();
    if class.is_empty() {
        return Ok(None);
    }
    let reliability: Reliability = reliability(&probabilities, &class)?;
    let brier = brier(&probabilities, &class)?;
    Ok(Some(Calibration { temperature: fit.fitting.temperature, brier, reliability }))
}
