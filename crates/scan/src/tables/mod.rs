//! Series that are already extracted, and which of their axes is time.

mod header;
pub(crate) mod text;

use std::path::Path;

use ndarray::{ArrayD, Ix2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    atlas::Parcel,
    error::{Error, Result},
    open::{OpenOptions, Scan, open},
    series::ParcelSeries,
};

/// The most bytes a text table may have.
pub(crate) const MAX_TEXT_BYTES: u64 = 1 << 30;

/// Which axis of a table is time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeriesAxes {
    /// `(n_frames, n_parcels)`: a row is a frame.
    TimeParcels,
    /// `(n_parcels, n_frames)`: a row is a parcel.
    ParcelsTime,
    /// The axis of this length is the parcels; a table with both axes of this length is refused.
    ByParcels(usize),
}

/// Reads parcel series from any file that holds them; one with volumes, grayordinates or many
/// subjects is refused.
pub fn read_series(path: impl AsRef<Path>, options: &OpenOptions) -> Result<ParcelSeries> {
    let path = path.as_ref();
    match open(path, options)?.scan {
        Scan::Series(series) => Ok(series),
        other => {
            let (path, found) = (path.to_path_buf(), other.kind().to_owned());
            Err(Error::Unsupported { path, found, expected: "parcel series of one recording" })
        }
    }
}

/// What stands beside the values of a series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) t_r: f64,
    pub(crate) names: Option<Vec<String>>,
    pub(crate) labels: Option<Vec<i32>>,
    /// NaN where there is no place.
    pub(crate) centres: Option<Vec<[f64; 3]>>,
    pub(crate) lost: Vec<i32>,
}

/// Whether the first of two axes is that of the parcels.
pub(crate) fn turned(path: &Path, shape: [usize; 2], axes: SeriesAxes) -> Result<bool> {
    let [n_rows, n_columns] = shape;
    match axes {
        SeriesAxes::TimeParcels => Ok(false),
        SeriesAxes::ParcelsTime => Ok(true),
        SeriesAxes::ByParcels(n) if (n_rows == n) != (n_columns == n) => Ok(n_rows == n),
        SeriesAxes::ByParcels(n) => {
            let (which, cure) = if n_rows == n {
                ("both axes are", "`axes: time_parcels` or `axes: parcels_time` says which is time")
            } else {
                ("no axis is", "expected a column for each parcel")
            };
            let problem =
                format!("the table is {n_rows} × {n_columns} and {which} of {n} parcels; {cure}");
            Err(Error::Axes { path: path.to_path_buf(), problem })
        }
    }
}

/// A table as a series with time first.
pub(crate) fn series_of(
    path: &Path,
    values: ArrayD<f64>,
    axes: SeriesAxes,
    facts: Facts,
) -> Result<ParcelSeries> {
    let found = values.shape().to_vec();
    let values = values.into_dimensionality::<Ix2>().map_err(|_| Error::Dimensions {
        path: path.to_path_buf(),
        found: found.clone(),
        expected: 2,
    })?;
    if values.is_empty() {
        return Err(Error::NoFrames { path: path.to_path_buf(), found });
    }
    let turned = turned(path, values.dim().into(), axes)?;
    let values = if turned { values.reversed_axes() } else { values };
    let values =
        if values.is_standard_layout() { values } else { values.as_standard_layout().into_owned() };
    let n_parcels = values.ncols();
    let fits = |n: usize| n == n_parcels;
    let names = facts.names.filter(|names| fits(names.len())).unwrap_or_default();
    let labels = facts.labels.filter(|labels| fits(labels.len())).unwrap_or_default();
    let centres = facts.centres.filter(|centres| fits(centres.len())).unwrap_or_default();
    let parcel = |index: usize| {
        let label = labels.get(index).copied().unwrap_or(index as i32 + 1);
        let name = names.get(index).cloned().unwrap_or_else(|| format!("label {label}"));
        let centre = centres.get(index).copied();
        Parcel { label, name, centre_mm: centre.filter(|centre| !centre[0].is_nan()) }
    };
    let parcels = (0..n_parcels).map(parcel).collect();
    Ok(ParcelSeries {
        values,
        t_r: facts.t_r,
        parcels,
        lost: facts.lost,
        coverage: None,
        n_nonfinite_frames: 0,
    })
}

#[cfg(test)]
mod tests;
