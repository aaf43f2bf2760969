//! Encoders that a program brings along beside those of this crate: a pipeline file and a package name them.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use nn::Builder;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::settings::EncoderSettings;
use crate::{EncoderSpec, Error, InputShape, MediaEncoder, Result};

/// Makes an encoder's settings of what a file says.
type Make = fn(Value) -> Result<Arc<dyn EncoderSettings>, serde_json::Error>;

/// The encoders that a program brings along, by the names under which files ask for them.
#[derive(Clone, Debug, Default)]
pub struct EncoderRegistry(BTreeMap<&'static str, Make>);

impl EncoderRegistry {
    /// With one more, whose settings are those of `E`.
    #[must_use]
    pub fn with<E>(mut self, name: &'static str) -> Self
    where
        E: EncoderSettings + DeserializeOwned + 'static,
    {
        self.0.insert(name, |with| {
            // left out: an encoder without settings, or one whose settings all have defaults
            let absent = with.is_null();
            let made = serde_json::from_value::<E>(with);
            let made =
                if absent { made.or_else(|_| serde_json::from_value(json!({}))) } else { made };
            Ok(Arc::new(made?))
        });
        self
    }

    /// # Errors
    /// Why there is no such encoder, in words about its settings.
    fn make(&self, named: &Named) -> Result<Arc<dyn EncoderSettings>, String> {
        let name = &named.name;
        let Some(make) = self.0.get(name.as_str()) else {
            let known: Vec<&str> = self.0.keys().copied().collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!(
                "`{name}` is not an encoder that this program adds (it adds: {known})"
            ));
        };
        make(named.with.clone()).map_err(|error| format!("{name}: {error}"))
    }
}

/// An encoder that the program brings along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Named {
    /// Its name.
    name: String,
    /// Its settings, which name no files.
    #[serde(default)]
    with: Value,
}

/// An encoder as a file names it, which is one as soon as an [`EncoderRegistry`] has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Named", into = "Named")]
pub struct AddedEncoder {
    named: Named,
    /// Its settings, or why there are none.
    found: Result<Arc<dyn EncoderSettings>, String>,
}

impl AddedEncoder {
    /// Looks for it, unless it was found before. One that is not there stays an encoder that refuses to be
    /// used, so that the plan says it with everything else that is wrong.
    pub fn find(&mut self, registry: &EncoderRegistry) {
        if self.found.is_err() {
            self.found = registry.make(&self.named);
        }
    }

    fn settings(&self) -> Result<&dyn EncoderSettings> {
        let missing =
            |reason: &String| Error::Setting { encoder: self.name(), reason: reason.clone() };
        self.found.as_deref().map_err(missing)
    }
}

impl From<Named> for AddedEncoder {
    fn from(named: Named) -> Self {
        let found = Err(format!("`{}` was not looked for", named.name));
        Self { named, found }
    }
}

impl From<AddedEncoder> for Named {
    fn from(added: AddedEncoder) -> Self {
        added.named
    }
}

impl PartialEq for AddedEncoder {
    fn eq(&self, other: &Self) -> bool {
        self.named == other.named
    }
}

impl JsonSchema for AddedEncoder {
    fn schema_name() -> Cow<'static, str> {
        "AddedEncoder".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Named::json_schema(generator)
    }
}

impl EncoderSettings for AddedEncoder {
    fn name(&self) -> &'static str {
        self.found.as_ref().map_or("added", |it| it.name())
    }

    fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        self.settings()?.spec(input)
    }

    fn build(&self, input: InputShape, vb: Builder) -> candle_core::Result<MediaEncoder> {
        self.settings().map_err(candle_core::Error::wrap)?.build(input, vb)
    }

    fn learns(&self) -> bool {
        self.found.as_ref().is_ok_and(|it| it.learns())
    }
}
