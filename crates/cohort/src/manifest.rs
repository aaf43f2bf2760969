//! A cohort as a table: one row a recording, with the columns that the field uses.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use files::FileIndex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tables::{Cell, Table};

use crate::{
    division::SplitConfig,
    entity::{Entities, Entity, RECORDING},
    error::{Error, Result},
    labels::{ENTITY_COLUMNS, LabelTables, column_of, described, label_of},
    quality::QcThresholds,
    reason::{Part, Reason},
    recording::{Cohort, Excluded, Recording, RepetitionTime, Source, TrSource},
    root::Root,
    select::{Found, Selection, Wanted},
    sidecar::Sidecars,
    spelling::{self, label_from},
    value::Value,
};

/// A CSV, TSV or Parquet table with one row a recording.
///
/// Who: `eid`, `participant_id`, `subject_id` or `subject`. Which: `session_id` or `session`,
/// `task`, `run`. What: `scan`, `bold` or `tensor_path`; `mask_path`; `confounds_path`; `t_r` or
/// `repetition_time`. Every other column is a label: age, sex, site, split, diagnosis, report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestConfig {
    /// The table.
    pub table: PathBuf,
    /// Folder that scans are relative to and that no path and no link may leave; the table's own
    /// where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Column names, where they differ from the usual ones.
    #[serde(default, skip_serializing_if = "ManifestColumns::is_empty")]
    pub columns: ManifestColumns,
    /// More tables about the same people, joined by subject, session, task and run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<PathBuf>,
    /// Labels that are wanted: `{ task: [rest] }`.
    #[serde(default, skip_serializing_if = "Wanted::is_empty")]
    pub entities: Wanted,
    /// Which recordings are wanted: `age >= 50 and site == "A"`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Quality thresholds for leaving out recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qc_thresholds: Option<QcThresholds>,
    /// Repetition time of all recordings in seconds; overrides the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_r: Option<f64>,
    /// Division into train, validation and test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitConfig>,
}

/// Columns by role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ManifestColumns {
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Path of the images or series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<String>,
    /// Path of the brain mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// Path of the nuisance series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confounds: Option<String>,
    /// Repetition time in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub t_r: Option<String>,
}

impl ManifestColumns {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn of(&self, entity: Entity) -> Option<&String> {
        match entity {
            Entity::Subject => self.subject.as_ref(),
            Entity::Session => self.session.as_ref(),
            Entity::Task => self.task.as_ref(),
            Entity::Run => self.run.as_ref(),
            _ => None,
        }
    }
}

const SCAN: &[&str] = &["scan", "scan_path", "bold", "bold_path", "tensor_path", "path"];
const MASK: &[&str] = &["mask", "mask_path", "brain_mask"];
const CONFOUNDS: &[&str] = &["confounds", "confounds_path"];
const T_R: &[&str] = &["t_r", "tr", "repetition_time", "repetitiontime"];
const N_FRAMES: &[&str] = &["n_timepoints", "n_frames", "n_volumes"];

/// What no field of [`ManifestColumns`] names.
const FRAMES: &str = "n_timepoints";

/// Columns of one table by what they say.
struct Columns<'a> {
    entities: Vec<(Entity, &'a str)>,
    scan: &'a str,
    mask: Option<&'a str>,
    confounds: Option<&'a str>,
    t_r: Option<&'a str>,
    n_frames: Option<&'a str>,
}

impl ManifestConfig {
    /// Refuses what is wrong whatever the files hold.
    pub fn check(&self) -> Result<()> {
        self.asked().check().map(drop)
    }

