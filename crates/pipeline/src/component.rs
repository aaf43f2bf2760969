//! A part of a pipeline that is written out in place or kept in a file of its own.
use std::{
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned, DeserializeSeed, MapAccess, Visitor},
};

use crate::{Result, files, yaml};

/// `T` itself, or `{ file: PATH }` with the path relative to the file that says so.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Component<T> {
    /// Written out.
    Inline(T),
    /// To be read from a file of its own.
    File {
        /// Relative to the naming file's folder.
        file: PathBuf,
    },
}

impl<T: DeserializeOwned> Component<T> {
    /// Reads the file, if there is one; its errors name that file.
    pub fn inline(self, dir: &Path) -> Result<Self> {
        let file = match self {
            Self::Inline(_) => return Ok(self),
            Self::File { file } => files::join(dir, &file),
        };
        let text = files::read_text(&file)?;
        Ok(Self::Inline(yaml::parse(&file, &text)?))
    }
}

impl<T> Component<T> {
    /// The component, once [`Component::inline`] has run.
    pub fn get(&self) -> &T {
        match self {
            Self::Inline(value) => value,
            Self::File { .. } => unreachable!("components are inlined when a pipeline is loaded"),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Component<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ComponentVisitor(PhantomData))
    }
}

/// Looks at the first key only, so that positions inside `T` stay exact.
struct ComponentVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ComponentVisitor<T> {
    type Value = Component<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a component written out, or `file: PATH`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some(first) = map.next_key::<String>()? else {
            return Err(de::Error::custom("an empty block, expected a component or `file: PATH`"));
        };
        if first != "file" {
            let whole = de::value::MapAccessDeserializer::new(Peeked { first: Some(first), map });
            return T::deserialize(whole).map(Component::Inline);
        }
        let file = map.next_value()?;
        match map.next_key::<String>()? {
            None => Ok(Component::File { file }),
            Some(key) => Err(de::Error::custom(format!("`file` stands alone, found `{key}` too"))),
        }
    }
}

/// A map whose first key was already taken out.
struct Peeked<A> {
    first: Option<String>,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Peeked<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(key) => seed.deserialize(de::value::StringDeserializer::new(key)).map(Some),
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl<T: JsonSchema> JsonSchema for Component<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Component_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let inline = generator.subschema_for::<T>();
        json_schema!({
            "anyOf": [
                {
                    "description": "Kept in a file of its own; relative to this file.",
                    "type": "object",
                    "properties": { "file": { "type": "string" } },
                    "required": ["file"],
                    "additionalProperties": false,
                },
                inline,
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Resampler {
        n_latents: usize,
        depth: usize,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Model {
        resampler: Component<Resampler>,
    }

    fn parse(text: &str) -> Result<Model, yaml::YamlError> {
        yaml::parse(Path::new("p.yaml"), text)
    }

    #[test]
    fn positions_inside_an_inline_component_are_exact() {
        let error = parse("resampler:\n  n_latents: 1\n  dephth: 2\n").unwrap_err();
        assert_eq!((error.line, error.column), (3, 3), "{error}");
        let error = parse("resampler:\n  n_latent: 1\n  depth: 2\n").unwrap_err();
        assert_eq!((error.line, error.column), (2, 3), "{error}");
        let error = parse("resampler:\n  depth: 1\n  depth: 2\n").unwrap_err();
        assert_eq!((error.line, error.column), (3, 3), "{error}");
        let error = parse("resampler:\n  depth: deep\n").unwrap_err();
        assert_eq!((error.line, error.column), (2, 10), "{error}");
    }

    #[test]
    fn an_error_in_a_component_file_names_that_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("r.yaml"), "# tiny\nn_latents: 4\ndepht: 1\n").unwrap();
        let model = parse("resampler: { file: r.yaml }\n").unwrap();
        let error = model.resampler.inline(dir.path()).unwrap_err();
        assert!(error.to_string().contains("r.yaml:3:1: unknown field `depht`"), "{error}");
    }

    #[test]
    fn a_component_file_stands_alone() {
        let error = parse("resampler: { file: r.yaml, depth: 2 }\n").unwrap_err();
        assert!(error.message.contains("`file` stands alone"), "{error}");
    }
}
