//! Steps that a program brings along beside those of this crate: a pipeline file and a package name them.
use std::{borrow::Cow, path::PathBuf};

use config::{Named, Registry, settings_of};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::Value;

use crate::{Error, Fitted, Kind, Result, Step, StepId, Training};

/// The steps that a program brings along, by the names under which files ask for them.
#[derive(Clone, Debug, Default)]
pub struct StepRegistry(Registry<Box<dyn Step>>);

impl StepRegistry {
    /// With one more, whose settings are those of `S`.
    #[must_use]
    pub fn with<S: Step + DeserializeOwned + 'static>(self, name: &'static str) -> Self {
        Self(self.0.with(name, |with| Ok(Box::new(settings_of::<S>(with)?))))
    }
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
        match registry.0.make(&named, "a step") {
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
