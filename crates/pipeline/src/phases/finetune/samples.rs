//! What a model under training writes of the windows that judge it: metrics by which a checkpoint is chosen, and samples
//! for people to read.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::PathBuf,
};

use flamingo::{GenerateConfig, Generated, Request, Stop, Writer};
use report::{metrics::rouge_l, slots::SlotSet};
use train::{FitConfig, Judge, JudgeError, LOSS, SCAN_GAIN};

use crate::{
    Error, Result,
    answers::Query,
    media::Media,
    plan::{RowPlan, TrainingPlan},
    training_log,
};

/// The share of the scored slots that a text states rightly.
const SLOT_ACCURACY: &str = "slot_accuracy";
/// Likeness of a text to its report.
const ROUGE_L: &str = "rouge_l";

/// The metrics of a validation by which a checkpoint may be chosen, of reports with these slots.
pub(crate) fn metrics(slots: &SlotSet) -> Vec<String> {
    let mut names = vec![LOSS.to_owned(), SCAN_GAIN.to_owned(), ROUGE_L.to_owned()];
    if !slots.scored_idxs().is_empty() {
        names.push(SLOT_ACCURACY.to_owned());
    }
    names.extend(slots.slots().iter().map(|slot| of_slot(&slot.name)));
    names
}

fn of_slot(name: &str) -> String {
    format!("{SLOT_ACCURACY}.{name}")
}

/// The slots whose true values a metric asks for; nothing where it asks for none.
pub(crate) fn asked_slots(slots: &SlotSet, metric: &str) -> Vec<usize> {
    if metric == SLOT_ACCURACY {
        return slots.scored_idxs().to_vec();
    }
    let named = slots.slots().iter().position(|slot| of_slot(&slot.name) == metric);
    named.into_iter().collect()
}

/// Whether a metric is known only where reports are written.
fn is_written(metric: &str) -> bool {
    !matches!(metric, LOSS | SCAN_GAIN)
}

/// How texts are written during a training: as reports are, or the likeliest. None where neither a metric nor a
/// person reads them.
pub(super) fn writing(config: &FitConfig, media: &Media<'_>) -> Option<GenerateConfig> {
    if config.samples == 0 && config.best == LOSS {
        return None;
    }
    let plan = media.plan;
    // whether a model keeps to its slots by itself is what samples are to show
    let free = |config: &GenerateConfig| GenerateConfig { constrain: None, ..config.clone() };
    let longest = || plan.training.as_ref().map_or(128, TrainingPlan::most_new_tokens);
    let likeliest = || GenerateConfig::greedy(longest(), 8);
    Some(plan.spec().generate().map_or_else(likeliest, free))
}

/// Reads what is written of the validation windows.
pub(super) struct Samples<'a> {
    media: &'a Media<'a>,
    /// The rows of the table.
    rows: &'a [usize],
    /// By row the place of one whose scan stands in for its own.
    others: Option<Vec<usize>>,
    /// How many of the rows are kept for people.
    n_kept: usize,
    is_written: bool,
    measures_gain: bool,
    config: GenerateConfig,
    dir: PathBuf,
}

impl<'a> Samples<'a> {
    /// None where neither a metric nor a person reads what is written.
    pub(super) fn new(config: &FitConfig, media: &'a Media<'a>, rows: &'a [usize]) -> Option<Self> {
        let written = writing(config, media)?;
        let planned = rows.iter().map(|&row| {
            let planned = &media.cohort().rows[row];
            (planned, media.cohort().scans[planned.scan_idx].subject.as_str())
        });
        let planned: Vec<_> = planned.collect();
        Some(Self {
            media,
            rows,
            others: others(&planned, media.events().is_some()),
            n_kept: config.samples.min(rows.len()),
            is_written: is_written(&config.best),
            measures_gain: config.samples > 0 || config.best == SCAN_GAIN,
            config: written,
            dir: training_log::samples_in(&media.plan.dir_of(media.run)),
        })
    }

    /// The request for the report of one of the rows, with the scan of another, or without.
    fn request(&self, at: usize, scan: Option<usize>) -> Result<Request> {
        let prompt = self.media.prompt(self.rows[at]);
        let media = scan.map(|scan| self.media.shown_of(self.rows[scan])).transpose()?;
        let query = Query { prompt, media: media.unwrap_or_default() };
        Ok(Request { prompt: query.prompt(), media: query.media, stream: Some(at as u64) })
    }

    fn written(&self, texts: &[String]) -> BTreeMap<String, f64> {
        let (slots, planned) = (self.media.slots(), &self.media.cohort().rows);
        let rows = || self.rows.iter().map(|&row| &planned[row]).zip(texts);
        let mut found = BTreeMap::new();
        let likeness = rows().map(|(row, text)| rouge_l(text, &row.report));
        found.insert(ROUGE_L.to_owned(), mean(likeness));
        let read: Vec<_> = texts.iter().map(|text| slots.parse(text)).collect();
        let right = |idxs: &[usize]| {
            let cells = self.rows.iter().zip(&read).flat_map(|(&row, read)| {
                idxs.iter().filter_map(move |&idx| {
                    let truth = planned[row].truths[idx].as_ref()?;
                    let stated = read.slots[idx].value();
                    let slot = &slots.slots()[idx];
                    Some(f64::from(stated.is_some_and(|stated| slot.agrees(truth, stated))))
                })
            });
            mean(cells)
        };
        let names = metrics(slots).into_iter().filter(|name| name.starts_with(SLOT_ACCURACY));
        found.extend(names.map(|name| {
            let right = right(&asked_slots(slots, &name));
            (name, right)
        }));
        // where no true value is known nothing is measured
        found.retain(|_, value| value.is_finite());
        found
    }

