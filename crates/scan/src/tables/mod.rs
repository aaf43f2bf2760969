//! Series that are already extracted: text tables, `.npy`, CIFTI parcel series. The content of a
//! file decides what it is, not its name.

mod npy;
mod text;

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use ndarray::{Array2, ArrayD, Ix2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use npy::{read_npy, write_npy};

use crate::{
    atlas::Parcel,
    cifti::CiftiFile,
    error::{Error, Result},
    series::ParcelSeries,
};

/// The most bytes a text table may have.
const MAX_TEXT_BYTES: u64 = 1 << 30;

/// Which axis of a table is time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeriesAxes {
    /// `(n_frames, n_parcels)`: a row is a frame.
    TimeParcels,
    /// `(n_parcels, n_frames)`: a row is a parcel.
    ParcelsTime,
    /// The axis of this many positions is that of the parcels; a table in which both are is
    /// refused.
    ByParcels(usize),
}

/// What a table does not say itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesOptions {
    /// Which axis is time.
    pub axes: SeriesAxes,
    /// Repetition time in seconds; needed for everything but CIFTI, and used instead of what that
    /// says.
    #[serde(default)]
    pub t_r: Option<f64>,
}

/// Reads parcel series from text (blank, tab, comma or semicolon separated, with a row of names
/// or without), `.npy`, or `.ptseries.nii`.
pub fn read_series(path: impl AsRef<Path>, options: &SeriesOptions) -> Result<ParcelSeries> {
    let path = path.as_ref();
    let mut series = match Kind::of(path)? {
        Kind::Cifti => CiftiFile::open(path)?.parcel_series()?,
        Kind::Npy => with_time_first(path, matrix(path, read_npy(path)?)?, None, options)?,
        Kind::Text => {
            let (values, names) = text::read(path, MAX_TEXT_BYTES)?;
            with_time_first(path, values, names, options)?
        }
    };
    if let Some(t_r) = options.t_r {
        if !(t_r.is_finite() && t_r > 0.0) {
            return Err(Error::BadRepetitionTime { found: t_r });
        }
        series.t_r = t_r;
    }
    Ok(series)
}

enum Kind {
    Cifti,
    Npy,
    Text,
}

impl Kind {
    fn of(path: &Path) -> Result<Self> {
        let attach = |source| Error::Read { path: path.to_path_buf(), source };
        let mut start = Vec::new();
        File::open(path).map_err(attach)?.take(8).read_to_end(&mut start).map_err(attach)?;
        let unsupported = |found: &str| {
            let (path, found) = (path.to_path_buf(), found.to_owned());
            let expected = "text, .npy or .ptseries.nii";
            Err(Error::Unsupported { path, found, expected })
        };
        match start.as_slice() {
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Ok(Self::Npy),
            [0x1f, 0x8b, ..] | [0x1c, 2, 0, 0, ..] | [0, 0, 2, 0x1c, ..] => Ok(Self::Cifti),
            [0x89, b'H', b'D', b'F', ..] => unsupported("an HDF5 file"),
            [b'P', b'K', 3, 4, ..] => unsupported("a zip archive, as PyTorch writes"),
            _ => Ok(Self::Text),
        }
    }
}

fn matrix(path: &Path, values: ArrayD<f64>) -> Result<Array2<f64>> {
    let found = values.shape().to_vec();
    values.into_dimensionality::<Ix2>().map_err(|_| Error::Dimensions {
        path: path.to_path_buf(),
        found,
        expected: 2,
    })
}

fn with_time_first(
    path: &Path,
    values: Array2<f64>,
    names: Option<Vec<String>>,
    options: &SeriesOptions,
) -> Result<ParcelSeries> {
    let (n_rows, n_columns) = values.dim();
    let ambiguous = |problem: String| Error::Axes { path: path.to_path_buf(), problem };
    let turned = match options.axes {
        SeriesAxes::TimeParcels => false,
        SeriesAxes::ParcelsTime => true,
        SeriesAxes::ByParcels(n) if (n_rows == n) != (n_columns == n) => n_rows == n,
        SeriesAxes::ByParcels(n) => {
            let which = if n_rows == n { "both axes are" } else { "no axis is" };
            let shape = format!("{n_rows} × {n_columns}");
            return Err(ambiguous(format!("the table is {shape} and {which} of {n} parcels")));
        }
    };
    let t_r = options.t_r.ok_or_else(|| Error::RepetitionTime {
        path: PathBuf::from(path),
        problem: "a table does not say it, so it must be given".to_owned(),
    })?;
    let values = if turned { values.reversed_axes() } else { values };
    let values = values.as_standard_layout().into_owned();
    let names = names.filter(|_| !turned).unwrap_or_default();
    let parcel = |label: usize| Parcel {
        label: label as i32,
        name: names.get(label - 1).cloned().unwrap_or_else(|| format!("label {label}")),
        centre_mm: None,
    };
    let parcels = (1..=values.ncols()).map(parcel).collect();
    Ok(ParcelSeries { values, t_r, parcels, lost: Vec::new() })
}

#[cfg(test)]
mod tests;
