//! What a program brings along beside the parts that are built in: a file names it, and a registry makes it of
//! its settings.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Makes a part of its settings.
type Make<T> = fn(Value) -> Result<T, serde_json::Error>;

/// Parts by the names under which files ask for them.
pub struct Registry<T>(BTreeMap<&'static str, Make<T>>);

impl<T> Clone for Registry<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> fmt::Debug for Registry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A part that the program brings along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its settings.
    #[serde(default)]
    pub with: Value,
}

impl<T> Registry<T> {
    /// With one more; `make` reads its settings by [`settings_of`].
    #[must_use]
    pub fn with(mut self, name: &'static str, make: Make<T>) -> Self {
        self.0.insert(name, make);
        self
    }

    /// The part that a file names; `what` it is called, such as `a step`.
    ///
    /// # Errors
    /// Why there is none, in words about its name or its settings.
    pub fn make(&self, named: &Named, what: &str) -> Result<T, String> {
        let name = &named.name;
        let Some(make) = self.0.get(name.as_str()) else {
            let known: Vec<&str> = self.0.keys().copied().collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!(
                "`{name}` is not {what} that this program adds (it adds: {known})"
            ));
        };
        make(named.with.clone()).map_err(|error| format!("{name}: {error}"))
    }
}

/// Settings as a file says them; where it says none, those of a part that has none or only such with defaults.
pub fn settings_of<S: DeserializeOwned>(with: Value) -> Result<S, serde_json::Error> {
    let is_absent = with.is_null();
    let settings = serde_json::from_value(with);
    if is_absent { settings.or_else(|_| serde_json::from_value(json!({}))) } else { settings }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Half {
        #[serde(default)]
        of: u32,
    }

    #[test]
    fn a_part_is_made_of_its_settings_or_refused_in_words() {
        let registry = Registry::default().with("half", |with| Ok(settings_of::<Half>(with)?.of));
        let make = |name: &str, with: Value| {
            registry.make(&Named { name: name.to_owned(), with }, "a number")
        };
        assert_eq!(make("half", json!({ "of": 4 })), Ok(4));
        assert_eq!(make("half", Value::Null), Ok(0));
        assert!(make("half", json!({ "off": 4 })).unwrap_err().starts_with("half: unknown field"));
        assert_eq!(
            make("third", Value::Null).unwrap_err(),
            "`third` is not a number that this program adds (it adds: half)"
        );
        assert!(
            Registry::<u32>::default()
                .make(&Named { name: "x".to_owned(), with: Value::Null }, "a number")
                .unwrap_err()
                .ends_with("(it adds: none)")
        );
    }
}
