//! Settings in YAML, read strictly: every mistake is shown with file, line and column.
//!
//! ```text
//! file ─ Source::read ─→ text + --set KEY=VALUE ─ Source::typed ─→ T
//!                                                   (components written out)
//! ```
//!
//! What the keys mean is not known here: `T` is any type that serde reads.

mod component;
mod error;
mod overrides;
mod registry;
mod schema;
mod source;
mod yaml;

pub use crate::{
    component::Component,
    error::{Error, Result},
    overrides::Override,
    registry::{Named, Registry, settings_of},
    schema::schema,
    source::Source,
    yaml::{Outline, Place, YamlError, parse, write},
};
