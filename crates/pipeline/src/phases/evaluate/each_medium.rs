//! Several media of a report, one at a time: another person's in place of the own one, or none, while the others stay.
use std::{collections::BTreeMap, sync::Arc};

use flamingo::Medium;
use report::{
    evidence::{Evidence, EvidenceInput, Unit},
    tables::SummaryTable,
};

use super::{
    baselines::Baselines,
    config::EvaluateConfig,
    evaluation::{MediumEvidence, Written},
    measure::{self, CrossScored, InBlocks, digest, generation},
    said::{Texts, Values},
};
use crate::{
    Result,
    answers::{self, Query},
    aside::aside,
    event::Control,
    named::missing,
};

/// What the media of a report are measured with.
pub(super) struct EachMedium<'a> {
    pub(super) config: &'a EvaluateConfig,
    pub(super) written: &'a Written<'a>,
    pub(super) majority: &'a Baselines,
}

/// The media of the test windows, one of which is exchanged.
struct Exchanged<'a> {
    rows: &'a [usize],
    shown: &'a [Vec<Arc<Medium>>],
    /// Which of the media.
    at: usize,
    name: &'a str,
    nothing: Arc<Medium>,
}

impl Exchanged<'_> {
    /// The media of a report with one of another window, or without it.
    fn media(&self, report: usize, other: Option<usize>) -> Vec<Arc<Medium>> {
        let mut media = self.shown[report].clone();
        let other = other.map_or(&self.nothing, |other| &self.shown[other][self.at]);
        media[self.at] = Arc::clone(other);
        media
    }
}

impl EachMedium<'_> {
    /// Every medium of the windows `test`; nothing where a report has one medium.
    pub(super) fn measure(
        &self,
        test: &[usize],
        control: &mut Control<'_>,
    ) -> Result<Vec<MediumEvidence>> {
        let media = self.written.media;
        let names: Vec<&str> = media.named.names().collect();
        let mut found = Vec::with_capacity(names.len());
        for (at, name) in names.into_iter().enumerate() {
            let (mut rows, mut shown) = (Vec::new(), Vec::new());
            for &row in test {
                let media = media.shown_of(row)?;
                if !media[at].is_empty() {
                    rows.push(row);
                    shown.push(media);
                }
            }
            let n_missing = test.len() - rows.len();
            let truths: Vec<String> = rows.iter().map(|&row| measure::truth(media, row)).collect();
            if truths.iter().all(|truth| *truth == truths[0]) {
                let verdict =
                    format!("MEDIUM {name}: undecided (the windows that have it state one value)");
                let (name, table, evidence) = (name.to_owned(), Vec::new(), None);
                found.push(MediumEvidence { name, verdict, n_missing, table, evidence });
                continue;
            }
            let nothing = missing();
            let it = Exchanged { rows: &rows, shown: &shown, at, name, nothing };
            let evidence = self.of_medium(&it, truths, control)?;
            let line = evidence.verdict.to_string();
            found.push(MediumEvidence {
                name: name.to_owned(),
                verdict: line.replacen("SCAN-DEPENDENT", &format!("MEDIUM {name}"), 1),
                n_missing,
                table: SummaryTable::new(&evidence).rows,
                evidence: Some(evidence),
            });
        }
        Ok(found)
    }

    fn of_medium(
        &self,
        it: &Exchanged<'_>,
        truth: Vec<String>,
        control: &mut Control<'_>,
    ) -> Result<Evidence> {
        let media = self.written.media;
        let unit = |(&row, shown): (&usize, &Vec<Arc<Medium>>)| {
            // what is exchanged tells windows apart, not the scan
            let own = digest(std::slice::from_ref(&shown[it.at]));
            let unit = measure::unit_of(media, row, own.clone());
            Unit { scan_digest: own, ..unit }
        };
        let units = it.rows.iter().zip(it.shown).map(unit).collect();
        let (max_pairs, seed) = (self.config.max_pairs, media.run.seed);
        let InBlocks { units, truth, blocks } =
            measure::in_blocks(units, truth, max_pairs, seed, control)?;
        let (name, with) =
            (format!("nll-medium-{}", it.name), |report, window| it.media(report, Some(window)));
        let scored = CrossScored { name: &name, rows: it.rows, blocks: &blocks, with: &with };
        let nll = scored.nll(self.config, self.written, control)?;
        let texts = self.texts(it, &blocks, control)?;
        let majority = &self.majority.majority;
        let said = Values::of(media, (&texts, &question), it.rows, &blocks, majority);
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
            majority: self.majority.joint_majority(media),
            ..EvidenceInput::default()
        };
        let drawing = self.config.drawing(seed);
        Ok(aside(control, move || Evidence::measure(&input, &drawing))??)
    }

    /// What is written with every medium of the block, and without it.
    fn texts(
        &self,
        it: &Exchanged<'_>,
        blocks: &[Vec<usize>],
        control: &mut Control<'_>,
    ) -> Result<Texts> {
        let Written { media, trained, reading, .. } = *self.written;
        let mut wanted: BTreeMap<(usize, Option<usize>), Query> = BTreeMap::new();
        let mut add = |report: usize, other: Option<usize>| {
            let prompt = media.prompt(it.rows[report]);
            wanted.insert((report, other), Query { prompt, media: it.media(report, other) });
        };
        for report in 0..it.rows.len() {
            add(report, Some(report));
            add(report, None);
        }
        for block in blocks {
            for &report in block {
                block.iter().for_each(|&other| add(report, Some(other)));
            }
        }
        let queries: Vec<Query> = wanted.values().cloned().collect();
        let (model, slots, config) = (&trained.model, media.slots(), generation(media));
        let name = format!("texts-medium-{}", it.name);
        let texts = answers::texts(model, slots, (&name, &queries), config, reading, control)?;
        let key = |(report, other): (usize, Option<usize>)| {
            (question(it.rows[report]), other.map(|other| it.rows[other]))
        };
        let written = wanted.into_keys().zip(texts);
        Ok(written.map(|(of, text)| (key(of), Some(text.text))).collect())
    }
}

/// A text goes with the other media of its row, not with the prompt alone.
fn question(row: usize) -> String {
    row.to_string()
}
