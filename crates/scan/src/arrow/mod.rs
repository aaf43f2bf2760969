//! Parcel series in the rows of Arrow files, as `brainmarks` keeps cohorts with Hugging Face `datasets`.
//!
//! ```text
//! bold  list of frames, each a list of parcels: z of a parcel in 16 bits
//! mean  the parcel's mean in a list of one, std its deviation: bold · std + mean is the series
//! sub, tr, and columns of labels
//! ```
//!
//! A row is read by itself, from where its numbers lie: batches of such files hold a thousand rows.
//!
//! Source: `brainmarks` 0.1.1 (`datasets/base.py`, the transforms of `models`).

mod describe;
mod flat;
mod schema;
mod stream;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use ndarray::{Array2, ArrayD, IxDyn};

use crate::{
    error::{Error, Result},
    footprint::Footprint,
    h5::Attribute,
    open::{OpenOptions, plausible},
    series::ParcelSeries,
    tables::{Facts, SeriesAxes, series_of},
};
pub use describe::ArrowDescription;
use schema::Type;
use stream::{Matrix, Reader, Stream};

/// The column of the series where none is named.
const SERIES: &str = "bold";

/// What undoes the z of a parcel.
const SCALE: [&str; 2] = ["mean", "std"];

/// Columns that say the repetition time in seconds.
const T_R: [&str; 3] = ["tr", "t_r", "repetition_time"];

/// An Arrow file with a parcel series in each row; one row is read at a time.
#[derive(Clone, Debug)]
pub struct ArrowRows {
    path: PathBuf,
    series: String,
    stream: Arc<Stream>,
    /// Frames and parcels of each row; a sentence where it has none.
    shapes: Vec<Result<[usize; 2], String>>,
    n_parcels: usize,
    t_r: Vec<Option<f64>>,
}

impl ArrowRows {
    /// Opens a file and looks at the size of every row; `dataset` of the options names the column of the
    /// series, `bold` unless it is given.
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        let path = path.as_ref();
        let stream = Stream::open(path)?;
        let series = options.dataset.clone().unwrap_or_else(|| SERIES.to_owned());
        let Some(column) = stream.column(&series) else {
            let names: Vec<&str> =
                stream.schema.columns.iter().map(|it| it.name.as_str()).collect();
            let problem = format!("has no column {series}; it has {}", names.join(", "));
            return Err(stream.refuse(problem));
        };
        let is_list = |of: &Type| matches!(of, Type::List { .. } | Type::FixedList { .. });
        if !is_list(&column.of) || !is_list(&column.below[0].of) {
            let problem =
                format!("column {series} holds no lists of lists, expected frames of parcels");
            return Err(stream.refuse(problem));
        }
        let mut reader = stream.reader()?;
        let mut shapes = Vec::new();
        for row in 0..stream.n_rows() {
            shapes.push(match reader.shape(column, row) {
                Ok(Some([0, _] | [_, 0]) | None) => Err(format!("row {row} holds no {series}")),
                Ok(Some(shape)) => scale_fits(&stream, &mut reader, row, shape[1]).map(|()| shape),
                Err(Error::Arrow { problem, .. }) => Err(problem),
                Err(error) => return Err(error),
            });
        }
        let mut counts = BTreeMap::new();
        for [_, n_parcels] in shapes.iter().flatten() {
            *counts.entry(*n_parcels).or_insert(0) += 1;
        }
        let commonest = counts.iter().max_by_key(|(_, n)| **n).map(|(n_parcels, _)| *n_parcels);
        let Some(n_parcels) = commonest else {
            return Err(stream.refuse(format!("holds no row with a series in column {series}")));
        };
        let t_r = t_r_of_each(&stream, options)?;
        let (path, stream) = (path.to_path_buf(), Arc::new(stream));
        Ok(Self { path, series, stream, shapes, n_parcels, t_r })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The column of the series.
    pub fn series_column(&self) -> &str {
        &self.series
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.shapes.len()
    }

    /// Parcels of most rows.
    pub fn n_parcels(&self) -> usize {
        self.n_parcels
    }

