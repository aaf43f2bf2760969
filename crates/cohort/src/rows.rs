//! A cohort as a folder of Arrow files with a parcel series in each row, as `brainmarks` keeps them.

use std::path::{Path, PathBuf};

use files::FileIndex;
use scan::{ArrowRows, Attribute, FailureKind, OpenOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    division::SplitConfig,
    entity::{Entities, Entity},
    error::{Error, Result},
    folder::Folder,
    labels::{ENTITY_COLUMNS, LabelTables},
    quality::QcThresholds,
    reason::{Part, Reason},
    recording::{Cohort, Excluded, Recording, RepetitionTime, Source, TrSource},
    root::Root,
    select::{Found, Selection, Wanted},
    spelling::label_from,
    stack::values,
    twice,
    value::{Labels, Value},
};

/// A folder of Arrow files, in it or in folders `train`, `validation` and `test`. Columns of one value a
/// row are labels, and the folder of a file is the label `split` where no column is called so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArrowConfig {
    /// The folder: `hcpya-rest1lr.schaefer400.arrow`.
    pub dir: PathBuf,
    /// The column of the series; `bold` where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Tables about the same people, joined by subject, session, task and run.
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

impl ArrowConfig {
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

    /// Looks at the sizes of rows and reads their labels, no series; `place` finds what the configuration
    /// names; scans that `known` has seen are not opened.
    pub fn index(&self, place: &dyn Fn(&Path) -> PathBuf, known: &FileIndex) -> Result<Cohort> {
        let dir = place(&self.dir);
        let root = Root::new(&dir)?;
        let sought = "no file of it ends in .arrow".to_owned();
        let (recordings, excluded) = (Vec::new(), Vec::new());
        let mut found = Found { path: dir.clone(), sought, cure: None, recordings, excluded };
        for (name, split) in files(&dir)? {
            match root.file(&dir, Path::new(&name), Part::Scan) {
                Ok(path) => self.rows(&path, split.as_deref(), &mut found)?,
                Err(reason) => found.excluded.push(Excluded { name: "a file".to_owned(), reason }),
            }
        }
        twice::number_runs(&mut found.recordings);
        found.same_names()?;
        found.select(self.asked(), known, LabelTables::named(&self.labels, place)?)
    }

    /// Adds the rows of one file.
    fn rows(&self, path: &Path, split: Option<&str>, found: &mut Found) -> Result<()> {
        let dataset = self.column.clone();
        let options = OpenOptions { t_r: self.t_r, dataset, ..OpenOptions::default() };
        let rows = ArrowRows::open(path, &options)?;
        let mut columns: Vec<(String, Vec<Option<Value>>)> = Vec::new();
        let mut who: Vec<(Entity, Vec<Option<String>>)> = Vec::new();
        for name in rows.column_names() {
            let column = rows.column(name)?;
            match entity_of(name) {
                Some(entity) if who.iter().all(|(known, _)| *known != entity) => {
                    who.push((entity, texts(column)));
                }
                _ => columns.push((name.to_owned(), values(column))),
            }
        }
        if !who.iter().any(|(entity, _)| *entity == Entity::Subject) {
            let allowed = ENTITY_COLUMNS[0].1.iter().map(|&name| name.to_owned()).collect();
            let (path, role) = (path.to_path_buf(), "subject");
            return Err(Error::NoColumn { path, role, allowed, settable: false });
        }
        let has_split = columns.iter().any(|(name, _)| name == "split");
        for index in 0..rows.n_rows() {
            let mut labels: Labels = columns
                .iter()
                .filter_map(|(name, values)| Some((name.clone(), values.get(index)?.clone()?)))
                .collect();
            if let Some(split) = split.filter(|_| !has_split) {
                labels.insert("split".to_owned(), Value::Text(split.to_owned()));
            }
            let recording = entities(&who, index).and_then(|entities| {
                let n_frames = rows.n_frames(index).map_err(|problem| {
                    let kind = FailureKind::Shape;
                    Reason::Unreadable { part: Part::Scan, problem, kind }
                })?;
                let t_r = rows.each_t_r()[index];
                Ok(Recording {
                    entities,
                    source: Source::Stack {
                        file: path.to_path_buf(),
                        dataset: rows.series_column().to_owned(),
                        index,
                    },
                    mask: None,
                    kept: None,
                    confounds: None,
                    coverage: None,
                    t_r: t_r.map(|seconds| RepetitionTime { seconds, source: TrSource::Header }),
                    n_frames: Some(n_frames),
                    labels,
                    row: None,
                })
            });
            match recording {
                Ok(recording) => found.recordings.push(recording),
                Err(reason) => {
                    let name = format!("row {} of a file", index + 1);
                    found.excluded.push(Excluded { name, reason });
                }
            }
        }
        Ok(())
    }
}

