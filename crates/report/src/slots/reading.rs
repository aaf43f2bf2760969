//! What a report says about one slot: its mentions, and what they amount to.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{
    NumberForm, Slot, SlotKind, SlotSet,
    clause::{Polarity, clauses, polarity},
    find::{Form, Hit, forms_of, hits},
    parse::Sections,
    slot::{NO, YES},
};

/// What a report says about one slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotReading {
    /// Exactly one value. Of a number as it is written, `0.21`, a range as `20 to 30`; of a set its members
    /// with commas between, or `none`.
    Stated {
        /// The value.
        value: String,
        /// Which of its forms was used first.
        form_idx: usize,
        /// Where in the report.
        range: Range<usize>,
    },
    /// No value.
    Absent,
    /// Several values, in the order of the text.
    Conflicting {
        /// Each of them once; what is both said and denied also as `not …`.
        values: Vec<String>,
    },
    /// A value that only may be.
    Hedged {
        /// The first of them.
        value: String,
    },
    /// A number that cannot be.
    OutOfRange {
        /// The number.
        value: String,
    },
}

/// Says that a set has no member.
pub const NONE: &str = "none";

/// One mention of a slot's value in a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mention {
    pub(super) range: Range<usize>,
    pub(super) value: String,
    pub(super) form_idx: usize,
    pub(super) polarity: Polarity,
}

impl SlotReading {
    /// The value, if exactly one was stated.
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Stated { value, .. } => Some(value),
            Self::Absent
            | Self::Conflicting { .. }
            | Self::Hedged { .. }
            | Self::OutOfRange { .. } => None,
        }
    }

    pub(super) fn of(slot: &Slot, mentions: &[Mention]) -> Self {
        if let SlotKind::Set { .. } = slot.kind {
            return of_set(slot, mentions);
        }
        let mut values: Vec<String> = Vec::new();
        let said = |polarity| mentions.iter().filter(move |it| it.polarity == polarity);
        for it in said(Polarity::Affirmed) {
            if !values.contains(&it.value) {
                values.push(it.value.clone());
            }
        }
        // said and denied
        let denied = said(Polarity::Denied).find(|it| values.contains(&it.value));
        if let Some(denied) = denied {
            values.push(format!("not {}", denied.value));
        }
        let first = said(Polarity::Affirmed).next();
        match (first, said(Polarity::Doubted).next()) {
            (None, None) => Self::Absent,
            (None, Some(doubted)) => Self::Hedged { value: doubted.value.clone() },
            (Some(_), _) if values.len() > 1 => Self::Conflicting { values },
            (Some(first), _) => match slot.number().map(|form| (form, ends(&first.value))) {
                Some((form, Some((low, high)))) if !(form.holds(low) && form.holds(high)) => {
                    Self::OutOfRange { value: first.value.clone() }
                }
                _ => Self::Stated {
                    value: first.value.clone(),
                    form_idx: first.form_idx,
                    range: first.range.clone(),
                },
            },
        }
    }
}

/// A set is stated by its members, by the words for none, or by the denial of all of them.
fn of_set(slot: &Slot, mentions: &[Mention]) -> SlotReading {
    let said = |polarity, value: &str| {
        mentions.iter().any(|it| it.polarity == polarity && it.value == value)
    };
    let of = |polarity| -> Vec<&str> {
        slot.values.keys().map(String::as_str).filter(|it| said(polarity, it)).collect()
    };
    let (members, denied, doubted) =
        (of(Polarity::Affirmed), of(Polarity::Denied), of(Polarity::Doubted));
    let none = said(Polarity::Affirmed, NONE);
    let twofold: Vec<&str> = members.iter().copied().filter(|it| denied.contains(it)).collect();
    if !twofold.is_empty() || none && !members.is_empty() {
        let not = twofold.iter().map(|it| format!("not {it}"));
        let values = members.iter().map(|it| (*it).to_owned()).chain(not);
        let values = values.chain(none.then(|| NONE.to_owned())).collect();
        return SlotReading::Conflicting { values };
    }
    let value = if !members.is_empty() {
        members.join(", ")
    } else if none || denied.len() == slot.values.len() {
        NONE.to_owned()
    } else {
        return match doubted.first() {
            Some(value) => SlotReading::Hedged { value: (*value).to_owned() },
            None => SlotReading::Absent,
        };
    };
    let first = mentions.iter().find(|it| it.polarity != Polarity::Doubted);
    let first = first.expect("something is said");
    SlotReading::Stated { value, form_idx: first.form_idx, range: first.range.clone() }
}

