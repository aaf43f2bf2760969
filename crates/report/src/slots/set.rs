//! The slots of one kind of report, checked once, when they are read.

use std::collections::HashMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where in a report a slot is stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// What the scan shows.
    Findings,
    /// What it amounts to.
    Impression,
}

impl Section {
    /// The word before the colon.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Findings => "Findings",
            Self::Impression => "Impression",
        }
    }
}

/// One thing a report can be right or wrong about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// Its name, unique in the set.
    pub name: String,
    /// Where it is stated.
    pub section: Section,
    /// The words before the value in a canonical sentence.
    pub lead: String,
    /// Every value and its surface forms; the k-th form of one value can stand where the k-th of
    /// another does.
    pub values: IndexMap<String, Vec<String>>,
}

impl Slot {
    /// The values in the order of the file.
    pub fn labels(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    fn check(&self) -> Result<()> {
        let slot = || self.name.clone();
        let Some((_, first)) = self.values.first() else {
            return Err(Error::TooFewValues { slot: slot(), found: 0 });
        };
        if self.values.len() < 2 {
            return Err(Error::TooFewValues { slot: slot(), found: self.values.len() });
        }
        let n_forms = first.len().max(1);
        let mut owners: HashMap<String, &str> = HashMap::new();
        for (value, forms) in &self.values {
            if forms.len() != n_forms {
                let (value, found) = (value.clone(), forms.len());
                return Err(Error::UnequalForms { slot: slot(), value, found, expected: n_forms });
            }
            for form in forms {
                let (value, form) = (value.clone(), form.clone());
                if !form.starts_with(char::is_alphanumeric)
                    || !form.ends_with(char::is_alphanumeric)
                {
                    return Err(Error::FormWithoutWords { slot: slot(), value, form });
                }
                let folded = form.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
                if let Some(&other) = owners.get(&folded)
                    && other != value
                {
                    let other = other.to_owned();
                    return Err(Error::SharedForm { slot: slot(), form, value, other });
                }
            }
            for form in forms {
                let folded = form.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
                owners.insert(folded, value);
            }
        }
        Ok(())
    }

    pub(crate) fn has(&self, value: &str) -> Result<()> {
        if self.values.contains_key(value) {
            return Ok(());
        }
        let (slot, value) = (self.name.clone(), value.to_owned());
        Err(Error::UnknownValue { slot, value, expected: self.labels() })
    }
}

/// How a slot follows from the scored one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Derivation {
    /// It has the scored slot's value.
    Same,
    /// The value that follows from each scored value.
    Map(IndexMap<String, String>),
}

/// What is written in a file of slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// The slot whose value is scored.
    scored: String,
    /// Every slot of a report.
    slots: Vec<Slot>,
    /// The slots that follow from the scored one.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    derive: IndexMap<String, Derivation>,
}

/// The slots of one kind of report. One in hand is valid: names are unique, no form of a slot means
/// two things, derived slots follow from every scored value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct SlotSet {
    scored_idx: usize,
    slots: Vec<Slot>,
    derive: IndexMap<String, Derivation>,
}

impl SlotSet {
    /// Checks and keeps the slots; `scored` is the name of the one whose value is scored.
    pub fn new(
        scored: &str,
        slots: Vec<Slot>,
        derive: IndexMap<String, Derivation>,
    ) -> Result<Self> {
        for (idx, slot) in slots.iter().enumerate() {
            if slots[..idx].iter().any(|earlier| earlier.name == slot.name) {
                return Err(Error::DuplicateSlot { slot: slot.name.clone() });
            }
            slot.check()?;
        }
        let scored_idx = position(&slots, scored)?;
        for (name, derivation) in &derive {
            let slot = &slots[position(&slots, name)?];
            if name == scored {
                return Err(Error::DerivedFromItself { slot: name.clone() });
            }
            if let Derivation::Map(map) = derivation {
                map.keys().try_for_each(|value| slots[scored_idx].has(value))?;
            }
            for value in slots[scored_idx].values.keys() {
                slot.has(derivation.of(name, value)?)?;
            }
        }
        Ok(Self { scored_idx, slots, derive })
    }

    /// Every slot, in the order of the file.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot of a name.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.name == name)
    }

    /// The slot whose value is scored.
    pub fn scored(&self) -> &Slot {
        &self.slots[self.scored_idx]
    }

    /// Its place in [`Self::slots`].
    pub const fn scored_idx(&self) -> usize {
        self.scored_idx
    }

    /// What every slot must say when the scored one says `scored_value`; `None` for slots that are
    /// free of it.
    pub fn implied(&self, scored_value: &str) -> Result<Vec<Option<String>>> {
        self.scored().has(scored_value)?;
        self.slots
            .iter()
            .enumerate()
            .map(|(idx, slot)| match self.derive.get(&slot.name) {
                _ if idx == self.scored_idx => Ok(Some(scored_value.to_owned())),
                Some(derivation) => {
                    derivation.of(&slot.name, scored_value).map(|v| Some(v.to_owned()))
                }
                None => Ok(None),
            })
            .collect()
    }
}

