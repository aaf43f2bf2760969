//! What a composed report says, in which words, and from which numbers.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    slots::{Place, Section, Slot, SlotKind, SlotSet, Truth},
};

/// Stands for each network of the atlas.
const NETWORK: &str = "{network}";
const VALUE: &str = "{value}";
const NUMBER: &str = "{number}";

/// A kind of report that is composed. What a slot says of `{network}` is said of each network of the atlas: in
/// names and `evidence` by the atlas's word, elsewhere by the word for readers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportSpec {
    /// Its name, with a version.
    pub name: String,
    /// The slots that are scored, the first of which the tables name.
    pub scored: Vec<String>,
    /// Words for readers, by the atlas's names of networks; others stand as the atlas has them.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub networks: IndexMap<String, String>,
    /// The statements, in order within each section.
    pub statements: Vec<StatementSpec>,
}

/// A statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatementSpec {
    /// The slot it states; absent for sentences that every report has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
    /// Where the value comes from; a statement whose value is not known is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Source>,
    /// Edges between the levels of an ordinal slot, ascending, one fewer than there are levels; of a flag the
    /// one from which it is `yes`; of a set of networks the two outside of which a network belongs to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<f64>,
    /// Decimals of `{number}`.
    #[serde(default = "two")]
    pub decimals: usize,
    /// Sentences with `{value}` once, and perhaps `{number}`; one is drawn a scan.
    pub phrasings: Vec<String>,
    /// Section of a sentence without a slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<Section>,
}

impl StatementSpec {
    /// A sentence that every report has.
    pub fn sentence(section: Section, text: &str) -> Self {
        Self {
            slot: None,
            from: None,
            edges: Vec::new(),
            decimals: two(),
            phrasings: vec![text.to_owned()],
            section: Some(section),
        }
    }
}

const fn two() -> usize {
    2
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A column of the cohort's table.
    Column(String),
    /// A quantity as it is: frames, `t_r`, `mean_fd`, tsnr, coverage; within, between, laterality of the network.
    Measured(String),
    /// The same as z beside the training people.
    Z(String),
    /// The networks whose z of this quantity lies outside of the edges.
    Altered(String),
}

const QUANTITIES: [&str; 5] = ["frames", "t_r", "mean_fd", "tsnr", "coverage"];
const OF_NETWORKS: [&str; 3] = ["within", "between", "laterality"];

/// Columns that a table of reports has anyway.
const TAKEN: [&str; 7] = ["subject", "session", "scan", "onset", "duration", "report", "split"];

/// A specification for the networks of one atlas.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// What the reports state; true values stand in columns of the slots' names.
    pub slots: SlotSet,
    pub(super) networks: Vec<String>,
    pub(super) statements: Vec<Said>,
}

/// A statement, perhaps about one network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    /// Its place among the slots.
    pub(super) slot_idx: Option<usize>,
    pub(super) section: Section,
    /// Of a network, where it is of one.
    pub(super) from: Option<Source>,
    pub(super) edges: Vec<f64>,
    pub(super) decimals: usize,
    pub(super) phrasings: Vec<String>,
}

impl ReportSpec {
    /// Refuses what could not be composed whatever the atlas.
    pub fn check(&self) -> Result<()> {
        self.resolve(&["Default".to_owned(), "Vis".to_owned()]).map(drop)
    }

    /// The specification for these networks.
    pub fn resolve(&self, networks: &[String]) -> Result<Template> {
        let mut slots = Vec::new();
        let mut statements = Vec::new();
        for spec in &self.statements {
            spec.check()?;
            let per_network = spec.slot.as_ref().is_some_and(|it| it.name.contains(NETWORK));
            let each: Vec<Option<&str>> = if per_network {
                networks.iter().map(|it| Some(it.as_str())).collect()
            } else {
                vec![None]
            };
            for network in each {
                let slot = spec.slot.as_ref().map(|slot| self.slot_of(slot, network, networks));
                let section = slot.as_ref().map(|it| it.section).or(spec.section);
                let section = section.expect("checked before");
                let words = network.map(|it| self.words(it));
                let fill = |text: &String| match &words {
                    Some(words) => text.replace(NETWORK, words),
                    None => text.clone(),
                };
                let slot_idx = slot.map(|slot| {
                    slots.push(slot);
                    slots.len() - 1
                });
                let of_network = |name: &String| match network {
                    Some(network) if OF_NETWORKS.contains(&name.as_str()) => {
                        format!("{name}:{network}")
                    }
                    _ => name.clone(),
                };
                statements.push(Said {
                    slot_idx,
                    section,
                    from: spec.from.as_ref().map(|from| match from {
                        Source::Measured(name) => Source::Measured(of_network(name)),
                        Source::Z(name) => Source::Z(of_network(name)),
                        other => other.clone(),
                    }),
                    edges: spec.edges.clone(),
                    decimals: spec.decimals,
                    phrasings: spec.phrasings.iter().map(fill).collect(),
                });
            }
        }
        let scored: Vec<String> = self
            .scored
            .iter()
            .flat_map(|name| {
                if name.contains(NETWORK) {
                    networks.iter().map(|it| name.replace(NETWORK, it)).collect()
                } else {
                    vec![name.clone()]
                }
            })
            .collect();
        let scored: Vec<&str> = scored.iter().map(String::as_str).collect();
        let slots = SlotSet::new(&scored, slots, IndexMap::new())?;
        Ok(Template { slots, networks: networks.to_vec(), statements })
    }

