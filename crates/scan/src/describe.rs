//! What a file of any form is, and which of its fields may hold private text, without that text.

use std::path::{Path, PathBuf};

use nifti::Endianness;
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    arrow::ArrowDescription,
    cifti::{CiftiAxis, CiftiFile, Places},
    error::{Error, Result},
    h5::{Hdf5File, Hdf5Node, NodeKind},
    inspect::{Inspection, inspect},
    kind::Kind,
    matlab::{self, MatlabDescription},
    nii::{self, dtype_name},
    open::OpenOptions,
    surface::{self, SurfaceDescription},
    tables::{
        MAX_TEXT_BYTES,
        text::{self, Head, Text},
    },
    tensor::TensorFile,
};

/// The facts of one file, by its form.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Description {
    /// Volumes with geometry, or `FreeSurfer`'s image of one voxel a vertex.
    Nifti(Box<Inspection>),
    /// A matrix with described axes.
    Cifti(CiftiDescription),
    /// Values or labels of the vertices of the cortex.
    Surface(SurfaceDescription),
    /// Groups and datasets.
    Hdf5(Hdf5Description),
    /// Rows with a series each.
    Arrow(ArrowDescription),
    /// Variables of MATLAB.
    Matlab(MatlabDescription),
    /// One array, or a table of numbers.
    Array(ArrayDescription),
}

/// The facts of a CIFTI file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CiftiDescription {
    /// The file.
    pub path: PathBuf,
    /// `cifti2`
    pub format: &'static str,
    /// Size on disk in bytes.
    pub n_bytes: u64,
    /// `little` or `big`.
    pub byte_order: &'static str,
    /// How numbers are stored.
    pub dtype: String,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// What rows are.
    pub rows: String,
    /// What columns are.
    pub columns: String,
    /// Repetition time in seconds.
    pub t_r: Option<f64>,
    /// Where the repetition time comes from, or why there is none.
    pub t_r_source: String,
    /// Values that are NaN or infinite, and the range of the others.
    #[serde(flatten)]
    pub values: ValueFacts,
    /// Names of the free-text header fields that hold something.
    pub private_fields: Vec<&'static str>,
}

/// The facts of an HDF5 file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hdf5Description {
    /// The file.
    pub path: PathBuf,
    /// `hdf5`
    pub format: &'static str,
    /// Size on disk in bytes.
    pub n_bytes: u64,
    /// The dataset that is read where none is named.
    pub dataset: Option<String>,
    /// Repetition time of that dataset in seconds.
    pub t_r: Option<f64>,
    /// Where the repetition time comes from, or why there is none.
    pub t_r_source: String,
    /// Text attributes and text datasets, by name.
    pub private_fields: Vec<String>,
    /// What the file holds, by path.
    #[serde(serialize_with = "by_path")]
    pub objects: Vec<Hdf5Node>,
}

/// The facts of an array or a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArrayDescription {
    /// The file.
    pub path: PathBuf,
    /// `npy`, `pytorch` or `text`.
    pub format: &'static str,
    /// Size on disk in bytes.
    pub n_bytes: u64,
    /// `little` or `big`; none for text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub byte_order: Option<&'static str>,
    /// How numbers are stored.
    pub dtype: String,
    /// Size along each axis, the slowest first.
    pub shape: Vec<usize>,
    /// Whether a first row names the columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named_columns: Option<bool>,
    /// Whether a second line describes the columns and was left out, of a text table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub described_columns: Option<bool>,
    /// Repetition time in seconds: none, for these files do not say it.
    pub t_r: Option<f64>,
    /// Why there is none.
    pub t_r_source: String,
    /// Values that are NaN or infinite, and the range of the others.
    #[serde(flatten)]
    pub values: ValueFacts,
}

/// Values that are no numbers, and the range of those that are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ValueFacts {
    /// Number of values that are NaN or infinite.
    pub n_nonfinite: u64,
    /// Smallest and largest finite value.
    pub value_range: Option<[f64; 2]>,
}

impl ValueFacts {
    pub(crate) fn add(&mut self, values: impl IntoIterator<Item = f64>) {
        for value in values {
            if value.is_finite() {
                let [low, high] = self.value_range.unwrap_or([value, value]);
                self.value_range = Some([low.min(value), high.max(value)]);
            } else {
                self.n_nonfinite += 1;
            }
        }
    }
}

/// Reads a file of any form and says what is in it. All but HDF5 are read to the last value.
pub fn describe(path: impl AsRef<Path>) -> Result<Description> {
    let path = path.as_ref();
    Ok(match Kind::of(path)? {
        Kind::Nifti => Description::Nifti(Box::new(inspect(path)?)),
        Kind::Cifti => Description::Cifti(cifti(path)?),
        Kind::Surface if surface::is_mgh(path)? => Description::Nifti(Box::new(inspect(path)?)),
        Kind::Surface | Kind::Annotation => Description::Surface(surface::describe(path)?),
        Kind::Hdf5 => Description::Hdf5(hdf5(path)?),
        Kind::Arrow => Description::Arrow(ArrowDescription::read(path)?),
        Kind::Matlab => Description::Matlab(matlab::describe(path)?),
        Kind::Tensor => Description::Array(tensor(path)?),
        Kind::Text => Description::Array(table(path)?),
    })
}

