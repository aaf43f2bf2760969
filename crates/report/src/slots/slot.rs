//! One slot: what it can say, in which words, and where its truth comes from.

use std::collections::HashMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{number::NumberForm, place::Place};
use crate::{Error, Result};

/// Values and their surface forms.
pub type Forms = IndexMap<String, Vec<String>>;

/// Where in a report a slot is stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Acquisition.
    Technique,
    /// Data quality.
    DataQuality,
    /// Head motion.
    Motion,
    /// Findings.
    Findings,
    /// Estimated age and sex.
    Demographics,
    /// The overall impression.
    Impression,
    /// What cannot be known from the scan.
    Limits,
}

impl Section {
    /// Every section, in the order of a report.
    pub const ALL: [Self; 7] = [
        Self::Technique,
        Self::DataQuality,
        Self::Motion,
        Self::Findings,
        Self::Demographics,
        Self::Impression,
        Self::Limits,
    ];

    /// The words before the colon.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Technique => "Technique",
            Self::DataQuality => "Data quality",
            Self::Motion => "Motion",
            Self::Findings => "Findings",
            Self::Demographics => "Demographics",
            Self::Impression => "Impression",
            Self::Limits => "Limits",
        }
    }

    /// Whether its heading is read in reports of any slots.
    pub(super) const fn is_common(self) -> bool {
        matches!(self, Self::Technique | Self::Findings | Self::Impression)
    }
}

/// What a slot can say.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotKind {
    /// One of several values. As `values` of a file, words decide, not grammar: `no faces` reads as `faces`.
    Words,
    /// One of several values; what is negated is not stated.
    Choice,
    /// One of several values, from the least to the most.
    Ordinal,
    /// A number with its unit.
    Number(NumberForm),
    /// Whether something is there: `yes` or `no`.
    Flag,
    /// Any number of members; the forms say that it is empty.
    Set {
        /// What says that there is no member.
        none: Vec<String>,
    },
}

/// Where the true value of a slot comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// What the true report states.
    #[default]
    Text,
    /// A column of the cohort's table.
    Column(String),
    /// A quantity that `compose` measures; elsewhere the column of this name, which `compose` writes.
    Measured(String),
}

impl Truth {
    /// The column of the cohort's table that holds it.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Text => None,
            Self::Column(name) | Self::Measured(name) => Some(name),
        }
    }
}

/// Who states a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The model writes it, and is judged by it.
    #[default]
    Model,
    /// The program writes it from what it measured; it is never scored.
    Program,
}

/// A statement of a report that can be right or wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Slot {
    /// Its name, unique in the set.
    pub name: String,
    /// The section of the report that states it.
    pub section: Section,
    /// The words before the value in a canonical sentence.
    pub lead: String,
    /// What it can say.
    pub kind: SlotKind,
    /// Every value and its surface forms: of a flag `no` and `yes`, of a set its members, of a number its bins,
    /// without forms. Of a choice the k-th form of one value can stand where the k-th of another does.
    pub values: Forms,
    /// What it is about: a value counts in a sentence with one of these forms only.
    pub about: Vec<String>,
    /// Where its true value comes from.
    pub truth: Truth,
    /// Where its evidence lies.
    pub evidence: Option<Place>,
    /// Who states it.
    pub stated_by: Author,
    /// The values that are findings.
    pub abnormal: Vec<String>,
    /// The share of stated values that may be wrong: a value whose probability had more errors on the
    /// validation windows is not determined.
    pub max_error: Option<f64>,
}

