//! What a report states, read back from its text. Total: any text is a report, if a poor one.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Section, SlotReading, SlotSet, SlotSpan};

/// A report, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedReport {
    /// The findings, without their heading.
    pub findings: Option<String>,
    /// The impression, without its heading.
    pub impression: Option<String>,
    /// What each slot of the set reads, in the set's order.
    pub slots: Vec<SlotReading>,
}

impl SlotSet {
    /// Reads a report.
    ///
    /// A section runs from its heading to the next one, wherever on a line those stand; a section that
    /// is written twice is read twice. Text before the first heading counts as findings when no heading
    /// `Findings:` follows.
    ///
    /// ```
    /// # use report::slots::SlotSet;
    /// # let json = r#"{"scored": "viewed", "slots": [{"name": "viewed", "section": "findings",
    /// #     "lead": "Viewing of", "values": {"cat": ["cats"], "house": ["houses"]}}]}"#;
    /// # let slots: SlotSet = serde_json::from_str(json).unwrap();
    /// assert_eq!(slots.parse("FINDINGS: Cats.").slots[0].value(), Some("cat"));
    /// assert_eq!(slots.parse("Findings: cats or houses.").slots[0].value(), None);
    /// ```
    pub fn parse(&self, report_text: &str) -> ParsedReport {
        let sections = self.taken_apart(report_text);
        ParsedReport {
            findings: sections.text(report_text, Section::Findings),
            impression: sections.text(report_text, Section::Impression),
            slots: (0..self.slots().len())
                .map(|idx| {
                    SlotReading::of(&self.slots()[idx], &self.mentions(&sections, report_text, idx))
                })
                .collect(),
        }
    }

    /// Every surface form of every slot in its own section, by where it starts.
    pub fn spans(&self, report_text: &str) -> Vec<SlotSpan> {
        let sections = self.taken_apart(report_text);
        let mut spans: Vec<SlotSpan> = (0..self.slots().len())
            .flat_map(|slot_idx| {
                self.mentions(&sections, report_text, slot_idx)
                    .into_iter()
                    .map(move |it| SlotSpan { range: it.range, slot_idx })
            })
            .collect();
        spans.sort_by_key(|span| (span.range.start, span.slot_idx));
        spans
    }

    /// The pieces of a report, by the headings of these slots' sections.
    pub(super) fn taken_apart(&self, text: &str) -> Sections {
        Sections::of(text, &self.sections().collect::<Vec<_>>())
    }
}

/// The pieces of a report, in the order of the text.
pub(super) struct Sections(Vec<Piece>);

struct Piece {
    section: Option<Section>,
    /// Where its heading begins; where the text does, for one without.
    start: usize,
    body: Range<usize>,
}

impl Sections {
    fn of(text: &str, headings: &[Section]) -> Self {
        let mut pieces = Vec::new();
        let mut open = Piece { section: None, start: 0, body: 0..text.len() };
        for (start, _) in text.char_indices() {
            let Some((section, body)) = heading_at(text, start, headings) else { continue };
            open.body.end = start;
            pieces.push(open);
            open = Piece { section: Some(section), start, body: body..text.len() };
        }
        pieces.push(open);
        if !pieces.iter().any(|piece| piece.section == Some(Section::Findings)) {
            pieces[0].section = Some(Section::Findings);
        }
        Self(pieces)
    }

    pub(super) fn ranges(&self, section: Section) -> impl Iterator<Item = Range<usize>> {
        self.0
            .iter()
            .filter(move |piece| piece.section == Some(section))
            .map(|piece| piece.body.clone())
    }

    /// Where the first piece of a section begins, heading and all.
    pub(super) fn start(&self, section: Section) -> Option<usize> {
        self.0.iter().find(|piece| piece.section == Some(section)).map(|piece| piece.start)
    }

    fn text(&self, text: &str, section: Section) -> Option<String> {
        let bodies: Vec<&str> = self
            .ranges(section)
            .map(|range| text[range].trim())
            .filter(|t| !t.is_empty())
            .collect();
        (!bodies.is_empty()).then(|| bodies.join("\n"))
    }
}

