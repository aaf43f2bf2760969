//! CIFTI-2 files: series, maps and labels on surfaces and in voxels at once.
//!
//! A CIFTI file is a NIfTI-2 file of a two-dimensional matrix; an XML extension of its header says
//! what rows and columns are. Source: CIFTI-2 specification, 1 March 2014.

mod axes;
mod labels;
mod xml;

use std::path::{Path, PathBuf};

use ndarray::{Array2, ShapeBuilder};
use nifti::Endianness;

pub use axes::{
    BrainModel, BrainModelsAxis, CiftiAxis, CiftiParcel, CiftiVolume, LabelMap, Place, Places,
    SeriesAxis,
};
pub(crate) use labels::read_labels;

use crate::{
    atlas::Parcel,
    error::{Error, Result},
    nii::{Decoder, Header, open, open_with_extensions},
    open::plausible,
    series::ParcelSeries,
};

/// Code of the extension that carries the XML.
pub(crate) const CIFTI_EXTENSION: i32 = 32;

/// A CIFTI file whose axes are read and checked; the matrix is read when asked for.
#[derive(Clone, Debug)]
pub struct CiftiFile {
    path: PathBuf,
    axes: [CiftiAxis; 2],
    shape: [usize; 2],
    /// Seconds, where the user knows better than the file.
    given_t_r: Option<f64>,
}

impl CiftiFile {
    /// Reads and checks the axes.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (_, header, extensions) = open_with_extensions(path, true)?;
        let refuse = |problem: String| Error::Cifti { path: path.to_path_buf(), problem };
        let shape = matrix_shape(&header)
            .ok_or_else(|| refuse(format!("its shape {:?} is no matrix", header.dims)))?;
        let bytes = extension(&extensions, header.endianness)
            .ok_or_else(|| refuse("its header carries no XML (extension 32)".to_owned()))?;
        let text = std::str::from_utf8(bytes).map_err(|error| refuse(error.to_string()))?;
        let axes = xml::axes(text.trim_matches(['\0', ' ', '\n', '\r'])).map_err(refuse)?;
        let described = [axes[0].n_positions(), axes[1].n_positions()];
        if described != shape {
            let problem = format!("its matrix is {shape:?}, its XML describes {described:?}");
            return Err(refuse(problem));
        }
        Ok(Self { path: path.to_path_buf(), axes, shape, given_t_r: None })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What rows and columns are: time is the first of a series.
    pub fn axes(&self) -> &[CiftiAxis; 2] {
        &self.axes
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The whole matrix, `(rows, columns)`.
    pub fn values(&self) -> Result<Array2<f64>> {
        let [n_rows, n_columns] = self.shape;
        let mut values = Vec::new();
        values.try_reserve_exact(n_rows * n_columns).map_err(|_| Error::OutOfMemory {
            path: self.path.clone(),
            n_bytes: 8 * (n_rows * n_columns) as u64,
        })?;
        self.each_column(&mut |_, column| values.extend_from_slice(column))?;
        let shape = (n_rows, n_columns).f();
        Ok(Array2::from_shape_vec(shape, values).expect("columns follow each other in the file"))
    }

    /// Shows every column once, in the order of the file, without holding the matrix.
    pub fn each_column(&self, visit: &mut dyn FnMut(usize, &[f64])) -> Result<()> {
        let [n_rows, n_columns] = self.shape;
        let (mut source, header) = open(&self.path)?;
        if matrix_shape(&header) != Some(self.shape) {
            return Err(Error::Changed { path: self.path.clone() });
        }
        let decoder = Decoder::of(&header);
        let mut bytes = vec![0; n_rows * header.dtype.size_of()];
        let mut column = vec![0.0; n_rows];
        for index in 0..n_columns {
            source.fill_all(&mut bytes, header.promised())?;
            decoder.reorder(&mut bytes);
            decoder.all(&bytes, &mut column);
            visit(index, &column);
        }
        source.finish()
    }

    /// Uses another repetition time, in seconds, than the file's.
    pub(crate) fn set_t_r(&mut self, t_r: f64) {
        self.given_t_r = Some(t_r);
    }

    /// Seconds between two rows.
    pub fn t_r(&self) -> Result<f64> {
        if let Some(t_r) = self.given_t_r
            && matches!(self.axes[0], CiftiAxis::Series(_))
        {
            return Ok(t_r);
        }
        let refuse =
            |problem: &str| Error::Cifti { path: self.path.clone(), problem: problem.to_owned() };
        match &self.axes[0] {
            CiftiAxis::Series(series) if series.unit == "SECOND" => {
                let t_r = series.step;
                let far = |expected| refuse(&format!("its rows are {t_r} s apart, {expected}"));
                plausible(t_r).map(|()| t_r).map_err(far)
            }
            CiftiAxis::Series(_) => Err(refuse("its rows are no steps in time")),
            _ => Err(refuse("its rows are no series")),
        }
    }

    /// The series of a `.ptseries.nii`, `(n_frames, n_parcels)`.
    pub fn parcel_series(&self) -> Result<ParcelSeries> {
        let CiftiAxis::Parcels(parcels) = &self.axes[1] else {
            let problem = "its columns are no parcels".to_owned();
            return Err(Error::Cifti { path: self.path.clone(), problem });
        };
        let parcels = parcels.iter().zip(1..).map(|(parcel, label)| Parcel {
            label,
            name: parcel.name.clone(),
            centre_mm: None,
        });
        let (t_r, parcels) = (self.t_r()?, parcels.collect());
        let (values, lost, coverage) = (self.values()?, Vec::new(), None);
        Ok(ParcelSeries { values, t_r, parcels, lost, coverage, n_nonfinite_frames: 0 })
    }
}

/// Rows and columns: the fifth and the sixth axis, after four of one.
fn matrix_shape(header: &Header) -> Option<[usize; 2]> {
    let dims = &header.dims;
    let alone = dims.len() <= 6 && dims[..dims.len().min(4)].iter().all(|&n| n == 1);
    let size = |axis: usize| dims.get(axis).copied().unwrap_or(1);
    alone.then(|| [size(4), size(5)])
}

/// The content of the extension with the XML, among all.
fn extension(mut bytes: &[u8], endianness: Endianness) -> Option<&[u8]> {
    let number = |bytes: [u8; 4]| match endianness {
        Endianness::Little => i32::from_le_bytes(bytes),
        Endianness::Big => i32::from_be_bytes(bytes),
    };
    loop {
        let (size, rest) = bytes.split_first_chunk::<4>()?;
        let (code, _) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(number(*size)).ok().filter(|size| *size >= 8)?;
        let content = bytes.get(8..size.min(bytes.len()))?;
        if number(*code) == CIFTI_EXTENSION {
            return Some(content);
        }
        bytes = bytes.get(size..)?;
    }
}

#[cfg(test)]
mod tests;