fn cifti(path: &Path) -> Result<CiftiDescription> {
    let (source, header) = nii::open(path)?;
    let file = CiftiFile::open(path)?;
    let mut values = ValueFacts::default();
    file.each_column(&mut |_, column| values.add(column.iter().copied()))?;
    let (t_r, t_r_source) = match (file.t_r(), &file.axes()[0]) {
        (Ok(t_r), _) => (Some(t_r), "series step of the CIFTI axes".to_owned()),
        (Err(Error::Cifti { problem, .. }), CiftiAxis::Series(_)) => (None, problem),
        (Err(_), _) => (None, "no time axis".to_owned()),
    };
    let [rows, columns] = [0, 1].map(|axis| words(&file.axes()[axis]));
    Ok(CiftiDescription {
        path: path.to_path_buf(),
        format: "cifti2",
        n_bytes: source.n_bytes,
        byte_order: if header.endianness == Endianness::Big { "big" } else { "little" },
        dtype: dtype_name(header.dtype),
        shape: file.shape(),
        rows,
        columns,
        t_r,
        t_r_source,
        values,
        private_fields: header.private_fields,
    })
}

/// What an axis is, with the sizes of its parts but without the names that files invent.
fn words(axis: &CiftiAxis) -> String {
    match axis {
        CiftiAxis::Series(series) => {
            let (n, unit) = (series.n_points, series.unit.to_lowercase());
            format!("{n} steps of {} {unit} from {}", series.step, series.start)
        }
        CiftiAxis::BrainModels(models) => {
            let count = |surface: bool| -> usize {
                let of = models
                    .models
                    .iter()
                    .filter(|model| matches!(model.places, Places::Vertices { .. }) == surface);
                of.map(|model| model.places.n_places()).sum()
            };
            let n = models.models.len();
            format!("{} vertices and {} voxels of {n} structures", count(true), count(false))
        }
        CiftiAxis::Parcels(parcels) => format!("{} parcels", parcels.len()),
        CiftiAxis::Scalars(names) => format!("{} maps", names.len()),
        CiftiAxis::Labels(maps) => format!("{} label maps", maps.len()),
    }
}

fn hdf5(path: &Path) -> Result<Hdf5Description> {
    let file = Hdf5File::open(path)?;
    let objects = file.nodes()?;
    let mut private_fields = Vec::new();
    for object in &objects {
        if matches!(&object.kind, NodeKind::Dataset { dtype, .. } if dtype == "text") {
            private_fields.push(object.path.clone());
        }
        let texts = object.attributes.iter().filter(|attribute| attribute.is_text);
        private_fields.extend(texts.map(|attribute| format!("{}@{}", object.path, attribute.name)));
    }
    let options = OpenOptions::default();
    let (dataset, t_r, t_r_source) = match file.default_dataset(&options) {
        Err(error) => (None, None, problem_of(error)),
        Ok((name, Ok((t_r, place)))) => (Some(name), Some(t_r), place),
        Ok((name, Err(error))) => (Some(name), None, problem_of(error)),
    };
    Ok(Hdf5Description {
        path: path.to_path_buf(),
        format: "hdf5",
        n_bytes: file.n_bytes(),
        dataset,
        t_r,
        t_r_source,
        private_fields,
        objects,
    })
}

/// The reason of an error, without the name of the file.
fn problem_of(error: Error) -> String {
    match error {
        Error::Hdf5 { problem, .. } | Error::RepetitionTime { problem, .. } => problem,
        other => other.to_string(),
    }
}

fn tensor(path: &Path) -> Result<ArrayDescription> {
    let file = TensorFile::open(path)?;
    let mut values = ValueFacts::default();
    values.add(file.values_f32()?.iter().map(|&x| f64::from(x)));
    let entry = file.entry();
    let is_numpy = file.format() == formats::Format::Npy;
    Ok(ArrayDescription {
        path: path.to_path_buf(),
        format: if is_numpy { "npy" } else { "pytorch" },
        n_bytes: size_of_file(path)?,
        byte_order: Some(if entry.big_endian { "big" } else { "little" }),
        dtype: entry.dtype.to_string().to_lowercase(),
        shape: entry.shape.clone(),
        named_columns: None,
        described_columns: None,
        t_r: None,
        t_r_source: "an array does not say it".to_owned(),
        values,
    })
}

fn table(path: &Path) -> Result<ArrayDescription> {
    let Text { values: matrix, head, is_described } = text::read(path, MAX_TEXT_BYTES, None)?;
    let mut values = ValueFacts::default();
    values.add(matrix.iter().copied());
    Ok(ArrayDescription {
        path: path.to_path_buf(),
        format: "text",
        n_bytes: size_of_file(path)?,
        byte_order: None,
        dtype: "decimal numbers".to_owned(),
        shape: matrix.shape().to_vec(),
        named_columns: Some(head != Head::None),
        described_columns: is_described.then_some(true),
        t_r: None,
        t_r_source: "a table does not say it".to_owned(),
        values,
    })
}

pub(crate) fn size_of_file(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path);
    metadata
        .map(|metadata| metadata.len())
        .map_err(|source| Error::Read { path: path.to_path_buf(), source })
}

fn by_path<S: Serializer>(nodes: &[Hdf5Node], to: S) -> std::result::Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(nodes.len()))?;
    for node in nodes {
        map.serialize_entry(&node.path, node)?;
    }
    map.end()
}