/// Both ends of a number as [`SlotReading`] has it: of `20 to 30` 20 and 30, of `34` twice the same.
pub(super) fn ends(value: &str) -> Option<(f64, f64)> {
    let (low, high) = value.split_once(" to ").unwrap_or((value, value));
    let number = |text: &str| text.trim_end_matches('+').parse::<f64>().ok();
    Some((number(low)?, number(high)?))
}

impl Slot {
    /// The class of a value among [`Self::labels`]: of a number its bin, if both ends of a range share one.
    /// A set has no classes.
    pub fn class(&self, value: &str) -> Option<usize> {
        match &self.kind {
            SlotKind::Number(form) => {
                let (low, high) = ends(value)?;
                let bins = (form.bin(low)?, form.bin(high)?);
                (bins.0 == bins.1).then_some(bins.0)
            }
            SlotKind::Set { .. } => None,
            _ => self.values.get_index_of(value),
        }
    }

    /// Whether what is stated is the truth: of a number its bin, or without bins what counts as near; of a set
    /// every member.
    pub fn agrees(&self, truth: &str, stated: &str) -> bool {
        match &self.kind {
            SlotKind::Number(form) if form.bins.is_empty() => {
                let both = self.number_of(truth).zip(self.number_of(stated));
                both.is_some_and(|(truth, stated)| (truth - stated).abs() <= form.within())
            }
            SlotKind::Number(_) => {
                self.class(truth).is_some_and(|bin| self.class(stated) == Some(bin))
            }
            SlotKind::Set { .. } => self.members(truth) == self.members(stated),
            _ => truth == stated,
        }
    }

    /// What a value is compared and counted by: of a number its bin.
    pub fn label(&self, value: &str) -> String {
        let bin = self.number().and_then(|_| self.class(value));
        bin.map_or_else(|| value.to_owned(), |bin| self.labels().swap_remove(bin))
    }

    /// The middle of a number as it was stated.
    pub fn number_of(&self, value: &str) -> Option<f64> {
        self.number()?;
        ends(value).map(|(low, high)| f64::midpoint(low, high))
    }

    /// Which of the members of a set a value holds; of the other kinds, which of the values it is.
    pub fn members(&self, value: &str) -> Vec<bool> {
        if matches!(self.kind, SlotKind::Set { .. }) {
            let members: Vec<&str> = value.split(", ").collect();
            return self.values.keys().map(|it| members.contains(&it.as_str())).collect();
        }
        let class = self.class(value);
        (0..self.values.len()).map(|idx| class == Some(idx)).collect()
    }

    fn forms(&self) -> Vec<Form<'_>> {
        let mut forms = forms_of(self);
        if let SlotKind::Set { none } = &self.kind {
            forms.extend(none.iter().enumerate().map(|(idx, form)| (NONE, idx, form.as_str())));
        }
        forms
    }
}