    /// Frames of a row; a sentence where it has another number of parcels than most, or no series.
    pub fn n_frames(&self, row: usize) -> Result<usize, String> {
        match self.shapes.get(row) {
            Some(Ok([n_frames, n_parcels])) if *n_parcels == self.n_parcels => Ok(*n_frames),
            Some(Ok([_, found])) => Err(format!(
                "row {row} has frames of {found} parcels, most rows have {}",
                self.n_parcels
            )),
            Some(Err(problem)) => Err(problem.clone()),
            None => Err(format!("has {} rows, none at position {row}", self.n_rows())),
        }
    }

    /// Frames of the longest row.
    pub fn max_frames(&self) -> usize {
        self.shapes.iter().flatten().map(|[n_frames, _]| *n_frames).max().unwrap_or(0)
    }

    /// Seconds between two frames of each row, where the file says it.
    pub fn each_t_r(&self) -> &[Option<f64>] {
        &self.t_r
    }

    /// Seconds between two frames; none where rows differ or do not say it.
    pub fn t_r(&self) -> Option<f64> {
        let first = *self.t_r.first()?;
        first.filter(|_| self.t_r.iter().all(|t_r| *t_r == first))
    }

    /// Where the repetition time comes from, in words.
    pub(crate) fn t_r_source(&self) -> String {
        let column = T_R.iter().find(|name| self.stream.column(name).is_some());
        column.map_or("no column says it".to_owned(), |name| format!("column {name}, in s"))
    }

    /// Names of the columns with one number or text a row, beside the repetition time.
    pub fn column_names(&self) -> Vec<&str> {
        let is_label = |of: &Type| {
            matches!(of, Type::Int { .. } | Type::Float { .. } | Type::Bool | Type::Text { .. })
        };
        let columns = self.stream.schema.columns.iter().filter(|it| is_label(&it.of));
        columns.map(|it| it.name.as_str()).filter(|name| !T_R.contains(name)).collect()
    }

    /// Every column with the words for what it holds, and whether that is text.
    pub(crate) fn columns(&self) -> Vec<(String, &'static str)> {
        let words = |of: &Type| match of {
            Type::Int { .. } => "whole numbers",
            Type::Float { .. } => "numbers",
            Type::Bool => "true or false",
            Type::Text { .. } => "text",
            Type::List { .. } | Type::FixedList { .. } => "lists",
            Type::Struct | Type::Opaque { .. } => "what is not read",
        };
        self.stream.schema.columns.iter().map(|it| (it.name.clone(), words(&it.of))).collect()
    }

    /// One value a row: NaN or an empty text where it is missing.
    pub fn column(&self, name: &str) -> Result<Attribute> {
        let column = self
            .stream
            .column(name)
            .ok_or_else(|| self.stream.refuse(format!("has no column {name}")))?;
        let mut reader = self.stream.reader()?;
        if matches!(column.of, Type::Text { .. }) {
            let text = |row| Ok(reader.text(column, row)?.unwrap_or_default());
            return Ok(Attribute::Texts((0..self.n_rows()).map(text).collect::<Result<_>>()?));
        }
        let number = |row| Ok(reader.number(column, row)?.unwrap_or(f64::NAN));
        Ok(Attribute::Numbers((0..self.n_rows()).map(number).collect::<Result<_>>()?))
    }

    /// The series of one row, in the units that it was measured in: `bold · std + mean` where the file has
    /// these columns.
    pub fn read_at(&self, row: usize) -> Result<ParcelSeries> {
        let refuse = |problem: String| self.stream.refuse(problem);
        let n_frames = self.n_frames(row).map_err(refuse)?;
        let problem = || "the file does not say it, so it must be given (`t_r`)".to_owned();
        let t_r = self.t_r[row];
        let t_r = t_r
            .ok_or_else(|| Error::RepetitionTime { path: self.path.clone(), problem: problem() })?;
        let mut reader = self.stream.reader()?;
        let mut read = |name: &str| -> Result<Option<Vec<f64>>> {
            let Some(column) = self.stream.column(name) else { return Ok(None) };
            Ok(reader.matrix(column, row)?.map(|found| found.values))
        };
        let [mean, std] = SCALE.map(&mut read);
        let scale = mean?.zip(std?);
        let column = self.stream.column(&self.series).expect("it was found");
        let found = reader.matrix(column, row)?;
        let Matrix { shape, values } =
            found.ok_or_else(|| refuse(format!("row {row} is empty")))?;
        debug_assert_eq!(shape, [n_frames, self.n_parcels]);
        let mut values = Array2::from_shape_vec((shape[0], shape[1]), values)
            .map_err(|_| refuse(format!("row {row} is damaged")))?;
        if let Some((mean, std)) = scale {
            for mut frame in values.rows_mut() {
                for (parcel, value) in frame.iter_mut().enumerate() {
                    *value = *value * std[parcel] + mean[parcel];
                }
            }
        }
        let values: ArrayD<f64> = values.into_shape_with_order(IxDyn(&shape)).expect("two axes");
        let facts = Facts { t_r, ..Facts::default() };
        series_of(&self.path, values, SeriesAxes::TimeParcels, facts)
    }

