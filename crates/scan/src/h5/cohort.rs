//! One file of many subjects: `/parcel_ts` (subject, time, parcel) and `/subject_ids`.

use std::{path::Path, sync::Arc};

use super::{
    attributes::Attribute,
    chunks::Heavy,
    dataset::Dataset,
    file::Hdf5File,
    guarded,
    joined::{self, Part},
    scan::{DEFAULT_DATASET, T_R, facts, scaled, scaling, series_axes, t_r},
    tree::NodeKind,
};
use crate::{
    error::{Error, Result},
    open::{OpenOptions, plausible},
    series::ParcelSeries,
    tables::{Facts, SeriesAxes, series_of, turned},
};

/// Names under which the ids of the subjects stand where none is given.
const IDS: [&str; 4] = ["subject_ids", "subject_id", "subjects", LONG_IDS];

/// Ids of recordings rather than subjects: one may stand there several times.
const LONG_IDS: &str = "long_subject_id";

/// Frames of each recording, where the others are padding.
const N_FRAMES: &str = "ts_len";

/// Parcel series of many subjects in one file; one subject is read at a time, never the whole.
///
/// Shorter recordings are padded with frames of NaN, which reading takes off again.
#[derive(Clone, Debug)]
pub struct CohortFile {
    file: Hdf5File,
    dataset: String,
    heavy: Arc<Heavy>,
    subjects: Vec<String>,
    shape: [usize; 3],
    axes: SeriesAxes,
    facts: Facts,
    scaling: Option<(f64, f64)>,
    /// Datasets whose parcels follow.
    joined: Vec<Part>,
    /// Frames of each recording, where the file says it.
    n_frames: Option<Vec<usize>>,
    /// Seconds, one a subject.
    t_r: Vec<f64>,
    t_r_source: String,
}

