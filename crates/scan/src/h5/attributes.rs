//! Numbers and texts beside datasets, and what they say of a scan.

use hdf5::Location;
use serde::Serialize;

use super::{file::Hdf5File, text::texts};
use crate::error::Result;

/// The most values an attribute may have to be looked at.
const MAX_VALUES: usize = 1 << 16;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Attribute {
    /// Numbers, widened; a scalar is one.
    Numbers(Vec<f64>),
    /// Texts; a scalar is one.
    Texts(Vec<String>),
}

impl Attribute {
    /// The only number, as one or in writing.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Numbers(numbers) if numbers.len() == 1 => Some(numbers[0]),
            Self::Texts(texts) if texts.len() == 1 => texts[0].trim().parse().ok(),
            _ => None,
        }
    }

    /// The only text.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Texts(texts) if texts.len() == 1 => Some(texts[0].clone()),
            _ => None,
        }
    }
}

impl Hdf5File {
    /// What can be read of the attributes of an object.
    pub(super) fn attributes_of(
        &self,
        name: &str,
        object: &Location,
    ) -> Result<Vec<(String, Attribute)>> {
        let names = object
            .attr_names()
            .map_err(|error| self.failed(name, "has attributes that cannot be listed", &error))?;
        let mut found = Vec::new();
        for attribute in names {
            let value = object.attr(&attribute).ok().and_then(|inner| read(&inner));
            found.extend(value.map(|value| (attribute, value)));
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }
}

fn read(attribute: &hdf5::Attribute) -> Option<Attribute> {
    let space = attribute.space().ok().filter(|space| !space.is_null())?;
    if space.size() > MAX_VALUES {
        return None;
    }
    let descriptor = attribute.dtype().ok()?.to_descriptor().ok()?;
    if let Some(texts) = texts(attribute, &descriptor) {
        return texts.ok().map(Attribute::Texts);
    }
    attribute.read_raw().ok().map(Attribute::Numbers)
}
