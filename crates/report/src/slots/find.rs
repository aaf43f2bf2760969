//! Surface forms as whole words in running text, whatever the case and the white space.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Slot;

/// A surface form in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotSpan {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// The slot, by its place in the set.
    pub slot_idx: usize,
}

impl SlotSpan {
    pub(crate) fn shifted(self, by: usize) -> Self {
        Self { range: self.range.start + by..self.range.end + by, slot_idx: self.slot_idx }
    }
}

/// One occurrence of a form of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit<'a> {
    pub(super) range: Range<usize>,
    pub(super) value: &'a str,
    pub(super) form_idx: usize,
}

/// A value with one of its forms, and which of them that is.
pub(super) type Form<'a> = (&'a str, usize, &'a str);

/// The forms of a slot's values.
pub(super) fn forms_of(slot: &Slot) -> Vec<Form<'_>> {
    slot.values
        .iter()
        .flat_map(|(value, forms)| {
            forms.iter().enumerate().map(move |(idx, form)| (value.as_str(), idx, form.as_str()))
        })
        .collect()
}

/// All occurrences in `text[within]`, left to right, the longest form first, none overlapping.
pub(super) fn hits<'a>(forms: &[Form<'a>], text: &str, within: Range<usize>) -> Vec<Hit<'a>> {
    let mut hits = Vec::new();
    let mut at = within.start;
    while at < within.end {
        let longest = forms
            .iter()
            .filter_map(|&(value, form_idx, form)| {
                let end = match_words(text, at, within.end, form)?;
                Some(Hit { range: at..end, value, form_idx })
            })
            .max_by_key(|hit| hit.range.end);
        at = match longest {
            Some(hit) => {
                let end = hit.range.end;
                hits.push(hit);
                end
            }
            None => at + text[at..].chars().next().map_or(1, char::len_utf8),
        };
    }
    hits
}

/// Where `form` ends if it stands at byte `start` of `text` as whole words.
pub(super) fn match_words(text: &str, start: usize, limit: usize, form: &str) -> Option<usize> {
    if text[..start].chars().next_back().is_some_and(char::is_alphanumeric)
        || joined(text[..start].chars().rev())
    {
        return None;
    }
    let mut at = start;
    for (word_idx, word) in form.split_whitespace().enumerate() {
        if word_idx > 0 {
            let rest = text[at..limit].trim_start();
            let spaces = limit - at - rest.len();
            if spaces == 0 {
                return None;
            }
            at += spaces;
        }
        for expected in word.chars() {
            let found = text[at..limit].chars().next()?;
            if found != expected && !found.to_lowercase().eq(expected.to_lowercase()) {
                return None;
            }
            at += found.len_utf8();
        }
    }
    let mut after = text[at..].chars();
    let ends = !after.clone().next().is_some_and(char::is_alphanumeric) && !joined(&mut after);
    (at > start && ends).then_some(at)
}

/// Whether a hyphen, apostrophe or underscore ties the next word to this one: `non-faces`, `house's`.
fn joined(mut outward: impl Iterator<Item = char>) -> bool {
    matches!(outward.next(), Some('-' | '\'' | '’' | '_'))
        && outward.next().is_some_and(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::example;

    fn found(text: &str) -> Vec<(&'static str, String)> {
        let slots: &'static crate::slots::SlotSet = Box::leak(Box::new(example::haxby()));
        hits(&forms_of(slots.scored().unwrap()), text, 0..text.len())
            .into_iter()
            .map(|hit| (hit.value, text[hit.range].to_owned()))
            .collect()
    }

    #[test]
    fn words_are_found_whole_in_any_case_and_spacing() {
        assert_eq!(found("FACES, (faces)."), [("face", "FACES".into()), ("face", "faces".into())]);
        assert_eq!(
            found("scrambled \n\tpictures"),
            [("scrambledpix", "scrambled \n\tpictures".to_owned())]
        );
        for text in
            ["surfaces", "facesaver", "face", "non-faces", "faces-like", "scrambledpictures"]
        {
            assert_eq!(found(text), [], "{text}");
        }
        assert_eq!(found("faces - houses").len(), 2);
        assert_eq!(found("é faces à").len(), 1);
        assert_eq!(found("éfaces"), []);
    }

    #[test]
    fn the_longest_form_wins() {
        let mut slot = example::haxby().scored().unwrap().clone();
        slot.values.insert("pix".to_owned(), vec!["pictures".to_owned()]);
        slot.values.insert("scr".to_owned(), vec!["scrambled".to_owned()]);
        let text = "scrambled pictures, pictures, scrambled";
        let values: Vec<&str> =
            hits(&forms_of(&slot), text, 0..text.len()).iter().map(|hit| hit.value).collect();
        assert_eq!(values, ["scrambledpix", "pix", "scr"]);
    }
}