/// The section that a heading at `start` opens, and where its body begins.
fn heading_at(text: &str, start: usize, headings: &[Section]) -> Option<(Section, usize)> {
    if text[..start].chars().next_back().is_some_and(char::is_alphanumeric) {
        return None;
    }
    headings.iter().find_map(|&section| {
        let end = start + section.heading().len();
        let words = text.get(start..end)?;
        let after = text[end..].trim_start();
        (words.eq_ignore_ascii_case(section.heading()) && after.starts_with(':'))
            .then(|| (section, text.len() - after.len() + 1))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::slots::example::{FACES, haxby};

    fn values(text: &str) -> Vec<Option<String>> {
        haxby().parse(text).slots.iter().map(|r| r.value().map(str::to_owned)).collect()
    }

    #[test]
    fn a_well_formed_report_is_read() {
        let report = haxby().parse(FACES);
        assert_eq!(report.impression.as_deref(), Some("Visual response to faces."));
        assert!(report.findings.unwrap().ends_with("domain is living things."));
        assert_eq!(values(FACES), ["face", "living", "face"].map(|v| Some(v.to_owned())));
        let SlotReading::Stated { range, form_idx, .. } = &report.slots[0] else { panic!() };
        assert_eq!((&FACES[range.clone()], *form_idx), ("faces", 0));
    }

    #[test]
    fn sections_keep_slots_apart() {
        let text = "Findings: viewing of faces.\nImpression: Visual response to houses.";
        let value = |v: &str| Some(v.to_owned());
        assert_eq!(values(text), [value("face"), None, value("house")]);
    }

    #[test]
    fn headings_may_be_missing_repeated_or_shouted() {
        let value = |v: &str| Some(v.to_owned());
        assert_eq!(values("Viewing of cats."), [value("cat"), None, None]);
        assert_eq!(values("cats IMPRESSION : houses"), [value("cat"), None, value("house")]);
        assert_eq!(values("impression: houses"), [None, None, value("house")]);
        assert_eq!(values("cats. Findings: faces"), [value("face"), None, None]);
        assert_eq!(values("Technique: cats. Findings: faces"), [value("face"), None, None]);
        assert_eq!(values("Findings: cats. Impression: x. Findings: faces."), [None, None, None]);
        assert_eq!(values(""), [None, None, None]);
    }

    #[test]
    fn two_values_of_a_slot_conflict_and_one_twice_does_not() {
        let report = haxby().parse("Findings: faces or houses, rather faces.");
        let conflict = ["face", "house"].map(str::to_owned).to_vec();
        assert_eq!(report.slots[0], SlotReading::Conflicting { values: conflict });
        assert_eq!(values("Findings: faces, faces.")[0].as_deref(), Some("face"));
    }

    #[test]
    fn spans_cover_every_form_in_its_section() {
        let text = "Findings: Faces. Places. More faces.\nImpression: places, cats.";
        let spans = haxby().spans(text);
        let words: Vec<(&str, usize)> =
            spans.iter().map(|span| (&text[span.range.clone()], span.slot_idx)).collect();
        assert_eq!(words, [("Faces", 0), ("Places", 1), ("faces", 0), ("cats", 2)]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(
            text in "\\PC*|(?i:findings|impression|faces|scrambled pictures|[:\\s é’-]){0,20}",
        ) {
            let slots = haxby();
            let report = slots.parse(&text);
            prop_assert_eq!(report.slots.len(), 3);
            for reading in &report.slots {
                if let SlotReading::Stated { range, .. } = reading {
                    prop_assert!(text.get(range.clone()).is_some());
                }
            }
            for span in slots.spans(&text) {
                prop_assert!(text.get(span.range).is_some());
            }
            for slot in slots.slots() {
                prop_assert!(slots.alternatives(&text, &slot.name).is_some());
            }
            prop_assert!(slots.with_value(&text, "house").is_ok());
        }
    }
}
