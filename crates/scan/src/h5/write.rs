//! Series to HDF5, one recording or a cohort; what is written reads back as it was.

use std::path::{Path, PathBuf};

use files::Aside;
use hdf5::{Dataset, File, Group, Selection, types::VarLenUnicode};
use ndarray::{Array2, ArrayView2, s};

use super::{file::words, scan::DEFAULT_DATASET};
use crate::{
    error::{Error, Result},
    series::ParcelSeries,
};

/// Deflate level: beyond it files hardly become smaller.
const GZIP: u8 = 4;

/// Bytes of a chunk of a single recording, about.
const CHUNK_BYTES: usize = 1 << 20;

/// Writes a recording: `/parcel_ts` (time, parcel) with the attributes `TR` (seconds), `units` and
/// `axis_order`, and the names, labels and places of the parcels beside it.
///
/// The file appears under its name only when it is whole.
pub fn write_hdf5(path: impl AsRef<Path>, series: &ParcelSeries) -> Result<()> {
    let path = path.as_ref();
    let aside = Aside::new(path).map_err(|source| unwritten(path, source))?;
    let write = || {
        let file = File::create(aside.path())?;
        let (n_frames, n_parcels) = series.values.dim();
        let frames = (CHUNK_BYTES / 8 / n_parcels.max(1)).clamp(1, n_frames.max(1));
        let values = series.values.as_standard_layout();
        let builder = file.new_dataset_builder().obj_track_times(false);
        let dataset = if series.values.is_empty() {
            builder.with_data(&values).create(DEFAULT_DATASET)?
        } else {
            let packed = builder.chunk((frames, n_parcels)).shuffle().deflate(GZIP);
            packed.with_data(&values).create(DEFAULT_DATASET)?
        };
        describe(&dataset, series.t_r, "time,parcels")?;
        parcels(&file, series)?;
        file.close()
    };
    write().map_err(|error| failed(path, &error))?;
    aside.keep().map_err(|source| unwritten(path, source))
}

/// Writes a cohort file subject by subject: `/parcel_ts` (subject, time, parcel) and
/// `/subject_ids`, one chunk a subject, shorter recordings padded with NaN.
///
/// The file appears under its name when it is [finished](Self::finish); one that is dropped before
/// leaves nothing behind.
#[derive(Debug)]
pub struct CohortWriter {
    path: PathBuf,
    aside: Aside,
    file: File,
    dataset: Dataset,
    ids: Vec<String>,
    first: ParcelSeries,
    n_frames: usize,
}

impl CohortWriter {
    /// Begins a file of recordings of at most `n_frames` frames, with the parcels and the
    /// repetition time of `like`.
    pub fn create(path: impl AsRef<Path>, n_frames: usize, like: &ParcelSeries) -> Result<Self> {
        let path = path.as_ref();
        let n_parcels = like.n_parcels();
        if n_frames == 0 || n_parcels == 0 {
            return Err(Error::EmptyArray { found: vec![n_frames, n_parcels] });
        }
        let aside = Aside::new(path).map_err(|source| unwritten(path, source))?;
        let create = || {
            let file = File::create(aside.path())?;
            let builder = file.new_dataset::<f64>().obj_track_times(false);
            let builder = builder.chunk((1, n_frames, n_parcels)).shuffle().deflate(GZIP);
            let dataset = builder
                .fill_value(f64::NAN)
                .shape((0.., n_frames, n_parcels))
                .create(DEFAULT_DATASET)?;
            describe(&dataset, like.t_r, "subjects,time,parcels")?;
            Ok((file, dataset))
        };
        let (file, dataset) = create().map_err(|error| failed(path, &error))?;
        let first = ParcelSeries { values: Array2::zeros((0, n_parcels)), ..like.clone() };
        Ok(Self {
            path: path.to_path_buf(),
            aside,
            file,
            dataset,
            ids: Vec::new(),
            first,
            n_frames,
        })
    }

