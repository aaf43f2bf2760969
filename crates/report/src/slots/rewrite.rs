//! A report with another value in its slots: the alternatives a likelihood is compared over, and
//! distractors that differ in nothing else.

use serde::{Deserialize, Serialize};

use super::{Slot, SlotSet, clause::Polarity, parse::Sections, reading::Mention};
use crate::Result;

/// The same beginning, continued with each value of a slot.
///
/// `prefix` and a surface joined are exact text: tokenise that text and score the tokens whose bytes
/// overlap the surface, since the blank before a word belongs to its token in most vocabularies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternatives {
    /// The report up to the value.
    pub prefix: String,
    /// One continuation a value, in the slot's order.
    pub choices: Vec<Choice>,
}

/// A value and the words for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The value.
    pub value: String,
    /// Its words at this place.
    pub surface: String,
}

impl SlotSet {
    /// What the report could have said in a slot instead; `None` if there is no such slot, or if it is not
    /// one of several values.
    ///
    /// The place is where the report first states the slot. A report that does not state it is cut at
    /// the slot's section and continued with the slot's canonical words.
    pub fn alternatives(&self, report_text: &str, slot: &str) -> Option<Alternatives> {
        let slot_idx = self.slots().iter().position(|candidate| candidate.name == slot)?;
        let slot = &self.slots()[slot_idx];
        if !slot.is_one_of_values() {
            return None;
        }
        let sections = self.taken_apart(report_text);
        let mentions = self.mentions(&sections, report_text, slot_idx);
        let stated = mentions.iter().find(|it| it.polarity == Polarity::Affirmed);
        let (prefix, form_idx, capital) = match stated {
            Some(hit) => {
                let stated = &report_text[hit.range.clone()];
                (report_text[..hit.range.start].to_owned(), hit.form_idx, is_capital(stated))
            }
            None => (canonical_prefix(report_text, &sections, slot), 0, false),
        };
        let choices = slot
            .values
            .iter()
            .map(|(value, forms)| Choice {
                value: value.clone(),
                surface: with_case(&forms[form_idx], capital),
            })
            .collect();
        Some(Alternatives { prefix, choices })
    }

    /// The same report with `scored_value` in the scored slot and in those that follow from it.
    ///
    /// ```
    /// # use report::slots::SlotSet;
    /// # let json = r#"{"scored": "viewed", "slots": [{"name": "viewed", "section": "findings",
    /// #     "lead": "Viewing of", "values": {"cat": ["cats"], "house": ["houses"]}}]}"#;
    /// # let slots: SlotSet = serde_json::from_str(json).unwrap();
    /// let distractor = slots.with_value("Findings: Viewing of cats.", "house").unwrap();
    /// assert_eq!(distractor, "Findings: Viewing of houses.");
    /// ```
    pub fn with_value(&self, report_text: &str, scored_value: &str) -> Result<String> {
        let sections = self.taken_apart(report_text);
        let mut changes: Vec<(Mention, String)> = Vec::new();
        for (slot_idx, value) in self.implied(scored_value)?.into_iter().enumerate() {
            let Some(value) = value else { continue };
            let slot = &self.slots()[slot_idx];
            for hit in self.mentions(&sections, report_text, slot_idx) {
                let capital = is_capital(&report_text[hit.range.clone()]);
                let surface = with_case(&slot.values[&value][hit.form_idx], capital);
                changes.push((hit, surface));
            }
        }
        changes.sort_by_key(|(hit, _)| hit.range.start);
        let mut text = String::with_capacity(report_text.len());
        let mut done = 0;
        for (hit, surface) in changes {
            if hit.range.start < done {
                continue;
            }
            text.push_str(&report_text[done..hit.range.start]);
            text.push_str(&surface);
            done = hit.range.end;
        }
        text.push_str(&report_text[done..]);
        Ok(text)
    }
}

impl Alternatives {
    /// The whole text with one of the values.
    pub fn with(&self, value: &str) -> Option<String> {
        let choice = self.choices.iter().find(|choice| choice.value == value)?;
        Some(format!("{}{}", self.prefix, choice.surface))
    }
}

/// What precedes the slot's section, its heading, and the slot's own lead.
fn canonical_prefix(text: &str, sections: &Sections, slot: &Slot) -> String {
    let before = match sections.start(slot.section) {
        Some(start) => text[..start].trim_end(),
        None => text.trim_end(),
    };
    let newline = if before.is_empty() { "" } else { "\n" };
    format!("{before}{newline}{}: {} ", slot.section.heading(), slot.lead)
}

fn is_capital(words: &str) -> bool {
    words.starts_with(char::is_uppercase)
}

fn with_case(form: &str, capital: bool) -> String {
    let mut chars = form.chars();
    match chars.next() {
        Some(first) if capital => first.to_uppercase().chain(chars).collect(),
        _ => form.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::slots::example::{FACES, haxby};

    #[test]
    fn alternatives_stand_where_the_value_was_stated() {
        let slots = haxby();
        let found = slots.alternatives(FACES, "viewed").unwrap();
        assert_eq!(found.prefix, "Findings: The ventral temporal pattern fits viewing of ");
        let surfaces: Vec<&str> = found.choices.iter().map(|c| c.surface.as_str()).collect();
        assert_eq!(surfaces, ["cats", "faces", "houses", "scrambled pictures"]);
        let whole = found.with("face").unwrap();
        assert!(FACES.starts_with(&whole));

        let found = slots.alternatives(FACES, "impression").unwrap();
        assert!(FACES.starts_with(&found.prefix) && found.prefix.ends_with("response to "));
        assert_eq!(slots.alternatives(FACES, "age"), None);
    }

    #[test]
    fn alternatives_of_a_silent_report_follow_the_lead() {
        let slots = haxby();
        let lead = |text: &str, slot: &str| slots.alternatives(text, slot).unwrap().prefix;
        let viewed = "Findings: The ventral temporal pattern fits viewing of ";
        assert_eq!(lead("", "viewed"), viewed);
        assert_eq!(lead("Findings: Nothing.\nImpression: Faces.", "viewed"), viewed);
        assert_eq!(
            lead("Findings: Nothing.", "impression"),
            "Findings: Nothing.\nImpression: Visual response to "
        );
        assert_eq!(
            lead("Findings: Nothing.\nImpression: None.", "impression"),
            "Findings: Nothing.\nImpression: Visual response to "
        );
    }

    #[test]
    fn another_value_carries_the_derived_slots_along() {
        assert_eq!(
            haxby().with_value(FACES, "scrambledpix").unwrap(),
            "Findings: The ventral temporal pattern fits viewing of scrambled pictures. \
             The stimulus domain is patterns.\nImpression: Visual response to scrambled pictures."
        );
    }

    #[test]
    fn the_same_value_changes_nothing_and_capitals_stay() {
        assert_eq!(haxby().with_value(FACES, "face").unwrap(), FACES);
        let text = "Findings: Faces were shown, faces again.";
        assert_eq!(
            haxby().with_value(text, "cat").unwrap(),
            "Findings: Cats were shown, cats again."
        );
    }

    #[test]
    fn there_and_back_is_the_identity() {
        let slots = haxby();
        for value in slots.scored().unwrap().values.keys() {
            let there = slots.with_value(FACES, value).unwrap();
            assert_eq!(slots.parse(&there).slots[0].value(), Some(value.as_str()));
            assert_eq!(slots.with_value(&there, "face").unwrap(), FACES);
        }
    }
}
