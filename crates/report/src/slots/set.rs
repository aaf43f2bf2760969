//! The slots of one kind of report, checked once, when they are read.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::slot::{Author, Section, Slot, SlotKind};
use crate::{Error, Result};

/// How a slot follows from the scored one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Derivation {
    /// It has the scored slot's value.
    Same,
    /// The value that follows from each scored value.
    Map(IndexMap<String, String>),
}

/// One name or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
}

/// What is written in a file of slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// The slot whose value is scored, or the list of those that are; others follow from the first.
    scored: Names,
    /// Every slot of a report.
    slots: Vec<Slot>,
    /// The slots that follow from the scored one.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    derive: IndexMap<String, Derivation>,
}

/// The slots of one kind of report. One in hand is valid: names are unique, no form of a slot means
/// two things, derived slots follow from every scored value, and what the forms can write is read back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct SlotSet {
    scored: Vec<usize>,
    slots: Vec<Slot>,
    derive: IndexMap<String, Derivation>,
    /// Whether headings beside those of all reports are read.
    many_sections: bool,
}

impl SlotSet {
    /// Checks and keeps the slots; `scored` are the names of those whose value is scored.
    pub fn new(
        scored: &[&str],
        slots: Vec<Slot>,
        derive: IndexMap<String, Derivation>,
    ) -> Result<Self> {
        for (idx, slot) in slots.iter().enumerate() {
            if slots[..idx].iter().any(|earlier| earlier.name == slot.name) {
                return Err(Error::DuplicateSlot { slot: slot.name.clone() });
            }
            slot.check()?;
        }
        let idxs = scored.iter().map(|name| position(&slots, name));
        let idxs = idxs.collect::<Result<Vec<usize>>>()?;
        for (place, &idx) in idxs.iter().enumerate() {
            can_be_scored(&slots[idx])?;
            if idxs[..place].contains(&idx) {
                return Err(Error::DuplicateSlot { slot: slots[idx].name.clone() });
            }
        }
        for (name, derivation) in &derive {
            let slot = &slots[position(&slots, name)?];
            // its probability is that of the slot that it follows from
            if let Some(found) = slot.max_error {
                return Err(Error::MaxError { slot: name.clone(), found });
            }
            let first = idxs.first().map(|&idx| &slots[idx]);
            let first = first.filter(|it| it.is_one_of_values() && slot.is_one_of_values());
            let Some(first) = first else {
                return Err(Error::NotDerivable { slot: name.clone() });
            };
            if scored.contains(&name.as_str()) {
                return Err(Error::DerivedFromItself { slot: name.clone() });
            }
            if let Derivation::Map(map) = derivation {
                map.keys().try_for_each(|value| first.has(value))?;
            }
            for value in first.values.keys() {
                slot.has(derivation.of(name, value)?)?;
            }
        }
        let many_sections = slots.iter().any(|slot| !slot.section.is_common());
        let set = Self { scored: idxs, slots, derive, many_sections };
        set.reads_back()?;
        Ok(set)
    }

    /// Whether the value of a slot follows from those that are scored.
    pub fn is_derived(&self, slot: &str) -> bool {
        self.derive.contains_key(slot)
    }

    /// Every slot, in the order of the file.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot of a name.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.name == name)
    }

    /// The first slot whose value is scored; none of free text.
    pub fn scored(&self) -> Option<&Slot> {
        self.scored.first().map(|&idx| &self.slots[idx])
    }

    /// The places of the scored slots in [`Self::slots`].
    pub fn scored_idxs(&self) -> &[usize] {
        &self.scored
    }

    /// Sections whose headings are read.
    pub(super) fn sections(&self) -> impl Iterator<Item = Section> {
        let many = self.many_sections;
        Section::ALL.into_iter().filter(move |it| many || it.is_common())
    }

    /// What every slot must say when the first scored one says `scored_value`; `None` for slots that are
    /// free of it.
    pub fn implied(&self, scored_value: &str) -> Result<Vec<Option<String>>> {
        let Some(&first) = self.scored.first() else { return Ok(vec![None; self.slots.len()]) };
        self.slots[first].has(scored_value)?;
        self.slots
            .iter()
            .enumerate()
            .map(|(idx, slot)| match self.derive.get(&slot.name) {
                _ if idx == first => Ok(Some(scored_value.to_owned())),
                Some(derivation) => {
                    derivation.of(&slot.name, scored_value).map(|v| Some(v.to_owned()))
                }
                None => Ok(None),
            })
            .collect()
    }
}

/// Refuses a scored slot that the model does not state, or whose numbers fall into no bins.
fn can_be_scored(slot: &Slot) -> Result<()> {
    let refuse = |problem| Err(Error::CannotBeScored { slot: slot.name.clone(), problem });
    if slot.stated_by == Author::Program {
        return refuse("the program states it");
    }
    match &slot.kind {
        SlotKind::Number(form) if form.bins.is_empty() => refuse("its numbers have no bins"),
        _ => Ok(()),
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
        let scored = match &fields.scored {
            Names::One(name) => vec![name.as_str()],
            Names::Several(names) => names.iter().map(String::as_str).collect(),
        };
        Self::new(&scored, fields.slots, fields.derive)
    }
}

impl From<SlotSet> for Fields {
    fn from(set: SlotSet) -> Self {
        let mut names: Vec<String> =
            set.scored.iter().map(|&idx| set.slots[idx].name.clone()).collect();
        let scored = match names.len() {
            1 => Names::One(names.remove(0)),
            _ => Names::Several(names),
        };
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
        example::words(name, values)
    }

    fn refused(slots: Vec<Slot>) -> String {
        SlotSet::new(&["a"], slots, IndexMap::new()).unwrap_err().to_string()
    }

    #[test]
    fn values_keep_the_order_of_the_file_and_survive_writing() {
        let set = example::haxby();
        assert_eq!(set.scored().unwrap().labels(), ["cat", "face", "house", "scrambledpix"]);
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
            SlotSet::new(&["a"], vec![ab(), bc()], derive).unwrap_err().to_string()
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
