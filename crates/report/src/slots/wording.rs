//! What a report may say next, where it is written by the slots' rules: canonical sentences alone, or free prose
//! whose values are those of the slots.

use super::{Author, NumberForm, Section, Slot, SlotKind, SlotSet};

/// What may follow a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<'a> {
    /// Anything: no value is expected here.
    Any,
    /// This text.
    Text(String),
    /// One of these texts.
    OneOf(Vec<String>),
    /// A number of this form, without its unit.
    Number(&'a NumberForm),
    /// Nothing more.
    End,
}

/// Which texts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// The canonical sentence of every slot that the model states, section by section; what follows from a scored
    /// value follows.
    Slots,
    /// Free prose: after a slot's lead comes one of its values.
    Values,
}

/// A report while it is written.
#[derive(Clone, Debug)]
pub struct Writer<'a> {
    slots: &'a SlotSet,
    wording: Wording,
    /// Slots still to be stated, in the order of the sections.
    rest: Vec<usize>,
    /// The slot whose value is written now.
    open: Option<Open>,
    /// What ends the sentence that was begun.
    tail: String,
    section: Option<Section>,
    /// Of derived slots, once the scored one has its value.
    implied: Vec<Option<String>>,
}

#[derive(Clone, Debug)]
enum Open {
    /// A slot whose values were offered.
    Value(usize),
    /// A number, and whether it was asked for.
    Number(usize, bool),
    /// A slot with values before they are offered; of a set its members so far, and whether an `and` said that
    /// they are all.
    Set(usize, Vec<usize>, bool),
}

impl SlotSet {
    /// A report that is written by these rules.
    pub fn writer(&self, wording: Wording) -> Writer<'_> {
        let stated = |idx: &usize| self.slots()[*idx].stated_by == Author::Model;
        let mut rest: Vec<usize> = (0..self.slots().len()).filter(stated).collect();
        let place = |idx: &usize| {
            let section = self.slots()[*idx].section;
            Section::ALL.iter().position(|it| *it == section)
        };
        rest.sort_by_key(place);
        let implied = vec![None; self.slots().len()];
        Writer {
            slots: self,
            wording,
            rest,
            open: None,
            tail: String::new(),
            section: None,
            implied,
        }
    }

    /// A derived slot that [`Wording::Slots`] would state before the value that it follows from.
    pub fn derived_too_early(&self) -> Option<&Slot> {
        let first = *self.scored_idxs().first()?;
        let order = self.writer(Wording::Slots).rest;
        let before = order.into_iter().take_while(|idx| *idx != first);
        before.map(|idx| &self.slots()[idx]).find(|slot| self.is_derived(&slot.name))
    }

    /// For each slot of [`Wording::Slots`] the sentences that may stand for it, of a number those of the ends of its
    /// range, the heading before each.
    pub fn sentences(&self) -> Vec<Vec<String>> {
        let stated = self.slots().iter().filter(|it| it.stated_by == Author::Model);
        let of = |slot: &Slot| {
            let values: Vec<String> = match slot.kind {
                SlotKind::Number(_) | SlotKind::Set { .. } => {
                    slot.examples().into_iter().map(|(value, _)| value).collect()
                }
                _ => slot.labels(),
            };
            let sentences = values.iter().filter_map(|value| slot.sentence(value, 0));
            sentences.map(|it| format!("\n{}: {it}", slot.section.heading())).collect()
        };
        stated.map(of).collect()
    }
}

