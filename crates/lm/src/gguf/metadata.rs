//! The keys of a GGUF file.

use std::path::PathBuf;

use formats::{Container, Value};

use crate::{Error, Result};

/// A file's metadata; what is missing or of another kind is an error that names file and key.
pub(super) struct Metadata {
    path: PathBuf,
    values: Value,
}

impl Metadata {
    pub(super) fn of(container: &Container) -> Self {
        Self { path: container.path().to_owned(), values: container.metadata().clone() }
    }

    /// An error about this file.
    pub(super) fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::Config { path: self.path.clone(), reason: reason.into() }
    }

    /// An error of the tokenizer that this file describes.
    pub(super) fn failed(&self, error: impl std::fmt::Display) -> Error {
        self.wrong(format!("tokenizer: {error}"))
    }

    /// A value read by `read`; nothing where the key is absent.
    fn get<'a, T>(
        &'a self,
        key: &str,
        kind: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.wrong(format!("metadata key `{key}` is no {kind}"))),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        self.get(key, "text", Value::as_text)
    }

    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
        self.get(key, "count", Value::as_int)
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        self.get(key, "number", Value::as_float)
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        let read = |value: &Value| if let Value::Bool(flag) = value { Some(*flag) } else { None };
        self.get(key, "flag", read)
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.get(key, "list of texts", |value| {
            value.as_list()?.iter().map(Value::as_text).collect()
        })
    }

    pub(super) fn counts(&self, key: &str) -> Result<Option<Vec<usize>>> {
        self.get(key, "list of counts", |value| {
            value.as_list()?.iter().map(Value::as_int).collect()
        })
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.get(key, "list of numbers", |value| {
            value.as_list()?.iter().map(Value::as_float).collect()
        })
    }

    /// What the file must say.
    pub(super) fn need<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.wrong(format!("metadata key `{key}` is missing")))
    }
}