/// What is written in a file about a slot. Exactly one of `choice`, `ordinal`, `number`, `flag`, `set` and
/// `values`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// Its name, unique in the set.
    name: String,
    /// The section of the report that states it.
    section: Section,
    /// The words before the value in a canonical sentence.
    lead: String,
    /// A choice as older files have it: words decide, not grammar, `no faces` reads as `faces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    values: Option<Forms>,
    /// One of several values, each with its surface forms; the k-th form of one value can stand where the
    /// k-th of another does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    choice: Option<Forms>,
    /// One of several ordered levels, from lowest to highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ordinal: Option<Forms>,
    /// A number with its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<NumberForm>,
    /// Presence or absence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    flag: Option<FlagForms>,
    /// A set with any number of members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    set: Option<SetForms>,
    /// What the slot is about: a value counts in a sentence with one of these forms only. A number needs one,
    /// and takes its lead where none is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    about: Vec<String>,
    /// Where its true value comes from: `text`, `{ column: NAME }` or `{ measured: NAME }`.
    #[serde(default, skip_serializing_if = "is_default")]
    truth: Truth,
    /// Where its evidence lies: `{ network: NAME }`, `{ parcels: [1, 2] }` or `{ region: NAME }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    evidence: Option<Place>,
    /// Who states it: `model` or `program`.
    #[serde(default, skip_serializing_if = "is_default")]
    stated_by: Author,
    /// The values that are findings, for scores of findings alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    abnormal: Vec<String>,
    /// The share of stated values that may be wrong, above 0 and below 1: a value whose probability had more
    /// errors on the validation windows is listed as not determined. Of `choice`, `ordinal`, `flag` and `values`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_error: Option<f64>,
}

/// The words for something that is there, and for its absence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FlagForms {
    /// Surface forms of its presence; where one is negated, the slot says no.
    yes: Vec<String>,
    /// Surface forms of its absence; `no` before each of `yes` where none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    no: Vec<String>,
}

/// The members of a set, and the words for none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetForms {
    /// Every member and its surface forms.
    members: Forms,
    /// Surface forms of the empty set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    none: Vec<String>,
}

pub(super) const YES: &str = "yes";
pub(super) const NO: &str = "no";