    /// What reading one row takes.
    pub(crate) fn footprint(&self) -> Footprint {
        let n_values = (self.max_frames() as u64).saturating_mul(self.n_parcels as u64);
        // as stored, in 64 bits, and in our order; what is known of every row
        let n_bytes = n_values.saturating_mul(24).saturating_add(64 * self.n_rows() as u64);
        Footprint { n_voxels: 0, n_values, n_bytes: n_bytes.saturating_add(1 << 20) }
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        self.stream.n_bytes()
    }
}

/// Refuses a row whose mean and deviation are not one of each parcel.
fn scale_fits(
    stream: &Stream,
    reader: &mut Reader<'_>,
    row: usize,
    n_parcels: usize,
) -> Result<(), String> {
    let mut shape = |name: &str| match stream.column(name) {
        Some(column) => reader.shape(column, row).map_err(|error| match error {
            Error::Arrow { problem, .. } => problem,
            other => other.to_string(),
        }),
        None => Ok(None),
    };
    let [mean, std] = SCALE.map(&mut shape);
    match (mean?, std?) {
        (None, None) => Ok(()),
        (Some(mean), Some(std)) => match [("mean", mean), ("std", std)]
            .into_iter()
            .find(|(_, shape)| *shape != [1, n_parcels])
        {
            None => Ok(()),
            Some((name, found)) => {
                Err(format!("row {row} has {name} of shape {found:?}, expected [1, {n_parcels}]"))
            }
        },
        _ => Err(format!("row {row} has one of mean and std, expected both or none")),
    }
}

/// The repetition time of each row in seconds.
fn t_r_of_each(stream: &Stream, options: &OpenOptions) -> Result<Vec<Option<f64>>> {
    if let Some(given) = options.given_t_r()? {
        return Ok(vec![Some(given); stream.n_rows()]);
    }
    let Some(column) = T_R.iter().find_map(|name| stream.column(name)) else {
        return Ok(vec![None; stream.n_rows()]);
    };
    if !matches!(column.of, Type::Int { .. } | Type::Float { .. }) {
        return Err(stream.refuse(format!("column {} holds no numbers", column.name)));
    }
    let mut reader = stream.reader()?;
    let single = column.of == Type::Float { bits: 32 };
    (0..stream.n_rows())
        .map(|row| {
            let Some(found) = reader.number(column, row)? else { return Ok(None) };
            // 0.72 in 32 bits is meant to be 0.72
            let t_r = if single { shortest(found as f32) } else { found };
            plausible(t_r).map_err(|problem| {
                stream.refuse(format!("column {} of row {row} is {t_r} s, {problem}", column.name))
            })?;
            Ok(Some(t_r))
        })
        .collect()
}

/// The number with the fewest digits that 32 bits hold as this one.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// The series of one recording in a file of many, HDF5 or Arrow.
pub fn read_stacked(path: &Path, index: usize, options: &OpenOptions) -> Result<ParcelSeries> {
    if is_arrow(path)? {
        return ArrowRows::open(path, options)?.read_at(index);
    }
    crate::h5::CohortFile::open(path, options)?.read_at(index)
}

fn is_arrow(path: &Path) -> Result<bool> {
    use std::io::Read as _;
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    let mut start = Vec::new();
    std::fs::File::open(path).map_err(attach)?.take(6).read_to_end(&mut start).map_err(attach)?;
    Ok(begins(&start))
}

/// Whether a file that begins so is one of Arrow's.
pub(crate) fn begins(start: &[u8]) -> bool {
    start.starts_with(b"ARROW1") || start.starts_with(&[0xff; 4])
}

#[cfg(test)]
mod tests;