    fn judged(
        &self,
        step: usize,
        writer: &Writer<'_>,
        stop: Stop<'_>,
    ) -> Result<BTreeMap<String, f64>> {
        let n_own = if self.is_written { self.rows.len() } else { self.n_kept };
        let mut requests = Vec::new();
        for at in 0..n_own {
            requests.push(self.request(at, Some(at))?);
        }
        for at in 0..self.n_kept {
            let other = self.others.as_ref().map(|others| others[at]);
            requests.extend(other.map(|other| self.request(at, Some(other))).transpose()?);
            requests.push(self.request(at, None)?);
        }
        let texts = writer.generate_until(&requests, &self.config, stop)?;
        let text = |it: Generated| it.text.trim().to_owned();
        let mut texts: Vec<String> = texts.into_iter().map(text).collect();
        let substituted = texts.split_off(n_own);
        if self.n_kept > 0 {
            let page = self.page(step, &texts, &substituted);
            let path = self.dir.join(training_log::sample_name(step));
            files::write_atomic(&path, page.as_bytes())?;
        }
        Ok(if self.is_written { self.written(&texts) } else { BTreeMap::new() })
    }

    /// The samples of a step side by side, as Markdown.
    fn page(&self, step: usize, own: &[String], substituted: &[String]) -> String {
        let number = |at: usize| self.media.cohort().rows[self.rows[at]].row;
        let mut page = format!(
            "# Step {step}\n\nWhat the model writes about {} of those that judge the training.\n",
            report::counted(self.n_kept, "row")
        );
        let each = substituted.len() / self.n_kept.max(1);
        for at in 0..self.n_kept {
            let other = self.others.as_ref().map(|others| number(others[at]));
            let report = &self.media.cohort().rows[self.rows[at]].report;
            let columns =
                [("report".to_owned(), report), ("shown its own scan".to_owned(), &own[at])];
            let names = other.map(|row| format!("shown row {row}"));
            let names = names.into_iter().chain(["shown no scan".to_owned()]);
            let columns: Vec<_> =
                columns.into_iter().chain(names.zip(&substituted[at * each..])).collect();
            let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
            _ = write!(
                page,
                "\n## Row {} of the table\n\n{}{}{}",
                number(at),
                line(columns.iter().map(|(name, _)| name.clone()).collect()),
                line(vec!["---".to_owned(); columns.len()]),
                line(columns.iter().map(|(_, text)| cell(text)).collect()),
            );
        }
        page
    }
}

impl Judge for Samples<'_> {
    fn others(&self) -> Option<&[usize]> {
        self.others.as_deref().filter(|_| self.measures_gain)
    }

    fn judge(
        &self,
        step: usize,
        writer: &Writer<'_>,
        stop: Stop<'_>,
    ) -> Result<Option<BTreeMap<String, f64>>, JudgeError> {
        match self.judged(step, writer, stop) {
            Err(Error::Model(flamingo::Error::Stopped)) => Ok(None),
            found => Ok(Some(found?)),
        }
    }
}

/// For each row, given with its subject, the place of another whose scan may stand in for its own: of another person
/// who has another value, of another person, of another scan, or at least another window. None where all are shown
/// the same.
fn others(rows: &[(&RowPlan, &str)], windowed: bool) -> Option<Vec<usize>> {
    let shown: BTreeSet<usize> = rows.iter().map(|(row, _)| row.shown(windowed)).collect();
    if shown.len() < 2 {
        return None;
    }
    let n = rows.len();
    let other = |at: usize| {
        let (own, subject) = rows[at];
        let fitness = |&place: &usize| {
            let (row, other) = rows[place];
            let differs = [
                row.shown(windowed) != own.shown(windowed),
                other != subject,
                row.scan_idx != own.scan_idx,
                row.truth != own.truth,
            ];
            differs.map(|it| !it)
        };
        // the next one, of equally good ones
        (1..n).map(|step| (at + step) % n).min_by_key(fitness).expect("there are two")
    };
    Some((0..n).map(other).collect())
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// A text as a cell of a table in Markdown.
fn cell(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('|', "\\|");
    text.split('\n').map(str::trim).collect::<Vec<_>>().join("<br>")
}

#[cfg(test)]
mod tests {
    use scan::Split;

    use super::*;

    fn row(row: usize, scan_idx: usize, truth: &str) -> RowPlan {
        RowPlan {
            row,
            scan_idx,
            window: 1,
            onset_s: 0.,
            duration_s: 1.,
            report: String::new(),
            truths: Vec::new(),
            truth: Some(truth.to_owned()),
            labels: report::prompt::Labels::new(),
            asked: report::prompt::Labels::new(),
            sex: None,
            age: None,
            split: Split::Validation,
        }
    }

    #[test]
    fn the_scan_that_stands_in_is_another_persons_with_another_value() {
        let rows = [row(2, 0, "a"), row(3, 0, "b"), row(4, 1, "a"), row(5, 2, "b")];
        let with: Vec<_> = rows.iter().zip(["p", "p", "p", "q"]).collect();
        // the only one of another person, though it may have the same value
        assert_eq!(others(&with, false), Some(vec![3, 3, 3, 0]));
        // within one scan there are other windows, and no other scans
        assert_eq!(others(&with[..2], true), Some(vec![1, 0]));
        assert_eq!(others(&with[..2], false), None);
    }

    #[test]
    fn a_text_stays_in_its_cell() {
        assert_eq!(cell("A < b | c\nNext & last."), "A &lt; b \\| c<br>Next &amp; last.");
    }
}
