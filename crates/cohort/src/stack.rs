//! A cohort as one HDF5 file: `/parcel_ts` (subject, time, parcel) and `/subject_ids`.

use std::path::{Path, PathBuf};

use files::FileIndex;
use scan::{Attribute, CohortFile, OpenOptions, SeriesAxes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tables::Column;

use crate::{
    division::SplitConfig,
    entity::{Entities, Entity},
    error::Result,
    labels::LabelTables,
    quality::QcThresholds,
    reason::Reason,
    recording::{Cohort, Excluded, Recording, RepetitionTime, Source, TrSource},
    select::{Found, Selection, Wanted},
    twice,
    value::{Labels, Value},
};

/// One HDF5 file with the parcel series of many subjects. Datasets of one value a subject beside
/// the series are labels: age, sex, site, split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hdf5Config {
    /// The file.
    pub file: PathBuf,
    /// Path of the series in it; `/parcel_ts` where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Paths of more series in it, whose parcels follow those of `dataset`: Brain-Semantoks keeps
    /// `timeseries/schaefer400`, `timeseries/tian3` and `timeseries/buckner7`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<String>,
    /// Path of the ids in it; `subject_ids` beside the series where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_ids: Option<String>,
    /// Which axis after the subjects is time, where the file does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axes: Option<SeriesAxes>,
    /// Tables about the same people, joined by subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<PathBuf>,
    /// Which recordings are wanted: `age >= 50 and site == "A"`.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Quality thresholds for leaving out recordings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qc_thresholds: Option<QcThresholds>,
    /// Repetition time of all recordings in seconds; overrides the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t_r: Option<f64>,
    /// Division into train, validation and test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitConfig>,
}

impl Hdf5Config {
    /// How the file is opened, to read a recording of it.
    pub fn options(&self) -> OpenOptions {
        OpenOptions {
            t_r: self.t_r,
            axes: self.axes,
            dataset: self.dataset.clone(),
            join: self.join.clone(),
            subject_ids: self.subject_ids.clone(),
            ..OpenOptions::default()
        }
    }

    /// Refuses what is wrong whatever the file holds.
    pub fn check(&self) -> Result<()> {
        self.asked(&Wanted::new()).check().map(drop)
    }

    fn asked<'a>(&'a self, entities: &'a Wanted) -> Selection<'a> {
        Selection {
            entities,
            query: self.query.as_deref(),
            qc_thresholds: self.qc_thresholds.as_ref(),
            t_r: self.t_r,
            split: self.split.as_ref(),
        }
    }

    /// Reads the ids and the labels, no series; `place` finds what the configuration names; scans that `known` has seen are not opened.
    pub fn index(&self, place: &dyn Fn(&Path) -> PathBuf, known: &FileIndex) -> Result<Cohort> {
        let path = place(&self.file);
        let file = CohortFile::open(&path, &self.options())?;
        let mut columns = Vec::new();
        for name in file.column_names()? {
            let column = file.column(&name)?;
            columns.push((name, column));
        }
        let named = columns.into_iter().map(|(name, column)| (name, values(column)));
        let columns: Vec<(String, Vec<Option<Value>>)> = named.collect();
        let labels_of = |index: usize| -> Labels {
            let named = columns
                .iter()
                .map(|(name, values)| Some((name.clone(), values.get(index)?.clone()?)));
            named.flatten().collect()
        };
        let sought = format!("/{} has no subject", file.dataset().trim_matches('/'));
        let (recordings, excluded) = (Vec::new(), Vec::new());
        let mut found = Found { path: path.clone(), sought, cure: None, recordings, excluded };
        for (index, id) in file.subjects().iter().enumerate() {
            let mut entities = Entities::default();
            let id = id.trim();
            if !entities.add(Entity::Subject, id.strip_prefix("sub-").unwrap_or(id)) {
                let name = format!("subject {} of the file", index + 1);
                found.excluded.push(Excluded { name, reason: Reason::Label { what: "subject" } });
                continue;
            }
            // the key of a result names every dataset that it is made of
            let datasets = [file.dataset().to_owned()].into_iter().chain(self.join.clone());
            let dataset = datasets.collect::<Vec<_>>().join(" + ");
            let seconds = file.each_t_r()[index];
            found.recordings.push(Recording {
                entities,
                source: Source::Stack { file: path.clone(), dataset, index },
                mask: None,
                confounds: None,
                coverage: None,
                t_r: Some(RepetitionTime { seconds, source: TrSource::Header }),
                n_frames: Some(file.max_frames()),
                kept: None,
                labels: labels_of(index),
                row: None,
            });
        }
        if file.repeats() {
            twice::number_runs(&mut found.recordings);
        }
        found.same_names()?;
        found.select(self.asked(&Wanted::new()), known, LabelTables::named(&self.labels, place)?)
    }
}

