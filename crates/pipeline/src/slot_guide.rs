//! Writes by a report's slots: what they allow next, and how likely the model found each value.
use std::collections::BTreeMap;

use flamingo::{Constrain, Guide, Next, NumberRange};
use report::slots::{self, SlotSet, Wording, Writer};

/// Log-likelihoods of the values of slots, by the slot's name.
pub(crate) type Values = BTreeMap<String, Vec<f64>>;

/// The guide of one report.
pub(crate) struct SlotGuide<'a> {
    writer: Writer<'a>,
    pub(crate) values: Values,
}

impl<'a> SlotGuide<'a> {
    pub(crate) fn new(slots: &'a SlotSet, constrain: Constrain) -> Self {
        let wording = match constrain {
            Constrain::Slots => Wording::Slots,
            Constrain::Mixed => Wording::Values,
        };
        Self { writer: slots.writer(wording), values: Values::new() }
    }
}

impl Guide for SlotGuide<'_> {
    fn next(&mut self, text: &str) -> Next {
        match self.writer.next(text) {
            slots::Next::Any => Next::Any,
            slots::Next::Text(text) => Next::Text(text),
            slots::Next::OneOf(texts) => Next::OneOf(texts),
            slots::Next::Number(form) => {
                let [lowest, highest] = form.range;
                let highest = form.top.unwrap_or(highest);
                Next::Number(NumberRange::new(lowest, highest, form.decimals as u32))
            }
            slots::Next::End => Next::End,
        }
    }

    fn took(&mut self, taken: usize, log_likelihoods: &[f64]) {
        if let Some(slot) = self.writer.took(taken) {
            self.values.insert(slot.name.clone(), log_likelihoods.to_vec());
        }
    }
}