    /// Adds a subject.
    pub fn push(&mut self, subject: &str, series: &ParcelSeries) -> Result<()> {
        let refuse = |problem: String| Error::Hdf5 { path: self.path.clone(), problem };
        if self.ids.iter().any(|id| id == subject) || subject.trim().is_empty() {
            return Err(refuse(format!("cannot hold the id {subject:?}: it is there or empty")));
        }
        let expected = &self.first;
        if series.n_frames() > self.n_frames
            || series.n_parcels() != expected.n_parcels()
            || series.t_r != expected.t_r
        {
            return Err(refuse(format!(
                "cannot hold {} frames of {} parcels at {} s, expected at most {} of {} at {} s",
                series.n_frames(),
                series.n_parcels(),
                series.t_r,
                self.n_frames,
                expected.n_parcels(),
                expected.t_r,
            )));
        }
        let index = self.ids.len();
        let values: ArrayView2<f64> = series.values.view();
        let write = || {
            self.dataset.resize((index + 1, self.n_frames, series.n_parcels()))?;
            let part = Selection::try_new(s![index, ..series.n_frames(), ..])?;
            self.dataset.write_slice(&values.as_standard_layout(), part)
        };
        write().map_err(|error| failed(&self.path, &error))?;
        self.ids.push(subject.to_owned());
        Ok(())
    }

    /// Writes the ids and gives the file its name.
    pub fn finish(self) -> Result<()> {
        let Self { path, aside, file, dataset, ids, first, .. } = self;
        let finish = || {
            texts(&file, "subject_ids", &ids)?;
            parcels(&file, &first)?;
            drop(dataset);
            file.close()
        };
        finish().map_err(|error| failed(&path, &error))?;
        aside.keep().map_err(|source| unwritten(&path, source))
    }
}

/// Repetition time and the order of the axes.
fn describe(dataset: &Dataset, t_r: f64, axes: &str) -> hdf5::Result<()> {
    dataset.new_attr::<f64>().create("TR")?.write_scalar(&t_r)?;
    for (name, text) in [("units", "sec"), ("axis_order", axes)] {
        dataset.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&unicode(text)?)?;
    }
    Ok(())
}

/// What the columns are.
fn parcels(file: &Group, series: &ParcelSeries) -> hdf5::Result<()> {
    let parcels = &series.parcels;
    let names: Vec<String> = parcels.iter().map(|parcel| parcel.name.clone()).collect();
    texts(file, "parcel_names", &names)?;
    let plain = || file.new_dataset_builder().obj_track_times(false);
    let labels: Vec<i32> = parcels.iter().map(|parcel| parcel.label).collect();
    plain().with_data(&labels).create("parcel_labels")?;
    let none = [f64::NAN; 3];
    let centres: Vec<f64> =
        parcels.iter().flat_map(|parcel| parcel.centre_mm.unwrap_or(none)).collect();
    let centres = Array2::from_shape_vec((parcels.len(), 3), centres)?;
    plain().with_data(&centres).create("parcel_centres_mm")?;
    plain().with_data(&series.lost).create("lost_labels")?;
    Ok(())
}

pub(super) fn texts(file: &Group, name: &str, texts: &[String]) -> hdf5::Result<()> {
    let texts: Vec<VarLenUnicode> =
        texts.iter().map(|text| unicode(text)).collect::<hdf5::Result<_>>()?;
    file.new_dataset_builder().obj_track_times(false).with_data(&texts).create(name)?;
    Ok(())
}

fn unicode(text: &str) -> hdf5::Result<VarLenUnicode> {
    text.parse().map_err(|_| hdf5::Error::from("a name holds a NUL"))
}

pub(super) fn failed(path: &Path, error: &hdf5::Error) -> Error {
    unwritten(path, std::io::Error::other(words(error)))
}

pub(super) fn unwritten(path: &Path, source: std::io::Error) -> Error {
    Error::Write { path: path.to_path_buf(), source }
}
