//! Steps that a program brings along beside those of this crate: a pipeline file and a package name them.
use std::{borrow::Cow, collections::BTreeMap, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{Error, Fitted, Kind, Result, Step, StepId, Training};

/// Makes a step of its settings.
type Make = fn(Value) -> Result<Box<dyn Step>, serde_json::Error>;

/// The steps that a program brings along, by the names under which files ask for them.
#[derive(Clone, Debug, Default)]
pub struct StepRegistry(BTreeMap<&'static str, Make>);

impl StepRegistry {
    /// With one more, whose settings are those of `S`.
    #[must_use]
    pub fn with<S: Step + DeserializeOwned + 'static>(mut self, name: &'static str) -> Self {
        self.0.insert(name, |with| {
            let absent = with.is_null();
            let made = serde_json::from_value::<S>(with);
            // left out: a step without settings, or one whose settings all have defaults
            let made =
                if absent { made.or_else(|_| serde_json::from_value(json!({}))) } else { made };
            Ok(Box::new(made?))
        });
        self
    }

    /// # Errors
    /// Why there is no such step, in words about its settings.
    fn make(&self, named: &Named) -> Result<Box<dyn Step>, String> {
        let name = &named.name;
        let Some(make) = self.0.get(name.as_str()) else {
            let known: Vec<&str> = self.0.keys().copied().collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!(
                "`{name}` is not a step that this program adds (it adds: {known})"
            ));
        };
        make(named.with.clone()).map_err(|error| format!("{name}: {error}"))
    }
}

/// A step that the program brings along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    /// Its name.
    name: String,
    /// Its settings.
    #[serde(default)]
    with: Value,
}

/// A step as a file names it, which is one as soon as a [`StepRegistry`] has it.
#[derive(Debug)]
pub struct NamedStep {
    name: String,
    step: Box<dyn Step>,
    is_found: bool,
}

impl NamedStep {
    /// Looks for it, unless it was found before. One that is not there stays a step that refuses to be used,
    /// so that the plan says it with everything else that is wrong.
    pub fn find(&mut self, registry: &StepRegistry) {
        if self.is_found {
            return;
        }
        let named = self.named();
        match registry.make(&named) {
            Ok(step) => (self.step, self.is_found) = (step, true),
            Err(problem) => self.step = Box::new(Missing { with: named.with, problem }),
        }
    }

    /// The step.
    pub fn step(&self) -> &dyn Step {
        self.step.as_ref()
    }

    /// The step, to be changed.
    pub fn step_mut(&mut self) -> &mut dyn Step {
        self.step.as_mut()
    }

    fn named(&self) -> Named {
        let with = serde_json::from_str(&self.step.said()).expect("settings are JSON");
        Named { name: self.name.clone(), with }
    }
}

impl Clone for NamedStep {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), step: self.step.cloned(), is_found: self.is_found }
    }
}

impl PartialEq for NamedStep {
    fn eq(&self, other: &Self) -> bool {
        self.named() == other.named()
    }
}

impl Serialize for NamedStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.named().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NamedStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Named { name, with } = Named::deserialize(deserializer)?;
        let problem = format!("{name} was not looked for");
        Ok(Self { name, step: Box::new(Missing { with, problem }), is_found: false })
    }
}

impl JsonSchema for NamedStep {
    fn schema_name() -> Cow<'static, str> {
        "NamedStep".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Named::json_schema(generator)
    }
}

/// A step that is not there.
#[derive(Clone, Debug)]
struct Missing {
    with: Value,
    problem: String,
}

impl Missing {
    fn refusal(&self) -> Error {
        Error::StageInput { stage: self.id().name, problem: self.problem.clone() }
    }
}

impl Step for Missing {
    fn id(&self) -> StepId {
        StepId { name: "step", version: 0 }
    }

    fn said(&self) -> String {
        self.with.to_string()
    }

    fn accepts(&self, given: Kind) -> Option<Kind> {
        Some(given)
    }

    fn check(&self) -> Result<()> {
        Err(self.refusal())
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        Vec::new()
    }

    fn fit(&self, _training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        Err(self.refusal())
    }
}