impl Derivation {
    fn of<'a>(&'a self, slot: &str, scored: &'a str) -> Result<&'a str> {
        match self {
            Self::Same => Ok(scored),
            Self::Map(map) => map.get(scored).map(String::as_str).ok_or_else(|| {
                Error::UnderivedValue { slot: slot.to_owned(), scored: scored.to_owned() }
            }),
        }
    }
}

fn position(slots: &[Slot], name: &str) -> Result<usize> {
    slots.iter().position(|slot| slot.name == name).ok_or_else(|| Error::UnknownSlot {
        slot: name.to_owned(),
        expected: slots.iter().map(|slot| slot.name.clone()).collect(),
    })
}

impl TryFrom<Fields> for SlotSet {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        Self::new(&fields.scored, fields.slots, fields.derive)
    }
}

impl From<SlotSet> for Fields {
    fn from(set: SlotSet) -> Self {
        let scored = set.scored().name.clone();
        Self { scored, slots: set.slots, derive: set.derive }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::example;

    fn slot(name: &str, values: &[(&str, &[&str])]) -> Slot {
        let values = values
            .iter()
            .map(|(value, forms)| {
                ((*value).to_owned(), forms.iter().map(|&form| form.to_owned()).collect())
            })
            .collect();
        Slot {
            name: name.to_owned(),
            section: Section::Findings,
            lead: "Shown:".to_owned(),
            values,
        }
    }

    fn refused(slots: Vec<Slot>) -> String {
        SlotSet::new("a", slots, IndexMap::new()).unwrap_err().to_string()
    }

    #[test]
    fn values_keep_the_order_of_the_file_and_survive_writing() {
        let set = example::haxby();
        assert_eq!(set.scored().labels(), ["cat", "face", "house", "scrambledpix"]);
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<SlotSet>(&json).unwrap(), set);
    }

    #[test]
    fn derived_slots_follow_the_scored_one() {
        let implied = example::haxby().implied("house").unwrap();
        let expected = ["house", "places", "house"].map(|value| Some(value.to_owned()));
        assert_eq!(implied, expected);
        let error = example::haxby().implied("dog").unwrap_err().to_string();
        assert_eq!(
            error,
            "slot viewed has no value dog, expected one of cat, face, house, scrambledpix"
        );
    }

    #[test]
    fn broken_slots_are_refused_by_name() {
        let ab: &[(&str, &[&str])] = &[("x", &["exes"]), ("y", &["whys"])];
        assert_eq!(refused(vec![slot("a", ab), slot("a", ab)]), "slot a is listed twice");
        assert_eq!(refused(vec![slot("b", ab)]), "there is no slot a, expected one of b");
        assert_eq!(
            refused(vec![slot("a", &[("x", &["exes"])])]),
            "slot a has 1 values, a slot needs at least 2"
        );
        assert_eq!(
            refused(vec![slot("a", &[("x", &["exes", "an x"]), ("y", &["whys"])])]),
            "slot a: value y has 1 surface forms, the first value has 2"
        );
        assert_eq!(
            refused(vec![slot("a", &[("x", &[]), ("y", &[])])]),
            "slot a: value x has 0 surface forms, the first value has 1"
        );
        assert_eq!(
            refused(vec![slot("a", &[("x", &["grey  things"]), ("y", &["Grey things"])])]),
            "slot a: surface form \"Grey things\" of y is already a form of x"
        );
        assert!(
            refused(vec![slot("a", &[("x", &[" "]), ("y", &["y"])])]).contains("letter or digit")
        );
    }

    #[test]
    fn derivations_must_be_complete_and_lead_to_values() {
        let ab = || slot("a", &[("x", &["exes"]), ("y", &["whys"])]);
        let bc = || slot("b", &[("x", &["exes"]), ("z", &["zeds"])]);
        let with = |name: &str, derivation: Derivation| {
            let derive = IndexMap::from([(name.to_owned(), derivation)]);
            SlotSet::new("a", vec![ab(), bc()], derive).unwrap_err().to_string()
        };
        let map = |pairs: &[(&str, &str)]| {
            Derivation::Map(pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect())
        };
        assert_eq!(with("b", Derivation::Same), "slot b has no value y, expected one of x, z");
        assert_eq!(
            with("b", map(&[("x", "z")])),
            "derived slot b does not say what follows from y"
        );
        assert!(with("b", map(&[("x", "z"), ("y", "x"), ("w", "x")])).contains("no value w"));
        assert!(with("a", Derivation::Same).contains("cannot be derived from itself"));
        assert!(with("c", Derivation::Same).contains("there is no slot c"));
    }

    #[test]
    fn unknown_keys_are_errors() {
        let text = "scored: a\nslots: []\nderived: {}\n";
        assert!(serde_yaml::from_str::<SlotSet>(text).unwrap_err().to_string().contains("derived"));
    }

    #[test]
    fn the_schema_is_that_of_the_file() {
        let schema = serde_json::to_value(schemars::schema_for!(SlotSet)).unwrap();
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["scored", "slots", "derive"], "{schema}");
        assert_eq!(schema["additionalProperties"], false);
    }
}
