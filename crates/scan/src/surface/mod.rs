//! Series of the vertices of the cortex: GIFTI and `FreeSurfer`'s `.mgh`, of one hemisphere or of both as
//! one series.
//!
//! ```text
//! one array a frame            (n_vertices) × n_frames      fMRIPrep, FreeSurfer, Workbench
//! one array of two axes        (n_vertices, n_frames)       nilearn
//! .mgh of one voxel a vertex   (n_vertices, 1, 1, n_frames) FreeSurfer
//! ```
//!
//! Left and right lie in two files; where the name of one says which it is (`hemi-L`, `lh.`, `.L.`) and
//! the other lies beside it, both are read as one series, the left hemisphere first.

mod annot;
mod describe;
mod gifti;
mod hemisphere;
mod labels;
mod layout;
mod side;
mod stored;

use std::path::{Path, PathBuf};

pub(crate) use annot::begins as begins_annotation;
pub use describe::SurfaceDescription;
pub(crate) use describe::describe;
pub(crate) use labels::read_labels;

use hemisphere::{Hemisphere, both};
use side::Side;
pub(crate) use side::is_mgh;

use crate::{
    cifti::{BrainModel, BrainModelsAxis, Places},
    dense::Part,
    error::{Error, Result},
    kind::Kind,
    tables::SeriesAxes,
};

/// Series of vertices in one file, or in one for each hemisphere; values are read when asked for.
#[derive(Clone, Debug)]
pub struct SurfaceFile {
    path: PathBuf,
    sides: Vec<Side>,
    places: BrainModelsAxis,
    n_frames: usize,
    given_t_r: Option<f64>,
}

impl SurfaceFile {
    /// Reads what a file says of itself, and the file of the other hemisphere that lies beside it; `axes`
    /// says which axis is time where one array has two.
    ///
    /// # Errors
    /// Where left and right differ in frames or repetition time, and where an array of two axes can be
    /// read in two ways.
    pub fn open(path: impl AsRef<Path>, axes: Option<SeriesAxes>) -> Result<Self> {
        let path = path.as_ref();
        let paths = both(path).map_or_else(|| vec![path.to_path_buf()], Vec::from);
        let mut sides = paths.iter().map(|path| Side::open(path)).collect::<Result<Vec<Side>>>()?;
        side::settle(&mut sides, axes)?;
        let n_frames = sides[0].n_frames();
        if let [left, right] = &sides[..] {
            side::agree(left, right)?;
        }
        let mut offset = 0;
        let models = sides.iter().map(|side| {
            let n = side.n_vertices();
            let places = Places::Vertices { vertices: (0..n).collect(), n_surface: n };
            let structure = side.hemisphere().structure().to_owned();
            offset += n;
            BrainModel { structure, offset: offset - n, places }
        });
        let places = BrainModelsAxis { models: models.collect(), volume: None };
        Ok(Self { path: path.to_path_buf(), sides, places, n_frames, given_t_r: None })
    }

    /// The file that was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The vertices, hemisphere by hemisphere.
    pub fn places(&self) -> &BrainModelsAxis {
        &self.places
    }

    /// Number of frames.
    pub fn n_frames(&self) -> usize {
        self.n_frames
    }

    /// Number of vertices.
    pub fn n_vertices(&self) -> usize {
        self.sides.iter().map(Side::n_vertices).sum()
    }

    /// Uses another repetition time, in seconds, than the file's.
    pub(crate) fn set_t_r(&mut self, t_r: f64) {
        self.given_t_r = Some(t_r);
    }

    /// Seconds between two frames.
    pub fn t_r(&self) -> Result<f64> {
        let own = || self.sides[0].t_r().map(|(t_r, _)| t_r);
        let refuse = |problem| Error::RepetitionTime { path: self.path.clone(), problem };
        self.given_t_r.map_or_else(own, Ok).map_err(refuse)
    }

    /// Where the file has the repetition time.
    pub(crate) fn t_r_source(&self) -> String {
        self.sides[0].t_r().map_or_else(|problem| problem, |(_, source)| source)
    }

    /// The most bytes that reading the values takes.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.sides.iter().map(Side::n_bytes).max().unwrap_or(0)
    }

    /// Shows every value once, a frame of a hemisphere or a series of a vertex at a time.
    pub(crate) fn each(&self, visit: &mut dyn FnMut(Part<'_>)) -> Result<()> {
        let mut offset = 0;
        for side in &self.sides {
            side.each(&mut |part| visit(part.moved(offset)))?;
            offset += side.n_vertices();
        }
        Ok(())
    }
}

/// `lh` or `rh`, where the name of a file says of which hemisphere it is.
pub fn hemisphere_of_name(path: impl AsRef<Path>) -> Option<&'static str> {
    Some(match Hemisphere::of_name(path.as_ref())? {
        Hemisphere::Left => "lh",
        Hemisphere::Right => "rh",
    })
}

/// The files of both hemispheres, the left one first, where a file holds series or labels of one and the
/// other lies beside it.
pub(crate) fn pair_of(path: &Path) -> Option<[PathBuf; 2]> {
    let pair = both(path)?;
    let kind = Kind::of(path).ok()?;
    matches!(kind, Kind::Surface | Kind::Annotation).then_some(pair)
}

#[cfg(test)]
mod tests;
