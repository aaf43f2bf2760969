//! The name of a result.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Names a result by everything that decides it: the SHA-256 of that, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// From everything that decides a result.
    pub fn of(decides: &Value) -> Self {
        Self(files::sha256_bytes(decides.to_string().as_bytes()))
    }

    /// The key that a record holds; nothing where it is none.
    pub fn recorded(text: &str) -> Option<Self> {
        let is_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_key.then(|| Self(text.to_owned()))
    }

    /// The whole of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its beginning, which files and folders are named by.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(32)]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
