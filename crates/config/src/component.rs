//! A part of a pipeline that is written out in place or kept in a file of its own.
use std::{
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use crate::{Result, yaml};

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
        self.inline_with(dir, |_, _| {})
    }

    /// The same for a component that names files: `moved` is given what was read and the folder,
    /// as seen from `dir`, that its paths are relative to.
    pub fn inline_with(self, dir: &Path, moved: impl FnOnce(&mut T, &Path)) -> Result<Self> {
        let named = match self {
            Self::Inline(_) => return Ok(self),
            Self::File { file } => file,
        };
        let file = files::join(dir, &named);
        let mut value = yaml::parse(&file, &files::read_text(&file)?)?;
        moved(&mut value, named.parent().unwrap_or(Path::new("")));
        Ok(Self::Inline(value))
    }
}

impl<T> Component<T> {
    /// As [`Self::get`], to be changed.
    pub fn get_mut(&mut self) -> &mut T {
        match self {
            Self::Inline(value) => value,
            Self::File { .. } => unreachable!("components are inlined when a pipeline is loaded"),
        }
    }

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
        deserializer.deserialize_any(ComponentVisitor(PhantomData))
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

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::deserialize(List(list)).map(Component::Inline)
    }
}

/// A list for those who ask for one: a struct would take it for its fields without their names.
struct List<A>(A);

impl<'de, A: SeqAccess<'de>> Deserializer<'de> for List<A> {
    type Error = A::Error;

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_seq(self.0)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, A::Error> {
        Err(de::Error::custom("expected a block of keys, found a list"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct tuple tuple_struct map struct enum identifier ignored_any
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

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Chain {
        stages: Component<Vec<Resampler>>,
    }

    #[test]
    fn a_list_can_be_a_component() {
        let parse = |text| yaml::parse::<Chain>(Path::new("p.yaml"), text);
        let chain = parse("stages:\n  - { n_latents: 1, depth: 2 }\n").unwrap();
        assert_eq!(chain.stages.get(), &[Resampler { n_latents: 1, depth: 2 }]);
        let error = parse("stages:\n  - n_latents: 1\n    dephth: 2\n").unwrap_err();
        assert_eq!((error.line, error.column), (3, 5), "{error}");
        let error = parse("stages: { n_latents: 1, depth: 2 }\n").unwrap_err();
        assert_eq!(error.message, "expected a list, found a block of keys");
        let error = parse("stages: 5\n").unwrap_err();
        assert!(error.message.contains("or `file: PATH`"), "{error}");
    }

    #[test]
    fn a_list_is_no_block() {
        let error = parse("resampler: [1, 2]\n").unwrap_err();
        assert_eq!(error.message, "expected a block of keys, found a list");
        assert_eq!(error.line, 1, "{error}");
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
