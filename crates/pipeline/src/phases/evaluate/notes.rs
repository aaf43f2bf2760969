//! What the rows of a cohort cannot tell, in words: nothing of it is scored in silence.
use std::collections::BTreeSet;

use report::counted;
use scan::Split;

use crate::{Result, media::Media};

/// One sentence a shortcoming.
pub(super) fn of(media: &Media<'_>) -> Result<Vec<String>> {
    let (slots, rows) = (media.slots(), &media.cohort().rows);
    let [train, validation, test] =
        [Split::Train, Split::Validation, Split::Test].map(|split| media.rows_of(split));
    let (train, validation, test) = (train?, validation?, test?);
    let mut notes = Vec::new();
    let without = test.iter().filter(|&&row| rows[row].truth.is_none()).count();
    if without > 0 {
        notes.push(format!(
            "{without} of {} have no true value of any scored slot: their reports are written, and not measured",
            counted(test.len(), "test window"),
        ));
    }
    let several = slots.scored_idxs().len() > 1;
    for &idx in slots.scored_idxs() {
        let slot = &slots.slots()[idx];
        let values = |of: &[usize]| -> BTreeSet<String> {
            let truths = of.iter().filter_map(|&row| rows[row].truths[idx].as_deref());
            truths.map(|it| slot.label(it)).collect()
        };
        let missing = test.iter().filter(|&&row| rows[row].truths[idx].is_none()).count();
        if several && missing > 0 {
            notes.push(format!(
                "slot {}: {missing} of {} have no true value; their other slots count",
                slot.name,
                counted(test.len(), "test window"),
            ));
        }
        let (trained, tested) = (values(&train), values(&test));
        if trained.is_empty() {
            notes.push(format!("slot {}: no training window has a true value", slot.name));
        } else if let (1, Some(value)) = (trained.len(), trained.first()) {
            notes.push(format!(
                "slot {}: every training window has the value {value}, so nothing could be learned about it",
                slot.name
            ));
        }
        let unseen: Vec<&str> = tested.difference(&trained).map(String::as_str).collect();
        if !unseen.is_empty() && !trained.is_empty() {
            notes.push(format!(
                "slot {}: test windows have values that no training window has: {}",
                slot.name,
                unseen.join(", ")
            ));
        }
        if slot.is_one_of_values() && values(&validation).len() == 1 {
            notes.push(format!(
                "slot {}: the validation windows have one value, which says nothing about its probabilities: \
                 they are not calibrated",
                slot.name
            ));
        }
    }
    Ok(notes)
}