/// The labels of a dataset; no number and an empty text are missing.
pub(crate) fn values(column: Attribute) -> Vec<Option<Value>> {
    match column {
        Attribute::Numbers(numbers) => {
            let value = |number: f64| (!number.is_nan()).then_some(Value::Number(number));
            numbers.into_iter().map(value).collect()
        }
        Attribute::Texts(texts) => {
            let cells = texts.into_iter().map(|text| (!text.is_empty()).then_some(text));
            Value::of_column(&Column::Text(cells.collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use scan::{CohortWriter, ParcelSeries, Split};

    use super::*;
    use crate::testing::write;

    fn file(dir: &Path, ids: &[&str]) -> PathBuf {
        let path = dir.join("cohort.h5");
        let series = |seed: usize, n_frames: usize| {
            let values = Array2::from_shape_fn((n_frames, 3), |(t, p)| (seed + t * 3 + p) as f64);
            let parcels = (1..=3).map(|label| scan::Parcel {
                label,
                name: format!("P{label}"),
                centre_mm: None,
            });
            ParcelSeries {
                values,
                t_r: 0.72,
                parcels: parcels.collect(),
                lost: Vec::new(),
                coverage: None,
                n_nonfinite_frames: 0,
            }
        };
        let mut writer = CohortWriter::create(&path, 8, &series(0, 8)).unwrap();
        for (seed, id) in ids.iter().enumerate() {
            writer.push(id, &series(seed, 8 - seed)).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    fn config(table: Option<&str>) -> Hdf5Config {
        Hdf5Config {
            file: "cohort.h5".into(),
            dataset: None,
            join: vec![],
            subject_ids: None,
            axes: None,
            labels: table.map(PathBuf::from).into_iter().collect(),
            query: None,
            qc_thresholds: None,
            t_r: None,
            split: None,
        }
    }

    #[test]
    fn subjects_of_a_file_are_recordings_with_the_labels_of_a_table() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), &["sub-01", "02", "x_y", "04"]);
        let table = "participant_id,age,split\nsub-01,61,train\nsub-02,35,test\nsub-04,70,choose\n";
        write(&dir.path().join("people.csv"), table);
        let place = |path: &Path| dir.path().join(path);
        let mut asked = config(Some("people.csv"));
        asked.query = Some("age > 40".into());
        let cohort = asked.index(&place, &FileIndex::unkept()).unwrap();
        let names: Vec<String> = cohort.recordings.iter().map(Recording::name).collect();
        assert_eq!(names, ["sub-01", "sub-04"]);
        let left_out: Vec<String> = cohort.excluded.iter().map(ToString::to_string).collect();
        assert_eq!(
            left_out,
            [
                "sub-02: `where` is not true",
                "subject 3 of the file: subject is not a label of letters, digits and +",
            ]
        );
        let last = &cohort.recordings[1];
        let Source::Stack { index, .. } = last.source else { panic!("{last:?}") };
        assert_eq!((index, last.n_frames), (3, Some(8)));
        assert_eq!(last.t_r.unwrap(), RepetitionTime { seconds: 0.72, source: TrSource::Header });
        let series = CohortFile::open(place(Path::new("cohort.h5")), &asked.options()).unwrap();
        assert_eq!(series.read_at(index).unwrap().values[[0, 0]], 3.0);
        let split = SplitConfig::Column("split".to_owned()).divide(&cohort).unwrap();
        assert_eq!(split[0].splits, [Split::Train, Split::Validation]);
    }

    #[test]
    fn recordings_of_one_subject_are_runs() {
        let mut asked = config(None);
        asked.dataset = Some("timeseries/schaefer400".to_owned());
        asked.join = vec!["timeseries/tian3".to_owned(), "timeseries/buckner7".to_owned()];
        asked.t_r = Some(2.0);
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/scan");
        let cohort =
            asked.index(&|_| fixture.join("brain_semantoks.h5"), &FileIndex::unkept()).unwrap();
        let names: Vec<String> = cohort.recordings.iter().map(Recording::name).collect();
        assert_eq!(names, ["sub-s1_run-1", "sub-s1_run-2", "sub-s2"]);
        assert_eq!(cohort.recordings[2].labels["age_reg"], Value::Number(40.25));
        let Source::Stack { dataset, index, .. } = &cohort.recordings[1].source else { panic!() };
        let all = "timeseries/schaefer400 + timeseries/tian3 + timeseries/buckner7";
        assert_eq!((dataset.as_str(), *index), (all, 2));
    }

    #[test]
    fn two_spellings_of_one_subject_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), &["sub-01", "01"]);
        let error = config(None)
            .index(&|path| dir.path().join(path), &FileIndex::unkept())
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("cohort.h5: two recordings have the same name"), "{error}");
    }
}