impl SlotSet {
    /// What a report says of a slot, in its own section, in the order of the text.
    pub(super) fn mentions(&self, sections: &Sections, text: &str, idx: usize) -> Vec<Mention> {
        let slot = &self.slots()[idx];
        let of_words = |hit: Hit<'_>| Mention {
            range: hit.range,
            value: hit.value.to_owned(),
            form_idx: hit.form_idx,
            polarity: Polarity::Affirmed,
        };
        let ranges = sections.ranges(slot.section);
        if slot.kind == SlotKind::Words {
            let forms = forms_of(slot);
            return ranges.flat_map(|range| hits(&forms, text, range)).map(of_words).collect();
        }
        let clauses = ranges.flat_map(|range| clauses(text, range));
        clauses.flat_map(|clause| self.in_clause(slot, text, &clause)).collect()
    }

    fn in_clause(&self, slot: &Slot, text: &str, clause: &Range<usize>) -> Vec<Mention> {
        let anchors = self.anchors(slot, text, clause);
        let said = |range: &Range<usize>| polarity(text, clause, range);
        if let SlotKind::Number(form) = &slot.kind {
            let numbers = numbers(form, text, clause, &anchors);
            let mention = |(value, range): (String, Range<usize>)| {
                let polarity = said(&range);
                Mention { range, value, form_idx: 0, polarity }
            };
            return numbers.into_iter().map(mention).collect();
        }
        let found = hits(&slot.forms(), text, clause.clone());
        let values_first = match (found.first(), anchors.first()) {
            (Some(value), Some(anchor)) => value.range.start < anchor.range.start,
            _ => false,
        };
        let is_ours = |hit: &Hit<'_>| {
            let nearest = if values_first {
                anchors.iter().find(|it| it.range.start >= hit.range.end)
            } else {
                anchors.iter().rev().find(|it| it.range.end <= hit.range.start)
            };
            slot.about.is_empty() || nearest.is_some_and(|it| it.is_own)
        };
        let mention = |hit: Hit<'_>| {
            let mut polarity = said(&hit.range);
            let mut value = hit.value.to_owned();
            if slot.kind == SlotKind::Flag && polarity == Polarity::Denied {
                // what is not there is a statement; a double negation is none
                (polarity, value) = match hit.value {
                    YES => (Polarity::Affirmed, NO.to_owned()),
                    _ => (Polarity::Doubted, value),
                };
            }
            Mention { range: hit.range, value, form_idx: hit.form_idx, polarity }
        };
        found.into_iter().filter(is_ours).map(mention).collect()
    }

    /// What the slots of a section are about, as it stands in a clause; the longest words count.
    fn anchors(&self, slot: &Slot, text: &str, clause: &Range<usize>) -> Vec<Anchor> {
        if slot.about.is_empty() {
            return Vec::new();
        }
        let of_section = self.slots().iter().filter(|it| it.section == slot.section);
        let forms: Vec<Form<'_>> = of_section
            .flat_map(|it| &it.about)
            .map(|form| (form.as_str(), 0, form.as_str()))
            .collect();
        let found = hits(&forms, text, clause.clone()).into_iter();
        let own = |form: &str| slot.about.iter().any(|it| same_words(it, form));
        found.map(|hit| Anchor { is_own: own(hit.value), range: hit.range }).collect()
    }
}

/// Words that a value may be about.
struct Anchor {
    range: Range<usize>,
    is_own: bool,
}

fn same_words(a: &str, b: &str) -> bool {
    a.split_whitespace().map(str::to_lowercase).eq(b.split_whitespace().map(str::to_lowercase))
}

/// The number behind each of the slot's own anchors, and what *or* joins to it; where none stands behind
/// one, the number with a unit just before.
fn numbers(
    form: &NumberForm,
    text: &str,
    clause: &Range<usize>,
    anchors: &[Anchor],
) -> Vec<(String, Range<usize>)> {
    let all = form.find(text, clause.clone());
    let mut ours = Vec::new();
    for (idx, anchor) in anchors.iter().enumerate().filter(|(_, it)| it.is_own) {
        let next = anchors[idx + 1..].iter().find(|it| !it.is_own);
        let until = next.map_or(clause.end, |it| it.range.start);
        let behind = || {
            all.iter()
                .enumerate()
                .filter(|(_, it)| anchor.range.end <= it.range.start && it.range.end <= until)
        };
        let with_unit = behind().find(|(_, it)| it.has_unit);
        let touching = all
            .iter()
            .enumerate()
            .find(|(_, it)| it.range.start < anchor.range.end && anchor.range.start < it.range.end);
        let Some((first, _)) = touching.or(with_unit).or_else(|| behind().next()) else { continue };
        let mut last = first;
        ours.push(first);
        while let Some(other) = all.get(last + 1)
            && text[all[last].range.end..other.range.start].trim() == "or"
        {
            last += 1;
            ours.push(last);
        }
    }
    if ours.is_empty() {
        let own = anchors.iter().enumerate().filter(|(_, it)| it.is_own);
        for (idx, anchor) in own {
            let from = idx.checked_sub(1).map_or(clause.start, |it| anchors[it].range.end);
            let before = all.iter().rposition(|it| {
                it.has_unit && from <= it.range.start && it.range.end <= anchor.range.start
            });
            ours.extend(before);
        }
    }
    ours.sort_unstable();
    ours.dedup();
    let value = |idx: usize| {
        let it = &all[idx];
        let number = |value: f64| {
            if form.holds(value) { form.number(value) } else { form.rounded(value) }
        };
        let value = match number(it.low) {
            low if it.low == it.high => low,
            low => format!("{low} to {}", number(it.high)),
        };
        (value, it.range.clone())
    };
    ours.into_iter().map(value).collect()
}

#[cfg(test)]
mod tests;
