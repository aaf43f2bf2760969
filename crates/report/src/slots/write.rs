//! Canonical sentences of slots, and the check that each is read back.

use super::{Slot, SlotKind, SlotReading, SlotSet, reading::NONE};
use crate::{Error, Result};

impl Slot {
    /// The canonical sentence of a value: the lead and the words for it. Of a number any text that is one, of a
    /// set its members with commas between or `none`; `form_idx` counts around. `None` if there is no such
    /// value.
    pub fn sentence(&self, value: &str, form_idx: usize) -> Option<String> {
        let words = self.words(value, form_idx)?;
        Some(format!("{} {words}.", self.lead.trim_end()).trim_start().to_owned())
    }

    /// The words for a value alone.
    pub(crate) fn words(&self, value: &str, form_idx: usize) -> Option<String> {
        let form = |forms: &Vec<String>| forms.get(form_idx % forms.len().max(1)).cloned();
        Some(match &self.kind {
            SlotKind::Number(number) => number.written(value.parse().ok()?),
            SlotKind::Set { none } if value == NONE => form(none)?,
            SlotKind::Set { .. } => {
                let members = value.split(", ").map(|it| form(self.values.get(it)?));
                listed(&members.collect::<Option<Vec<String>>>()?)
            }
            _ => form(self.values.get(value)?)?,
        })
    }

    /// Whether what was read is this value as it is written: of a number after rounding.
    pub(crate) fn says(&self, value: &str, read: &str) -> bool {
        match self.number() {
            Some(form) => value.parse().is_ok_and(|value| form.number(value) == read),
            None => read == value,
        }
    }

    /// What its forms can write: every form of every value, the ends of a number's range, each member, all
    /// and none.
    pub(super) fn examples(&self) -> Vec<(String, usize)> {
        let each = |values: &mut dyn Iterator<Item = &String>| -> Vec<(String, usize)> {
            values
                .flat_map(|value| {
                    (0..self.values[value].len()).map(move |idx| (value.clone(), idx))
                })
                .collect()
        };
        match &self.kind {
            SlotKind::Words => Vec::new(),
            SlotKind::Number(form) => {
                let ends = form.range.iter().chain(&form.bins);
                ends.map(|end| (form.truth(*end).to_string(), 0)).collect()
            }
            SlotKind::Set { none } => {
                let mut all = each(&mut self.values.keys());
                all.push((self.labels().join(", "), 0));
                all.extend((0..none.len()).map(|idx| (NONE.to_owned(), idx)));
                all
            }
            _ => each(&mut self.values.keys()),
        }
    }
}

impl SlotSet {
    /// Refuses slots whose own canonical sentences say something else.
    pub(super) fn reads_back(&self) -> Result<()> {
        for (idx, slot) in self.slots().iter().enumerate() {
            if let SlotKind::Set { .. } = slot.kind
                && let Some(member) = slot.values.keys().find(|it| it.contains(',') || *it == NONE)
            {
                return Err(Error::MemberName { slot: slot.name.clone(), member: member.clone() });
            }
            for (value, form_idx) in slot.examples() {
                let sentence = slot.sentence(&value, form_idx).unwrap_or_default();
                let text = format!("{}: {sentence}", slot.section.heading());
                let found = &self.parse(&text).slots[idx];
                if !found.value().is_some_and(|read| slot.says(&value, read)) {
                    let (slot, found) = (slot.name.clone(), in_words(found));
                    return Err(Error::NotReadBack { slot, sentence, value, found });
                }
            }
        }
        Ok(())
    }
}

/// `a`, `a and b`, `a, b and c`.
fn listed(words: &[String]) -> String {
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
    }
}

fn in_words(reading: &SlotReading) -> String {
    match reading {
        SlotReading::Stated { value, .. } => value.clone(),
        SlotReading::Absent => "nothing".to_owned(),
        SlotReading::Conflicting { values } => format!("{} at once", values.join(" and ")),
        SlotReading::Hedged { value } => format!("perhaps {value}"),
        SlotReading::OutOfRange { value } => format!("{value}, which is out of range"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::example::typed;

    #[test]
    fn sentences_are_canonical() {
        let slots = typed();
        let of = |slot: &str, value: &str, form| slots.slot(slot).unwrap().sentence(value, form);
        assert_eq!(of("motion", "low", 1).unwrap(), "Head motion was slight.");
        assert_eq!(of("age", "91.2", 0).unwrap(), "Estimated age 90+ years.");
        assert_eq!(of("artefact", "no", 0).unwrap(), "The series shows no a spike artefact.");
        let all = of("networks", "Vis, DMN, SM", 0).unwrap();
        let expected = "visual network, default mode network and somatomotor network.";
        assert!(all.ends_with(expected), "{all}");
        assert_eq!(of("networks", "none", 0).unwrap(), "Findings concern the no network.");
        assert_eq!(of("motion", "extreme", 0), None);
    }

    #[test]
    fn slots_that_deny_their_own_values_are_refused() {
        let text = "
scored: [a]
slots:
  - { name: a, section: findings, lead: There is no, choice: { x: [exes], y: [whys] } }
";
        let error = serde_yaml::from_str::<SlotSet>(text).unwrap_err().to_string();
        let expected = "slot a writes \"There is no exes.\" for x, which reads back as nothing";
        assert!(error.contains(expected), "{error}");
    }
}
