//! From the numbers of a scan to its report.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Measured, Source, Statistics, Template, spec::Said};
use crate::{
    Error, Result,
    slots::{Author, NONE, Section, Slot},
};

/// One report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Composed {
    /// The whole report.
    pub text: String,
    /// What a model is to write: without what the program states.
    pub model_text: String,
    /// Sentence by sentence.
    pub statements: Vec<Statement>,
    /// The true value of each slot, in the order of the slots.
    pub values: Vec<Option<String>>,
}

/// One sentence with where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The slot that it states; none for sentences that every report has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// Where it stands.
    pub section: Section,
    /// The sentence.
    pub sentence: String,
    /// What it states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where that comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Source>,
    /// The number behind it: a z, or the quantity as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<f64>,
    /// Who states it.
    pub stated_by: Author,
}

/// A value with the number behind it.
struct Known {
    value: String,
    number: Option<f64>,
}

impl Template {
    /// The report of a scan. Phrasings are drawn from `seed` and the scan's name; every sentence is read back,
    /// and one that says something else is an error.
    pub fn compose(&self, scan: &Measured, statistics: &Statistics, seed: u64) -> Result<Composed> {
        let slots = self.slots.slots();
        let mut values = vec![None; slots.len()];
        let mut statements = Vec::new();
        for (place, said) in self.statements.iter().enumerate() {
            let mut rng =
                ChaCha8Rng::seed_from_u64(seed ^ named(&format!("{} {place}", scan.name)));
            let phrasing = &said.phrasings[rng.random_range(0..said.phrasings.len())];
            let form_idx = rng.random_range(0..usize::from(u16::MAX));
            let Some(idx) = said.slot_idx else {
                statements.push(Statement {
                    slot: None,
                    section: said.section,
                    sentence: phrasing.clone(),
                    value: None,
                    from: None,
                    number: None,
                    stated_by: Author::Program,
                });
                continue;
            };
            let slot = &slots[idx];
            let Some(known) = said.value(slot, self, scan, statistics)? else { continue };
            let words = slot.words(&known.value, form_idx).ok_or_else(|| Error::UnknownValue {
                slot: slot.name.clone(),
                value: known.value.clone(),
                expected: slot.labels(),
            })?;
            let number = known.number.map(|it| said.number(it)).unwrap_or_default();
            let sentence =
                capital(&phrasing.replace("{value}", &words).replace("{number}", &number));
            values[idx] = Some(known.value.clone());
            statements.push(Statement {
                slot: Some(slot.name.clone()),
                section: said.section,
                sentence,
                value: Some(known.value),
                from: said.from.clone(),
                number: known.number,
                stated_by: slot.stated_by,
            });
        }
        let text = written(&statements, |_| true);
        self.reads_back(&text, &values, &statements)?;
        // limits stay with what the program says
        let model_text = written(&statements, |it| it.stated_by == Author::Model);
        Ok(Composed { text, model_text, statements, values })
    }

    /// Refuses a report of which a reader would understand something else.
    fn reads_back(
        &self,
        text: &str,
        values: &[Option<String>],
        statements: &[Statement],
    ) -> Result<()> {
        let read = self.slots.parse(text).slots;
        for ((slot, value), reading) in self.slots.slots().iter().zip(values).zip(read) {
            let same = match (value, reading.value()) {
                (None, None) => true,
                (Some(value), Some(read)) => slot.says(value, read),
                _ => false,
            };
            if !same {
                let of_slot = |it: &&Statement| it.slot.as_deref() == Some(&slot.name);
                let sentence = statements.iter().find(of_slot).map(|it| it.sentence.clone());
                return Err(Error::NotReadBack {
                    slot: slot.name.clone(),
                    sentence: sentence.unwrap_or_default(),
                    value: value.clone().unwrap_or_else(|| "nothing".to_owned()),
                    found: reading.value().unwrap_or("nothing").to_owned(),
                });
            }
        }
        Ok(())
    }
}

impl Said {
    /// The value that a scan has; none where it is not known.
    fn value(
        &self,
        slot: &Slot,
        template: &Template,
        scan: &Measured,
        statistics: &Statistics,
    ) -> Result<Option<Known>> {
        let quantity = |name: &str| scan.quantities.get(name).copied().filter(|it| it.is_finite());
        let z = |name: &str| quantity(name).and_then(|value| statistics.z(name, value));
        let number = match self.from.as_ref().expect("a slot says where it comes from") {
            Source::Measured(name) => quantity(name),
            Source::Z(name) => z(name),
            Source::Altered(name) => {
                let known: Vec<(&String, f64)> = template
                    .networks
                    .iter()
                    .filter_map(|network| Some((network, z(&format!("{name}:{network}"))?)))
                    .collect();
                let outside =
                    known.iter().filter(|(_, z)| *z < self.edges[0] || *z >= self.edges[1]);
                let members: Vec<&str> = outside.map(|it| it.0.as_str()).collect();
                let value = if members.is_empty() { NONE.to_owned() } else { members.join(", ") };
                return Ok((!known.is_empty()).then_some(Known { value, number: None }));
            }
            Source::Column(name) => {
                let Some(cell) = scan.columns.get(name) else { return Ok(None) };
                if self.edges.is_empty() {
                    let value = slot.true_value(cell)?;
                    let number = value.as_ref().and_then(|it| slot.number_of(it));
                    return Ok(value.map(|value| Known { value, number }));
                }
                cell.trim().parse().ok().filter(|it: &f64| it.is_finite())
            }
        };
        let Some(number) = number else { return Ok(None) };
        let value = if let Some(form) = slot.number() {
            // what cannot be is not said
            let [low, high] = form.range;
            let is_possible = (low..=high).contains(&number);
            if is_possible { slot.true_value(&number.to_string())? } else { None }
        } else {
            let level = self.edges.iter().filter(|edge| number >= **edge).count();
            slot.values.get_index(level).map(|it| it.0.clone())
        };
        Ok(value.map(|value| Known { value, number: Some(number) }))
    }

    /// A z has its sign.
    fn number(&self, number: f64) -> String {
        let decimals = self.decimals;
        match self.from {
            Some(Source::Z(_)) => format!("{number:+.decimals$}"),
            _ => format!("{number:.decimals$}"),
        }
    }
}

/// The sentences section by section.
fn written(statements: &[Statement], is_kept: impl Fn(&Statement) -> bool) -> String {
    let mut lines = Vec::new();
    for section in Section::ALL {
        let of = statements.iter().filter(|it| it.section == section && is_kept(it));
        let sentences: Vec<&str> = of.map(|it| it.sentence.as_str()).collect();
        if !sentences.is_empty() {
            lines.push(format!("{}: {}", section.heading(), sentences.join(" ")));
        }
    }
    lines.join("\n")
}

fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

/// A number that stands for a text (FNV-1a).
fn named(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
