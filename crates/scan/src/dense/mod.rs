//! Series of places of the brain, vertices and voxels, whatever file they are in; and atlases of them.

mod means;

use std::path::Path;

pub use means::GrayordinateAtlas;
pub(crate) use means::{Labelled, background};

use crate::{
    cifti::{BrainModelsAxis, CiftiAxis, CiftiFile},
    error::{Error, Result},
    kind::Kind,
    surface::SurfaceFile,
    tables::SeriesAxes,
};

/// A series of vertices and voxels in a file; values are read when asked for.
#[derive(Clone, Debug)]
pub enum DenseSeries {
    /// A `.dtseries.nii`.
    Cifti(CiftiFile),
    /// GIFTI, of one hemisphere or of both.
    Surface(SurfaceFile),
}

/// Some values of a dense series.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    /// All frames of one place.
    Place { place: usize, values: &'a [f64] },
    /// One frame of the places from `first` on.
    Frame { frame: usize, first: usize, values: &'a [f64] },
}

impl Part<'_> {
    /// The same of places that lie so many further on.
    pub(crate) fn moved(self, by: usize) -> Self {
        match self {
            Self::Place { place, values } => Self::Place { place: place + by, values },
            Self::Frame { frame, first, values } => {
                Self::Frame { frame, first: first + by, values }
            }
        }
    }
}

impl DenseSeries {
    /// The dense series in a file; none where it holds something else. Its values are not read.
    pub fn of(path: impl AsRef<Path>, axes: Option<SeriesAxes>) -> Result<Option<Self>> {
        let path = path.as_ref();
        Ok(match Kind::of(path)? {
            Kind::Cifti => {
                let file = CiftiFile::open(path)?;
                let is_dense =
                    matches!(file.axes(), [CiftiAxis::Series(_), CiftiAxis::BrainModels(_)]);
                is_dense.then_some(Self::Cifti(file))
            }
            Kind::Surface => Some(Self::Surface(SurfaceFile::open(path, axes)?)),
            _ => None,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Cifti(file) => file.path(),
            Self::Surface(file) => file.path(),
        }
    }

    /// Number of frames.
    pub fn n_frames(&self) -> usize {
        match self {
            Self::Cifti(file) => file.shape()[0],
            Self::Surface(file) => file.n_frames(),
        }
    }

    /// Seconds between two frames.
    pub fn t_r(&self) -> Result<f64> {
        match self {
            Self::Cifti(file) => file.t_r(),
            Self::Surface(file) => file.t_r(),
        }
    }

    /// Where the file has the repetition time.
    pub(crate) fn t_r_source(&self) -> String {
        match self {
            Self::Cifti(_) => "series step of the CIFTI axes".to_owned(),
            Self::Surface(file) => file.t_r_source(),
        }
    }

    /// Uses another repetition time, in seconds, than the file's.
    pub(crate) fn set_t_r(&mut self, t_r: f64) {
        match self {
            Self::Cifti(file) => file.set_t_r(t_r),
            Self::Surface(file) => file.set_t_r(t_r),
        }
    }

    /// What the places are.
    pub fn places(&self) -> Result<&BrainModelsAxis> {
        match self {
            Self::Cifti(file) => match &file.axes()[1] {
                CiftiAxis::BrainModels(places) => Ok(places),
                _ => Err(self.refuse("its columns are no places of the brain".to_owned())),
            },
            Self::Surface(file) => Ok(file.places()),
        }
    }

    /// An error about this file.
    fn refuse(&self, problem: String) -> Error {
        let path = self.path().to_path_buf();
        match self {
            Self::Cifti(_) => Error::Cifti { path, problem },
            Self::Surface(_) => Error::Surface { path, problem },
        }
    }

    /// Shows every value once, a place or a frame at a time, without holding more than one file's text.
    pub(crate) fn each(&self, visit: &mut dyn FnMut(Part<'_>)) -> Result<()> {
        match self {
            Self::Cifti(file) => {
                file.each_column(&mut |place, values| visit(Part::Place { place, values }))
            }
            Self::Surface(file) => file.each(visit),
        }
    }
}
