//! The small values beside the arrays: hyper-parameters, epochs, tokenizer tables.

/// A tree of plain values; arrays are not in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Python's `None`.
    None,
    /// True or false.
    Bool(bool),
    /// Every integer that the formats know.
    Int(i128),
    /// Every floating-point number, widened.
    Float(f64),
    /// Text.
    Text(String),
    /// A list, tuple or set.
    List(Vec<Value>),
    /// A dictionary, or the attributes of an object, in the order of the file.
    Map(Vec<(String, Value)>),
    /// Something that is no plain value; the name of its class.
    Opaque(String),
}

impl Value {
    /// The value under a key of a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(items) => items.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The keys of a map; nothing otherwise.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let items = if let Self::Map(items) = self { items.as_slice() } else { &[] };
        items.iter().map(|(name, _)| name.as_str())
    }

    /// The integer, if it is one and fits.
    pub fn as_int<T: TryFrom<i128>>(&self) -> Option<T> {
        if let Self::Int(n) = self { T::try_from(*n).ok() } else { None }
    }

    /// The number, if it is one.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(x) => Some(*x),
            Self::Int(n) => Some(*n as f64),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(values) = self { Some(values) } else { None }
    }

    /// As JSON; nothing where JSON has no word for it: objects of unknown classes, numbers that are none.
    pub fn to_json(&self) -> Option<serde_json::Value> {
        use serde_json::{Number, Value as Json};
        Some(match self {
            Self::None => Json::Null,
            Self::Bool(flag) => Json::Bool(*flag),
            Self::Int(n) => Json::Number(Number::from_i128(*n)?),
            Self::Float(x) => Json::Number(Number::from_f64(*x)?),
            Self::Text(text) => Json::String(text.clone()),
            // places in a list count
            Self::List(all) => {
                Json::Array(all.iter().map(|it| it.to_json().unwrap_or(Json::Null)).collect())
            }
            Self::Map(items) => Json::Object(
                items.iter().filter_map(|(key, it)| Some((key.clone(), it.to_json()?))).collect(),
            ),
            Self::Opaque(_) => return None,
        })
    }

    pub(crate) fn of_json(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::None,
            Json::Bool(flag) => Self::Bool(flag),
            Json::Number(number) => match number.as_i128() {
                Some(n) => Self::Int(n),
                None => number.as_f64().map_or(Self::None, Self::Float),
            },
            Json::String(text) => Self::Text(text),
            Json::Array(all) => Self::List(all.into_iter().map(Self::of_json).collect()),
            Json::Object(items) => {
                Self::Map(items.into_iter().map(|(key, it)| (key, Self::of_json(it))).collect())
            }
        }
    }
}