impl Slot {
    /// The values in the order of the file.
    pub fn labels(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    /// The word of a file for what it can say.
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            SlotKind::Words | SlotKind::Choice => "choice",
            SlotKind::Ordinal => "ordinal",
            SlotKind::Number(_) => "number",
            SlotKind::Flag => "flag",
            SlotKind::Set { .. } => "set",
        }
    }

    /// Whether it states one of `values`, which can be compared in its place.
    pub const fn is_one_of_values(&self) -> bool {
        !matches!(self.kind, SlotKind::Number(_) | SlotKind::Set { .. })
    }

    /// How a number is written, of a slot that is one.
    pub const fn number(&self) -> Option<&NumberForm> {
        match &self.kind {
            SlotKind::Number(form) => Some(form),
            _ => None,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        match &self.kind {
            SlotKind::Number(form) => form.check(&self.name)?,
            SlotKind::Set { none } => {
                self.forms_are_apart(1)?;
                let no_words = |form: &&String| !has_words(form);
                if let Some(form) = none.iter().find(no_words) {
                    return Err(self.without_words("none", form));
                }
            }
            _ => {
                let Some((_, first)) = self.values.first() else {
                    return Err(Error::TooFewValues { slot: self.name.clone(), found: 0 });
                };
                self.forms_correspond(first.len().max(1))?;
                self.forms_are_apart(2)?;
            }
        }
        if let Some(form) = self.about.iter().find(|form| !has_words(form)) {
            return Err(self.without_words("about", form));
        }
        if let Some(found) = self.max_error
            && !(found > 0.0 && found < 1.0 && self.is_one_of_values())
        {
            return Err(Error::MaxError { slot: self.name.clone(), found });
        }
        self.abnormal.iter().try_for_each(|value| self.has(value))
    }

    fn without_words(&self, value: &str, form: &str) -> Error {
        let (slot, value, form) = (self.name.clone(), value.to_owned(), form.to_owned());
        Error::FormWithoutWords { slot, value, form }
    }

    fn forms_correspond(&self, expected: usize) -> Result<()> {
        if self.values.len() < 2 {
            let found = self.values.len();
            return Err(Error::TooFewValues { slot: self.name.clone(), found });
        }
        for (value, forms) in &self.values {
            if forms.len() != expected {
                let (value, found) = (value.clone(), forms.len());
                return Err(Error::UnequalForms {
                    slot: self.name.clone(),
                    value,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    fn forms_are_apart(&self, least: usize) -> Result<()> {
        let slot = || self.name.clone();
        if self.values.len() < least || self.values.values().any(Vec::is_empty) {
            return Err(Error::TooFewValues { slot: slot(), found: self.values.len() });
        }
        let mut owners: HashMap<String, &str> = HashMap::new();
        for (value, forms) in &self.values {
            for form in forms {
                if !has_words(form) {
                    return Err(self.without_words(value, form));
                }
                if let Some(&other) = owners.get(&folded(form))
                    && other != value
                {
                    let (form, value, other) = (form.clone(), value.clone(), other.to_owned());
                    return Err(Error::SharedForm { slot: slot(), form, value, other });
                }
            }
            owners.extend(forms.iter().map(|form| (folded(form), value.as_str())));
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

/// Whether words can be found whole.
fn has_words(form: &str) -> bool {
    form.starts_with(char::is_alphanumeric) && form.ends_with(char::is_alphanumeric)
}

fn folded(form: &str) -> String {
    form.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl TryFrom<Fields> for Slot {
    type Error = Error;

    fn try_from(fields: Fields) -> Result<Self> {
        let Fields { name, section, lead, truth, evidence, stated_by, abnormal, max_error, .. } =
            fields;
        let mut about = fields.about;
        let mut kinds: Vec<(SlotKind, Forms)> = Vec::new();
        kinds.extend(fields.values.map(|values| (SlotKind::Words, values)));
        kinds.extend(fields.choice.map(|values| (SlotKind::Choice, values)));
        kinds.extend(fields.ordinal.map(|values| (SlotKind::Ordinal, values)));
        if let Some(form) = fields.number {
            if about.is_empty() {
                about.push(lead.clone());
            }
            let bins = form.bin_names().into_iter().map(|bin| (bin, Vec::new())).collect();
            kinds.push((SlotKind::Number(form), bins));
        }
        if let Some(FlagForms { yes, mut no }) = fields.flag {
            if no.is_empty() {
                no = yes.iter().map(|form| format!("no {form}")).collect();
            }
            let values = IndexMap::from([(NO.to_owned(), no), (YES.to_owned(), yes)]);
            kinds.push((SlotKind::Flag, values));
        }
        kinds.extend(fields.set.map(|set| (SlotKind::Set { none: set.none }, set.members)));
        let found = kinds.len();
        let Some((kind, values)) = kinds.pop().filter(|_| found == 1) else {
            return Err(Error::SlotKinds { slot: name, found });
        };
        Ok(Self {
            name,
            section,
            lead,
            kind,
            values,
            about,
            truth,
            evidence,
            stated_by,
            abnormal,
            max_error,
        })
    }
}

impl From<Slot> for Fields {
    fn from(slot: Slot) -> Self {
        let Slot { name, section, lead, kind, values, .. } = slot;
        let Slot { mut about, truth, evidence, stated_by, abnormal, max_error, .. } = slot;
        let mut fields = Self {
            values: None,
            choice: None,
            ordinal: None,
            number: None,
            flag: None,
            set: None,
            about: Vec::new(),
            name,
            section,
            lead,
            truth,
            evidence,
            stated_by,
            abnormal,
            max_error,
        };
        match kind {
            SlotKind::Words => fields.values = Some(values),
            SlotKind::Choice => fields.choice = Some(values),
            SlotKind::Ordinal => fields.ordinal = Some(values),
            SlotKind::Number(form) => {
                about.retain(|form| *form != fields.lead);
                fields.number = Some(form);
            }
            SlotKind::Flag => {
                let of = |value| values.get(value).cloned().unwrap_or_default();
                fields.flag = Some(FlagForms { yes: of(YES), no: of(NO) });
            }
            SlotKind::Set { none } => fields.set = Some(SetForms { members: values, none }),
        }
        fields.about = about;
        fields
    }
}