/// The Arrow files of a folder and of the folders in it, each with the name of its folder; what `datasets`
/// keeps for itself is none.
fn files(dir: &Path) -> Result<Vec<(String, Option<String>)>> {
    const ENDING: &str = ".arrow";
    let list = |path: &Path| {
        Folder::list(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })
    };
    let is_data = |name: &&str| name.ends_with(ENDING) && !name.starts_with("cache-");
    let mut found = Vec::new();
    for name in list(dir)?.names() {
        let path = dir.join(name);
        let is_link = path.symlink_metadata().is_ok_and(|it| it.is_symlink());
        if path.is_dir() {
            // a link to a folder is not followed
            if !is_link {
                let below = list(&path)?;
                let files = below.names().filter(is_data);
                found.extend(files.map(|file| (format!("{name}/{file}"), Some(name.to_owned()))));
            }
        } else if is_data(&name) {
            found.push((name.to_owned(), None));
        }
    }
    Ok(found)
}

/// What a column says of a recording's name.
fn entity_of(name: &str) -> Option<Entity> {
    let small = name.to_lowercase();
    let known = ENTITY_COLUMNS.iter().find(|(_, names)| names.contains(&small.as_str()));
    known.map(|(entity, _)| *entity)
}

/// The values of a column as labels are written.
fn texts(column: Attribute) -> Vec<Option<String>> {
    match column {
        Attribute::Texts(texts) => {
            texts.into_iter().map(|text| (!text.is_empty()).then_some(text)).collect()
        }
        Attribute::Numbers(numbers) => {
            let text = |number: f64| (!number.is_nan()).then(|| number.to_string());
            numbers.into_iter().map(text).collect()
        }
    }
}

/// The name of the recording in a row.
fn entities(who: &[(Entity, Vec<Option<String>>)], index: usize) -> Result<Entities, Reason> {
    let mut entities = Entities::default();
    for (entity, texts) in who {
        let text = texts.get(index).and_then(Option::as_deref).map(str::trim);
        let text = text.map(|text| match entity {
            Entity::Subject => text.strip_prefix("sub-").unwrap_or(text),
            Entity::Session => text.strip_prefix("ses-").unwrap_or(text),
            _ => text,
        });
        match text.map(label_from) {
            Some(Some(label)) => {
                entities.add(*entity, &label);
            }
            None if *entity != Entity::Subject => {}
            _ => return Err(Reason::Label { what: entity.name() }),
        }
    }
    Ok(entities)
}

#[cfg(test)]
mod tests {
    use scan::Split;

    use super::*;

    fn config(dir: &str) -> ArrowConfig {
        serde_json::from_value(serde_json::json!({ "dir": dir })).unwrap()
    }

    fn place(path: &Path) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scan/arrow").join(path)
    }

    fn names(cohort: &Cohort) -> Vec<String> {
        cohort.recordings.iter().map(Recording::name).collect()
    }

    #[test]
    fn rows_are_recordings_with_their_columns_and_folders_as_labels() {
        let mut asked = config("rest.made.arrow");
        asked.split = Some(SplitConfig::Column("split".to_owned()));
        let cohort = asked.index(&place, &FileIndex::unkept()).unwrap();
        assert_eq!(
            names(&cohort),
            ["100206", "100307", "100408", "100610"].map(|id| format!("sub-{id}_task-rest"))
        );
        let first = &cohort.recordings[0];
        let Source::Stack { dataset, index, .. } = &first.source else { panic!("{first:?}") };
        assert_eq!((dataset.as_str(), *index, first.n_frames), ("bold", 0, Some(6)));
        assert_eq!(first.t_r.unwrap().seconds, 0.72);
        assert_eq!(first.labels["age"], Value::Number(26.0));
        let splits = &SplitConfig::Column("split".to_owned()).divide(&cohort).unwrap()[0].splits;
        assert_eq!(splits[..], [Split::Train, Split::Train, Split::Train, Split::Test]);
        asked.query = Some("gender == \"F\" and split == \"train\"".to_owned());
        assert_eq!(asked.index(&place, &FileIndex::unkept()).unwrap().recordings.len(), 2);
    }

    #[test]
    fn a_row_of_another_length_leaves_out_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = place(Path::new("odd_rows.arrow"));
        std::fs::copy(file, dir.path().join("odd.arrow")).unwrap();
        std::fs::write(dir.path().join("cache-1.arrow"), "").unwrap();
        let mut asked = config("");
        asked.t_r = Some(2.0);
        let cohort = asked.index(&|_| dir.path().to_path_buf(), &FileIndex::unkept()).unwrap();
        assert_eq!(names(&cohort), ["sub-a1", "sub-a6"]);
        let left: Vec<String> = cohort.excluded.iter().map(ToString::to_string).collect();
        assert_eq!(
            left[0],
            "row 2 of a file: scan cannot be read: row 1 has frames of 4 parcels, most rows have 5"
        );
        assert_eq!(left.len(), 4);
        asked.t_r = None;
        let said = asked
            .index(&|_| dir.path().to_path_buf(), &FileIndex::unkept())
            .unwrap_err()
            .to_string();
        assert!(said.contains("2 × repetition time unknown"), "{said}");
        // one person twice is two runs
        let file = place(Path::new("odd_rows.arrow"));
        std::fs::copy(file, dir.path().join("odd2.arrow")).unwrap();
        asked.t_r = Some(2.0);
        let cohort = asked.index(&|_| dir.path().to_path_buf(), &FileIndex::unkept()).unwrap();
        assert_eq!(names(&cohort)[..2], ["sub-a1_run-1", "sub-a1_run-2"]);
    }
}