impl CohortFile {
    /// Opens a file and reads the ids; `dataset` is `/parcel_ts` unless it is given.
    ///
    /// The order of the axes is (subject, time, parcel) unless the options or the attribute
    /// `axis_order` say otherwise.
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let name = options.dataset.as_deref().unwrap_or(DEFAULT_DATASET);
        let file = Hdf5File::open(&path)?;
        guarded(path.as_ref(), || Self::of(file, name, options))
    }

    pub(super) fn of(file: Hdf5File, name: &str, options: &OpenOptions) -> Result<Self> {
        let dataset = file.dataset(name)?;
        let Ok(shape) = <[usize; 3]>::try_from(dataset.shape()) else {
            let found = format!(
                "has shape {:?}, expected three axes (subjects, frames, parcels)",
                dataset.shape()
            );
            return Err(dataset.refuse(&found));
        };
        let subjects = ids(&file, name, options, shape[0])?;
        let (t_r, t_r_source) = t_r_of_each(&dataset, options, shape[0])?;
        let n_frames = n_frames_of_each(&file, name, shape[0])?;
        let mut facts = facts(&dataset, f64::NAN)?;
        let (asked, joined) = if options.join.is_empty() {
            (None, Vec::new())
        } else {
            facts = Facts { t_r: f64::NAN, ..Facts::default() };
            let (axes, joined) = joined::parts(&file, &dataset, options)?;
            (Some(axes), joined)
        };
        let axes = match asked {
            Some(axes) => axes,
            None => recognised(&file, &dataset, &shape, options, &facts)?,
        };
        let scaling = scaling(&dataset, options)?;
        let heavy = Arc::clone(dataset.check_storage()?);
        drop(dataset);
        Ok(Self {
            file,
            dataset: name.to_owned(),
            heavy,
            subjects,
            shape,
            axes,
            facts,
            scaling,
            joined,
            n_frames,
            t_r,
            t_r_source,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The dataset with the series.
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// Ids in the order of the file, each once unless they are those of recordings.
    pub fn subjects(&self) -> &[String] {
        &self.subjects
    }

    /// Whether ids are those of recordings, of which a subject may have several.
    pub fn repeats(&self) -> bool {
        let mut ids: Vec<&String> = self.subjects.iter().collect();
        ids.sort();
        ids.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// Frames of the longest recording, with the padding of the others.
    pub fn max_frames(&self) -> usize {
        if self.axes == SeriesAxes::ParcelsTime { self.shape[2] } else { self.shape[1] }
    }

    /// Number of parcels.
    pub fn n_parcels(&self) -> usize {
        let first =
            if self.axes == SeriesAxes::ParcelsTime { self.shape[1] } else { self.shape[2] };
        first + self.joined.iter().map(|part| part.n_parcels).sum::<usize>()
    }

    /// Seconds between two frames; none where subjects differ.
    pub fn t_r(&self) -> Option<f64> {
        self.t_r.first().copied().filter(|first| self.t_r.iter().all(|t_r| t_r == first))
    }

    /// Seconds between two frames of each subject, in the order of
    /// [`subjects`](Self::subjects).
    pub fn each_t_r(&self) -> &[f64] {
        &self.t_r
    }

    /// Where the repetition time comes from.
    pub fn t_r_source(&self) -> &str {
        &self.t_r_source
    }

    /// The series of one subject.
    pub fn read(&self, subject: &str) -> Result<ParcelSeries> {
        let index = self.subjects.iter().position(|id| id == subject).ok_or_else(|| {
            let n = self.subjects.len();
            self.refuse(format!("holds no subject {subject:?} among its {n}"))
        })?;
        self.read_at(index)
    }

    /// The series of the subject at a position of [`subjects`](Self::subjects), without the frames
    /// of padding at its end.
    pub fn read_at(&self, index: usize) -> Result<ParcelSeries> {
        guarded(self.path(), || self.series_at(index))
    }

    fn series_at(&self, index: usize) -> Result<ParcelSeries> {
        if index >= self.subjects.len() {
            let n = self.subjects.len();
            return Err(self.refuse(format!("holds {n} subjects, none at position {index}")));
        }
        let dataset = self.file.dataset(&self.dataset)?.already_checked(&self.heavy);
        let mut values = scaled(dataset.at(0, index)?, self.scaling);
        if !self.joined.is_empty() {
            values = joined::read(&self.file, values, &self.joined, self.axes, index)?;
        }
        let facts = Facts { t_r: self.t_r[index], ..self.facts.clone() };
        let mut series = series_of(self.path(), values, self.axes, facts)?;
        if let Some(n) = self.n_frames.as_ref().map(|each| each[index]) {
            if n > series.n_frames() {
                let problem = format!(
                    "{N_FRAMES} says {n} frames at position {index}, the series has {}",
                    series.n_frames()
                );
                return Err(self.refuse(problem));
            }
            series.values = series.values.slice(ndarray::s![..n, ..]).to_owned();
        }
        let padding = series.values.rows().into_iter().rev();
        let padding = padding.take_while(|frame| frame.iter().all(|x| x.is_nan())).count();
        let n_frames = series.n_frames() - padding;
        if n_frames == 0 {
            let problem = format!("holds no frame of its subject at position {index}, only NaN");
            return Err(self.refuse(problem));
        }
        if padding > 0 {
            series.values = series.values.slice(ndarray::s![..n_frames, ..]).to_owned();
        }
        Ok(series)
    }

    /// Groups that datasets of labels may stand in: those around the series, and `labels` in them.
    fn label_groups(&self) -> Vec<String> {
        let around = Hdf5File::groups_of(&self.dataset);
        let around = around.into_iter().map(|group| group.trim_end_matches('/').to_owned());
        around.flat_map(|group| [group.clone(), format!("{group}/labels")]).collect()
    }

    /// Names of the datasets around the series that hold one value a subject: age, site, split, ….
    pub fn column_names(&self) -> Result<Vec<String>> {
        let groups = self.label_groups();
        let named = |path: &str| {
            let (group, name) = path.rsplit_once('/')?;
            groups.iter().any(|it| it == group).then(|| name.to_owned())
        };
        let mut names: Vec<String> = Vec::new();
        for node in self.file.nodes()? {
            match node.kind {
                NodeKind::Dataset { shape, .. } if shape == [self.subjects.len()] => {
                    names.extend(named(&node.path).filter(|name| !names.contains(name)));
                }
                _ => {}
            }
        }
        names.retain(|it| {
            !IDS.contains(&it.as_str()) && !T_R.contains(&it.as_str()) && it != N_FRAMES
        });
        Ok(names)
    }

    /// One value a subject, in the order of [`subjects`](Self::subjects).
    pub fn column(&self, name: &str) -> Result<Attribute> {
        guarded(self.path(), || self.values_of(name))
    }

    fn values_of(&self, name: &str) -> Result<Attribute> {
        let mut found = None;
        for group in self.label_groups() {
            found = self.file.dataset_if_any(&format!("{group}/{name}"))?;
            if found.is_some() {
                break;
            }
        }
        let column = match found {
            Some(column) => column,
            None => self.file.dataset(name)?,
        };
        if column.shape() != [self.subjects.len()] {
            let n = self.subjects.len();
            let found = format!(
                "has shape {:?}, expected one value for each of {n} subjects",
                column.shape()
            );
            return Err(column.refuse(&found));
        }
        if column.is_numeric() {
            Ok(Attribute::Numbers(column.values()?.into_iter().collect()))
        } else {
            Ok(Attribute::Texts(column.texts()?))
        }
    }

    fn refuse(&self, problem: String) -> Error {
        Error::Hdf5 { path: self.path().to_path_buf(), problem }
    }
}

/// Which axis of one dataset is time.
fn recognised(
    file: &Hdf5File,
    dataset: &Dataset,
    shape: &[usize; 3],
    options: &OpenOptions,
    facts: &Facts,
) -> Result<SeriesAxes> {
    let axes = match series_axes(dataset, options, facts.names.as_deref()) {
        Err(Error::Axes { .. }) => SeriesAxes::TimeParcels,
        axes => axes?,
    };
    let turned = turned(file.path(), [shape[1], shape[2]], axes)?;
    Ok(if turned { SeriesAxes::ParcelsTime } else { SeriesAxes::TimeParcels })
}

/// The dataset of a name in the groups around the series, the innermost first.
fn around<'a>(file: &'a Hdf5File, series: &str, name: &str) -> Result<Option<Dataset<'a>>> {
    for group in Hdf5File::groups_of(series) {
        let found = file.dataset_if_any(&format!("{group}/{name}"))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Frames of each recording, where a dataset says it.
fn n_frames_of_each(file: &Hdf5File, series: &str, n: usize) -> Result<Option<Vec<usize>>> {
    let Some(column) = around(file, series, N_FRAMES)? else { return Ok(None) };
    if column.shape() != [n] || !column.is_numeric() {
        return Ok(None);
    }
    Ok(Some(column.values()?.iter().map(|&n| n.max(0.0) as usize).collect()))
}

/// Repetition times in seconds, one a subject, and where they come from: a dataset of one value a
/// subject, else what holds for all.
fn t_r_of_each(
    dataset: &Dataset,
    options: &OpenOptions,
    n_subjects: usize,
) -> Result<(Vec<f64>, String)> {
    let for_all = t_r(dataset, options);
    if options.t_r.is_none() {
        let file = dataset.file;
        let group = Hdf5File::groups_of(&dataset.name).into_iter().next().unwrap_or_default();
        for name in T_R {
            let column = file.dataset_if_any(&format!("{group}/{name}"))?;
            let Some(column) = column.filter(|column| column.shape() == [n_subjects]) else {
                continue;
            };
            let each: Vec<f64> = column.values()?.into_iter().collect();
            if let Some((found, problem)) =
                each.iter().find_map(|&t_r| Some((t_r, plausible(t_r).err()?)))
            {
                let problem = format!("dataset {name} holds {found} s, {problem}");
                let path = file.path().to_path_buf();
                return Err(Error::RepetitionTime { path, problem });
            }
            // A value for all that says the same says it with more digits.
            let same = |t_r: &f64| each.iter().all(|each| (each - t_r).abs() <= 1e-6 * t_r);
            if !for_all.as_ref().is_ok_and(|(t_r, _)| same(t_r)) {
                return Ok((each, format!("dataset {name}, one value a subject, in s")));
            }
        }
    }
    for_all.map(|(t_r, source)| (vec![t_r; n_subjects], source))
}

/// One id a subject, each once.
fn ids(
    file: &Hdf5File,
    series: &str,
    options: &OpenOptions,
    n_subjects: usize,
) -> Result<Vec<String>> {
    let dataset = if let Some(name) = &options.subject_ids {
        file.dataset(name)?
    } else {
        let mut found = None;
        for name in IDS {
            found = around(file, series, name)?;
            if found.is_some() {
                break;
            }
        }
        found.ok_or_else(|| {
            let problem = "has three axes, but no `subject_ids` stand beside it; name their \
                           dataset with `subject_ids`";
            file.refuse(series, problem)
        })?
    };
    let ids = if dataset.is_numeric() && dataset.matlab_class.is_none() {
        dataset.values()?.iter().map(ToString::to_string).collect()
    } else {
        dataset.texts()?
    };
    if ids.len() != n_subjects {
        let found = ids.len();
        let problem = format!("holds {found} ids for {n_subjects} subjects of the series");
        return Err(dataset.refuse(&problem));
    }
    let mut sorted: Vec<&String> = ids.iter().collect();
    sorted.sort();
    if sorted.first().is_some_and(|id| id.trim().is_empty()) {
        return Err(dataset.refuse("holds an id that is empty"));
    }
    let may_repeat = dataset.name.ends_with(LONG_IDS);
    if !may_repeat && sorted.iter().zip(&sorted[1..]).any(|(id, next)| id == next) {
        return Err(dataset.refuse("holds an id twice"));
    }
    Ok(ids)
}
