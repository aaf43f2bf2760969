//! Encoders that a program brings along beside those of this crate: a pipeline file and a package name them.

use std::{borrow::Cow, sync::Arc};

use config::{Named, Registry, settings_of};
use nn::Builder;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::settings::EncoderSettings;
use crate::{EncoderSpec, Error, InputShape, MediaEncoder, Result};

/// The encoders that a program brings along, by the names under which files ask for them. Their settings name
/// no files.
#[derive(Clone, Debug, Default)]
pub struct EncoderRegistry(Registry<Arc<dyn EncoderSettings>>);

impl EncoderRegistry {
    /// With one more, whose settings are those of `E`.
    #[must_use]
    pub fn with<E>(self, name: &'static str) -> Self
    where
        E: EncoderSettings + DeserializeOwned + 'static,
    {
        Self(self.0.with(name, |with| Ok(Arc::new(settings_of::<E>(with)?))))
    }
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
            self.found = registry.0.make(&self.named, "an encoder");
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

    fn version(&self) -> u32 {
        self.found.as_ref().map_or(1, |it| it.version())
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