    fn words(&self, network: &str) -> String {
        self.networks.get(network).cloned().unwrap_or_else(|| network.to_owned())
    }

    /// A slot about one network, or about all where its members are `{network}`.
    fn slot_of(&self, slot: &Slot, network: Option<&str>, networks: &[String]) -> Slot {
        let mut slot = slot.clone();
        if let Some(network) = network {
            let words = self.words(network);
            let fill = |text: &mut String| *text = text.replace(NETWORK, &words);
            slot.name = slot.name.replace(NETWORK, network);
            fill(&mut slot.lead);
            slot.about.iter_mut().for_each(fill);
            slot.values.values_mut().flatten().for_each(fill);
            if let Some(Place::Network(name) | Place::Region(name)) = &mut slot.evidence {
                *name = name.replace(NETWORK, network);
            }
        }
        if let Some(forms) = slot.values.shift_remove(NETWORK) {
            for network in networks {
                let words = self.words(network);
                let forms = forms.iter().map(|form| form.replace(NETWORK, &words)).collect();
                slot.values.insert(network.clone(), forms);
            }
        }
        slot.truth = Truth::Column(slot.name.clone());
        slot
    }
}

impl StatementSpec {
    fn check(&self) -> Result<()> {
        let name = self.slot.as_ref().map_or("without a slot", |it| it.name.as_str());
        let refuse =
            |problem: String| Err(Error::StatementSpec { statement: name.to_owned(), problem });
        if self.phrasings.is_empty() {
            return refuse("it has no phrasings".to_owned());
        }
        let count = |text: &String, what: &str| text.matches(what).count();
        let Some(slot) = &self.slot else {
            if self.section.is_none() {
                return refuse("it needs a section".to_owned());
            }
            return match self.phrasings.iter().find(|it| it.contains(['{', '}'])) {
                Some(text) => refuse(format!("{text:?} has a placeholder and no slot")),
                None => Ok(()),
            };
        };
        if self.section.is_some() {
            return refuse("its slot says the section".to_owned());
        }
        if TAKEN.contains(&slot.name.as_str()) {
            return refuse("every table of reports has a column of this name".to_owned());
        }
        let Some(from) = &self.from else {
            return refuse("nothing says where its value comes from".to_owned());
        };
        for text in &self.phrasings {
            let rest =
                [VALUE, NUMBER, NETWORK].iter().fold(text.clone(), |it, one| it.replace(one, ""));
            if count(text, VALUE) != 1 || count(text, NUMBER) > 1 || rest.contains(['{', '}']) {
                let expected = "expected {value} once, and perhaps {number} and {network}";
                return refuse(format!("{text:?} has other placeholders, {expected}"));
            }
        }
        let per_network = slot.name.contains(NETWORK);
        let known = match from {
            Source::Column(_) => true,
            Source::Altered(name) => OF_NETWORKS.contains(&name.as_str()),
            Source::Measured(name) | Source::Z(name) => {
                let of_networks = per_network && OF_NETWORKS.contains(&name.as_str());
                of_networks || QUANTITIES.contains(&name.as_str())
            }
        };
        if !known {
            let all = [&QUANTITIES[..], &OF_NETWORKS].concat().join(", ");
            let problem = format!(
                "it is from {from:?}, expected one of {all}, the last three where the slot's name has {NETWORK}"
            );
            return refuse(problem);
        }
        // a column with edges holds a number that is graded
        let is_graded = !matches!(from, Source::Column(_)) || !self.edges.is_empty();
        let n_edges = match (&slot.kind, from) {
            (SlotKind::Set { .. }, Source::Altered(_)) => Some(2),
            (_, Source::Altered(_)) => None,
            (SlotKind::Ordinal | SlotKind::Flag, _) if is_graded => Some(slot.values.len() - 1),
            (SlotKind::Number(_), _) | (_, Source::Column(_)) => Some(0),
            _ => None,
        };
        let Some(n_edges) = n_edges else {
            return refuse(format!("a {} cannot come from {from:?}", slot.kind_name()));
        };
        let ascend = self.edges.windows(2).all(|it| it[0] < it[1]);
        if self.edges.len() != n_edges || !ascend || self.edges.iter().any(|it| !it.is_finite()) {
            return refuse(format!("it needs {n_edges} ascending edges"));
        }
        Ok(())
    }
}