    fn asked(&self) -> Selection<'_> {
        Selection {
            entities: &self.entities,
            query: self.query.as_deref(),
            qc_thresholds: self.qc_thresholds.as_ref(),
            t_r: self.t_r,
            split: self.split.as_ref(),
        }
    }

    /// Reads the table and looks at every scan's header; `place` finds what the configuration
    /// names; scans that `known` has seen are not opened.
    pub fn index(&self, place: &dyn Fn(&Path) -> PathBuf, known: &FileIndex) -> Result<Cohort> {
        let path = place(&self.table);
        let table = tables::read(&path)?;
        let columns = self.columns_of(&path, &table)?;
        spelling::one_each(&path, &table, &columns.entities)?;
        let own = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let folder = self.root.as_ref().map_or(own, |root| place(root));
        let root = Root::new(&folder)?;
        let sought = "it has no row below its line of names, expected one a recording".to_owned();
        let (recordings, excluded) = (Vec::new(), Vec::new());
        let mut found = Found { path, sought, cure: None, recordings, excluded };
        let (mut rows, mut scans) = (HashMap::new(), HashMap::new());
        let labels = labels_of(&table, &columns);
        let mut sidecars = Sidecars::new(known);
        for row in 0..table.n_rows() {
            let number = row + table.first_line();
            let recording = recording(&table, row, &columns, &root, &folder).and_then(|it| {
                let t_r = match it.t_r {
                    // a sidecar says it where the table does not, as in a dataset
                    None if self.t_r.is_none() => {
                        let said = sidecars.of_scan(it.source.path(), Some(&root))?;
                        said.t_r
                            .map(|seconds| RepetitionTime { seconds, source: TrSource::Sidecar })
                    }
                    t_r => t_r,
                };
                Ok(Recording { t_r, ..it })
            });
            let recording = match recording {
                Ok(recording) => {
                    let known = |(name, values): &(&String, Vec<Option<Value>>)| {
                        Some(((*name).clone(), values[row].clone()?))
                    };
                    Recording { labels: labels.iter().filter_map(known).collect(), ..recording }
                }
                Err(reason) => {
                    found.excluded.push(Excluded { name: format!("row {number}"), reason });
                    continue;
                }
            };
            let twice = [
                (rows.insert(recording.entities.key(&RECORDING), number), "one recording"),
                (scans.insert(recording.source.clone(), number), "one scan"),
            ];
            if let Some((Some(first), what)) = twice.into_iter().find(|(it, _)| it.is_some()) {
                return Err(Error::SameRow { path: found.path, first, second: number, what });
            }
            found.recordings.push(recording);
        }
        let said = described(&found.path, table.first_line());
        let mut cohort =
            found.select(self.asked(), known, LabelTables::named(&self.labels, place)?)?;
        cohort.warnings.extend(said);
        Ok(cohort)
    }

    fn columns_of<'a>(&'a self, path: &Path, table: &'a Table) -> Result<Columns<'a>> {
        let known = |role, given: Option<&'a String>, allowed: &[&str]| match given {
            Some(name) if table.column(name).is_some() => Ok(Some(name.as_str())),
            Some(name) => {
                let allowed = vec![name.clone()];
                Err(Error::NoColumn { path: path.to_path_buf(), role, allowed, settable: true })
            }
            None => column_of(path, table, role, allowed, role != FRAMES),
        };
        let needed = |role, found: Option<&'a str>, allowed: &[&str]| {
            found.ok_or_else(|| Error::NoColumn {
                path: path.to_path_buf(),
                role,
                settable: true,
                allowed: allowed.iter().map(|&name| name.to_owned()).collect(),
            })
        };
        let mut entities = Vec::new();
        for (entity, allowed) in ENTITY_COLUMNS {
            let found = known(entity.name(), self.columns.of(entity), allowed)?;
            let found = match entity {
                Entity::Subject => Some(needed("subject", found, allowed)?),
                _ => found,
            };
            entities.extend(found.map(|name| (entity, name)));
        }
        let scan = known("scan", self.columns.scan.as_ref(), SCAN)?;
        Ok(Columns {
            entities,
            scan: needed("scan", scan, SCAN)?,
            mask: known("mask", self.columns.mask.as_ref(), MASK)?,
            confounds: known("confounds", self.columns.confounds.as_ref(), CONFOUNDS)?,
            t_r: known("t_r", self.columns.t_r.as_ref(), T_R)?,
            n_frames: known(FRAMES, None, N_FRAMES)?,
        })
    }
}

/// The values of every column that names neither a recording nor one of its files.
fn labels_of<'a>(table: &'a Table, columns: &Columns) -> Vec<(&'a String, Vec<Option<Value>>)> {
    let is_taken = |name: &str| {
        columns.entities.iter().any(|(_, taken)| *taken == name)
            || [Some(columns.scan), columns.mask, columns.confounds].contains(&Some(name))
    };
    let labels = table.columns().iter().filter(|(name, _)| !is_taken(name));
    labels.map(|(name, column)| (name, Value::of_column(column))).collect()
}

/// The recording of a row, without labels; who and which become letters and digits: session `2_0` is
/// `20`.
fn recording(
    table: &Table,
    row: usize,
    columns: &Columns,
    root: &Root,
    folder: &Path,
) -> Result<Recording, Reason> {
    let cell = |name: &str| table.column(name).expect("it was found").cell(row);
    let mut entities = Entities::default();
    for (entity, name) in &columns.entities {
        let text = label_of(cell(name), *entity);
        match text.as_deref().map(label_from) {
            Some(Some(label)) => {
                entities.add(*entity, &label);
            }
            None if *entity != Entity::Subject => {}
            _ => return Err(Reason::Label { what: entity.name() }),
        }
    }
    let file = |name: &str, part| match cell(name) {
        Cell::Missing => Ok(None),
        Cell::Text(path) => root.file(folder, Path::new(path.trim()), part).map(Some),
        _ => Err(Reason::Row { column: name.to_owned(), expected: "a path" }),
    };
    let scan = file(columns.scan, Part::Scan)?.ok_or(Reason::NoScan)?;
    let optional = |name: Option<&str>, part| name.map_or(Ok(None), |name| file(name, part));
    let number = |name: Option<&str>| match name.map(|name| (name, Value::of(cell(name)))) {
        None | Some((_, None)) => Ok(None),
        Some((_, Some(Value::Number(number)))) if number > 0.0 => Ok(Some(number)),
        Some((name, _)) => {
            Err(Reason::Row { column: name.to_owned(), expected: "a number above 0" })
        }
    };
    Ok(Recording {
        entities,
        source: Source::File(scan),
        mask: optional(columns.mask, Part::Mask)?,
        confounds: optional(columns.confounds, Part::Confounds)?,
        coverage: None,
        t_r: number(columns.t_r)?
            .map(|seconds| RepetitionTime { seconds, source: TrSource::Manifest }),
        n_frames: number(columns.n_frames)?.map(|n| n as usize),
        kept: None,
        labels: BTreeMap::new(),
        row: Some(row + table.first_line()),
    })
}

#[cfg(test)]
mod tests;
