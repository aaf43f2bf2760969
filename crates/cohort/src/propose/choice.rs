//! A kind of files as the section of a pipeline.

use std::path::{Path, PathBuf};

use files::FileIndex;
use serde_json::{Map, Value, json};

use super::kind::{Group, Kind, asked};
use crate::{
    bids::BidsConfig,
    by_pattern::FilesConfig,
    entity::{Entities, Entity},
    error::Result,
    reason::Reason,
    recording::Cohort,
    rows::ArrowConfig,
    stack::Hdf5Config,
};

/// What a pipeline would ask for.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// `bids`, `files`, `hdf5` or `arrow`.
    name: &'static str,
    settings: Map<String, Value>,
}

/// One for each group, in their order.
pub(super) fn choices(dir: &Path, groups: &[Group], t_r: Option<f64>) -> Vec<Choice> {
    // a section is pasted into a file that lies anywhere
    let home = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
    groups.iter().map(|group| Choice::of(&home, &group.kind, groups, t_r)).collect()
}

impl Choice {
    fn of(home: &Path, kind: &Kind, groups: &[Group], t_r: Option<f64>) -> Self {
        let place = |path: &str| -> PathBuf {
            if path.is_empty() { home.to_path_buf() } else { home.join(path) }
        };
        let (name, settings) = match kind {
            Kind::Pattern(scans) => ("files", json!({ "dir": home, "scans": scans })),
            Kind::Rows(folder) => ("arrow", json!({ "dir": place(folder) })),
            Kind::Stack(file, datasets) => {
                let mut settings = json!({ "file": place(file) });
                if let Some((first, rest)) = datasets.split_first() {
                    settings["dataset"] = json!(first);
                    settings["join"] = json!(rest);
                }
                ("hdf5", settings)
            }
            Kind::Bids { dir, suffix, extension, forms } => {
                let mut all: Vec<&Entities> = Vec::new();
                let mut several_formats = false;
                for group in groups {
                    let Kind::Bids { dir: dir2, suffix: suffix2, extension: other, forms: of } =
                        &group.kind
                    else {
                        continue;
                    };
                    if (dir2, suffix2) == (dir, suffix) {
                        all.push(of);
                        several_formats |= of == forms && other != extension;
                    }
                }
                let asked: Map<String, Value> = asked(forms, &all)
                    .into_iter()
                    .map(|(entity, label)| (key(entity).to_owned(), json!([label])))
                    .collect();
                let mut settings = json!({ "dir": place(dir) });
                if suffix != "bold" {
                    settings["suffix"] = json!(suffix);
                }
                if several_formats {
                    settings["extension"] = json!(extension);
                }
                settings["entities"] = json!(asked);
                ("bids", settings)
            }
        };
        let Value::Object(settings) = settings else { unreachable!("an object was made") };
        let choice = Self { name, settings };
        t_r.map_or(choice.clone(), |t_r| choice.with("t_r", json!(t_r)))
    }

    /// The same with one more setting.
    pub(super) fn with(mut self, setting: &str, value: Value) -> Self {
        self.settings.insert(setting.to_owned(), value);
        self
    }

    /// With the repetition time of `other`, where both are series of one dataset.
    pub(super) fn timed_as(self, other: &Self, of: &Kind, of_other: &Kind) -> Self {
        let (Kind::Bids { dir, suffix, .. }, Kind::Bids { dir: dir2, suffix: suffix2, .. }) =
            (of, of_other)
        else {
            return self;
        };
        match other.settings.get("t_r").filter(|_| (dir, suffix) == (dir2, suffix2)) {
            Some(t_r) => self.with("t_r", t_r.clone()),
            None => self,
        }
    }

    pub(super) fn has(&self, setting: &str) -> bool {
        self.settings.contains_key(setting)
    }

    /// As it stands in a pipeline, below `cohort`.
    pub(super) fn section(&self) -> Value {
        json!({ self.name: self.settings })
    }

    /// What `check` would find.
    pub(super) fn index(&self) -> Result<Cohort> {
        let place = |path: &Path| path.to_path_buf();
        let settings = Value::Object(self.settings.clone());
        let known = "settings that were made here";
        let unkept = FileIndex::unkept();
        match self.name {
            "bids" => {
                serde_json::from_value::<BidsConfig>(settings).expect(known).index(&place, &unkept)
            }
            "arrow" => {
                serde_json::from_value::<ArrowConfig>(settings).expect(known).index(&place, &unkept)
            }
            "files" => {
                serde_json::from_value::<FilesConfig>(settings).expect(known).index(&place, &unkept)
            }
            _ => {
                serde_json::from_value::<Hdf5Config>(settings).expect(known).index(&place, &unkept)
            }
        }
    }
}

/// The word that users write: `desc` rather than `description`.
fn key(entity: Entity) -> &'static str {
    entity.key()
}

/// Whether a reason says no more than that something else was asked for: names have said it.
pub(super) fn is_unasked(reason: &str) -> bool {
    reason == Reason::Entities.kind() || reason == Reason::Query.kind()
}