impl<'a> Writer<'a> {
    /// What may come after `text`, which was written as this said before.
    pub fn next(&mut self, text: &str) -> Next<'a> {
        let blank = if text.ends_with(char::is_whitespace) { "" } else { " " };
        match self.open.take() {
            Some(Open::Number(idx, false)) => {
                self.open = Some(Open::Number(idx, true));
                self.slots.slots()[idx].number().map_or(Next::End, Next::Number)
            }
            Some(Open::Number(idx, true)) => self.after_number(idx, text),
            Some(Open::Set(idx, members, closed)) => self.members(idx, members, closed, blank),
            // values were offered and one is taken, which says that it is done
            Some(Open::Value(_)) | None => match self.wording {
                Wording::Slots => self.sentence(),
                Wording::Values => self.value_in(text, blank),
            },
        }
    }

    /// The slot whose value was offered last, where that was one of several; told which is taken.
    pub fn took(&mut self, taken: usize) -> Option<&'a Slot> {
        match self.open.take()? {
            Open::Value(idx) => {
                let slot = &self.slots.slots()[idx];
                let value = slot.values.get_index(taken)?.0;
                if self.slots.scored_idxs().first() == Some(&idx)
                    && let Ok(implied) = self.slots.implied(value)
                {
                    self.implied = implied;
                }
                self.close();
                Some(slot)
            }
            Open::Set(idx, mut members, _) => {
                let offered = self.offered(idx, &members);
                match offered.get(taken) {
                    Some(&(member, closes)) => {
                        members.push(member);
                        self.open = Some(Open::Set(idx, members, closes));
                    }
                    // nothing at all, or the full stop itself
                    None if members.is_empty() => self.close(),
                    None => {}
                }
                None
            }
            number @ Open::Number(..) => {
                self.open = Some(number);
                None
            }
        }
    }

    /// A sentence is over but for its full stop.
    fn close(&mut self) {
        if self.wording == Wording::Slots {
            self.tail.push('.');
        }
    }

    /// The end of the last sentence, and the next slot's lead with its heading.
    fn sentence(&mut self) -> Next<'a> {
        let mut text = std::mem::take(&mut self.tail);
        while !self.rest.is_empty() {
            let idx = self.rest.remove(0);
            let slot = &self.slots.slots()[idx];
            if self.section != Some(slot.section) {
                let newline = if self.section.is_some() { "\n" } else { "" };
                text += newline;
                text += slot.section.heading();
                text.push(':');
                self.section = Some(slot.section);
            }
            let implied = self.implied[idx].take().filter(|_| self.slots.is_derived(&slot.name));
            if let Some(sentence) = implied.and_then(|value| slot.sentence(&value, 0)) {
                text = format!("{text} {sentence}");
                continue;
            }
            let lead = slot.lead.trim();
            if !lead.is_empty() {
                text = format!("{text} {lead}");
            }
            self.begin(idx);
            return Next::Text(text);
        }
        if text.is_empty() { Next::End } else { Next::Text(text) }
    }

    fn begin(&mut self, idx: usize) {
        self.open = Some(match self.slots.slots()[idx].kind {
            SlotKind::Number(_) => Open::Number(idx, false),
            _ => Open::Set(idx, Vec::new(), false),
        });
    }

    /// The values of the slot whose lead a free text ends with.
    fn value_in(&mut self, text: &str, blank: &str) -> Next<'a> {
        let written = text.trim_end();
        let sections = Section::ALL.into_iter().filter_map(|section| {
            Some((written.rfind(&format!("{}:", section.heading()))?, section))
        });
        let section = sections.max_by_key(|(place, _)| *place).map(|(_, section)| section);
        let expects = |slot: &Slot| {
            let lead = slot.lead.trim();
            let before = written.strip_suffix(lead).filter(|_| !lead.is_empty());
            before.is_some_and(|it| !it.ends_with(char::is_alphanumeric))
                && section.is_none_or(|section| section == slot.section)
        };
        let found = self.rest.iter().position(|&idx| expects(&self.slots.slots()[idx]));
        let Some(place) = found else { return Next::Any };
        let idx = self.rest.remove(place);
        self.begin(idx);
        match self.open.take() {
            Some(Open::Set(idx, members, closed)) => self.members(idx, members, closed, blank),
            open => {
                self.open = open;
                self.next(text)
            }
        }
    }

    /// The values of a slot; of a set those that may come next.
    fn members(&mut self, idx: usize, members: Vec<usize>, closed: bool, blank: &str) -> Next<'a> {
        let slot = &self.slots.slots()[idx];
        let form = |forms: &Vec<String>| forms.first().cloned().unwrap_or_default();
        let SlotKind::Set { none } = &slot.kind else {
            self.open = Some(Open::Value(idx));
            return Next::OneOf(
                slot.values.values().map(|it| format!("{blank}{}", form(it))).collect(),
            );
        };
        let offered = self.offered(idx, &members);
        if closed || (offered.is_empty() && !members.is_empty()) {
            self.close();
            return self.next("");
        }
        let mut texts: Vec<String> = offered
            .iter()
            .map(|&(member, closes)| {
                let before = match (members.is_empty(), closes) {
                    (true, _) => blank,
                    (false, true) => " and ",
                    (false, false) => ", ",
                };
                format!("{before}{}", form(&slot.values[member]))
            })
            .collect();
        // nothing, or nothing more
        match members.len() {
            0 => texts.extend(none.first().map(|it| format!("{blank}{it}"))),
            1 => texts.push(".".to_owned()),
            // after a comma another one is sure to come
            _ => {}
        }
        self.open = Some(Open::Set(idx, members, false));
        Next::OneOf(texts)
    }

    /// Members that may follow, in the order of the file, and whether no other comes after.
    fn offered(&self, idx: usize, members: &[usize]) -> Vec<(usize, bool)> {
        let n = self.slots.slots()[idx].values.len();
        let Some(&last) = members.last() else { return (0..n).map(|it| (it, false)).collect() };
        let after = last + 1..n;
        // a comma announces more than one
        let more = after.clone().filter(|it| it + 1 < n).map(|it| (it, false));
        more.chain(after.map(|it| (it, true))).collect()
    }

    /// What stands behind a number: a plus at the top, and the unit.
    fn after_number(&mut self, idx: usize, text: &str) -> Next<'a> {
        let slot = &self.slots.slots()[idx];
        let Some(form) = slot.number() else { return Next::End };
        let number = text.rsplit(char::is_whitespace).next().unwrap_or_default();
        let value = number.parse().unwrap_or(f64::NAN);
        let rest = form.written(value);
        let rest = rest.strip_prefix(number).unwrap_or_default().to_owned();
        self.close();
        match self.wording {
            Wording::Slots => {
                self.tail.insert_str(0, &rest);
                self.sentence()
            }
            Wording::Values if rest.is_empty() => Next::Any,
            Wording::Values => Next::Text(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::example::{FACES, haxby, typed};

    /// Writes a report, taking the words that `choose` names among those that may come.
    fn written(
        slots: &SlotSet,
        wording: Wording,
        mut free: impl FnMut(&str) -> Option<String>,
        mut choose: impl FnMut(&str, &[String]) -> usize,
        number: &str,
    ) -> String {
        let mut writer = slots.writer(wording);
        let mut text = String::new();
        loop {
            match writer.next(&text) {
                Next::Any => match free(&text) {
                    Some(more) => text.push_str(&more),
                    None => return text,
                },
                Next::Text(more) => text.push_str(&more),
                Next::OneOf(words) => {
                    let taken = choose(&text, &words);
                    text.push_str(&words[taken]);
                    writer.took(taken);
                }
                Next::Number(_) => text = format!("{text} {number}"),
                Next::End => return text,
            }
        }
    }

    fn place(words: &[String], wanted: &str) -> usize {
        words.iter().position(|it| it == wanted).unwrap_or_else(|| panic!("{wanted} in {words:?}"))
    }

    #[test]
    fn a_report_of_slots_is_the_canonical_one_and_derived_values_follow() {
        let mut offered = Vec::new();
        let found = written(
            &haxby(),
            Wording::Slots,
            |_| None,
            |text, words| {
                offered.push(text.to_owned());
                place(words, " faces")
            },
            "",
        );
        assert_eq!(found, FACES);
        // the domain and the impression follow from what was viewed
        assert_eq!(offered, ["Findings: The ventral temporal pattern fits viewing of"]);
    }

    #[test]
    fn a_derived_slot_before_the_one_that_it_follows_from_is_told() {
        assert!(haxby().derived_too_early().is_none());
        let text = serde_yaml::to_string(&haxby()).unwrap();
        let early = text.replacen("section: impression", "section: technique", 1);
        let early: SlotSet = serde_yaml::from_str(&early).unwrap();
        assert_eq!(early.derived_too_early().unwrap().name, "impression");
    }

    #[test]
    fn every_choice_is_read_back_as_it_was_taken() {
        let slots = typed();
        let names: Vec<&str> = slots.slots().iter().map(|it| it.name.as_str()).collect();
        for seed in 0..200usize {
            let mut calls = 0;
            let choose = |_: &str, words: &[String]| {
                calls += 1;
                (seed / calls + seed + calls) % words.len()
            };
            let text = written(&slots, Wording::Slots, |_| None, choose, "3.25");
            let read = slots.parse(&text).slots;
            for ((name, slot), reading) in names.iter().zip(slots.slots()).zip(&read) {
                let stated = slot.stated_by == Author::Model;
                // a number without decimals cannot be 3.25
                let is_whole = slot.number().is_some_and(|it| it.decimals == 0);
                if !is_whole {
                    assert_eq!(reading.value().is_some(), stated, "{name} in {text}");
                }
            }
            assert!(!text.contains("..") && text.ends_with('.'), "{text}");
        }
    }

    #[test]
    fn members_of_a_set_come_in_their_order_with_an_and_before_the_last() {
        let slots = typed();
        let of = |wanted: &[&str]| {
            let mut wanted = wanted.iter();
            let text = written(
                &slots,
                Wording::Slots,
                |_| None,
                |text, words| {
                    if text.contains("Findings concern the") {
                        place(words, wanted.next().unwrap())
                    } else {
                        0
                    }
                },
                "3.25",
            );
            text.rsplit_once("Findings concern the ").unwrap().1.to_owned()
        };
        assert_eq!(of(&[" default mode network", "."]), "default mode network.");
        let two = of(&[" visual network", " and somatomotor network"]);
        assert_eq!(two, "visual network and somatomotor network.");
        let all = of(&[" visual network", ", default mode network", " and somatomotor network"]);
        assert_eq!(all, "visual network, default mode network and somatomotor network.");
        assert_eq!(of(&[" no network"]), "no network.");
        let networks = slots.slots().iter().position(|it| it.name == "networks").unwrap();
        let mut writer = slots.writer(Wording::Slots);
        writer.open = Some(Open::Set(networks, vec![0, 1], false));
        let Next::OneOf(words) = writer.next("") else { panic!("words") };
        assert_eq!(words, [" and somatomotor network"], "a comma announces another member");
    }

    #[test]
    fn numbers_get_their_unit_and_the_top_its_plus() {
        let slots: SlotSet = serde_yaml::from_str(
            "
scored: a
slots:
  - { name: a, section: findings, lead: Shown, choice: { x: [exes], y: [whys] } }
  - { name: age, section: findings, lead: Estimated age, number: { unit: years, range: [0, 120], top: 90 } }
",
        )
        .unwrap();
        let of = |age: &str| written(&slots, Wording::Slots, |_| None, |_, _| 1, age);
        assert_eq!(of("34"), "Findings: Shown whys. Estimated age 34 years.");
        assert_eq!(of("90"), "Findings: Shown whys. Estimated age 90+ years.");
    }

    #[test]
    fn free_prose_gets_values_after_leads_of_its_section() {
        let slots = haxby();
        let mut pieces = [
            "Findings: ",
            "Visual response to",
            " things. The ventral temporal pattern fits viewing of",
            ", surely.\nImpression:",
            " Visual response to",
            ".",
        ]
        .iter();
        let mut offered = 0;
        let found = written(
            &slots,
            Wording::Values,
            |_| pieces.next().map(|it| (*it).to_owned()),
            |_, words| {
                offered += 1;
                place(words, " houses")
            },
            "",
        );
        let expected = "Findings: Visual response to things. The ventral temporal pattern fits \
                        viewing of houses, surely.\nImpression: Visual response to houses.";
        assert_eq!((found.as_str(), offered), (expected, 2));
    }
}
