//! Parcels: which voxel belongs to which region, what the regions are called and where they are.
//!
//! Atlases are the user's files and are never bundled: several carry licences that forbid it. The
//! digest of the file goes into the record of a run.

mod coverage;
mod extract;
mod listed;
pub(crate) mod maps;
mod names;
mod regions;

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

pub use extract::{ExtractConfig, WorkingGrid};
pub use maps::MapName;
pub use names::{read_parcels, read_places};
pub use regions::Reduction;

use crate::{
    bold::Volume,
    digest::sha256_file,
    error::{Error, Result},
    geometry::Grid,
    nii::{StoredImage, read_values_with_grid, sized_grid},
};

/// How far labels may lie from whole numbers without a slope: 32 bits after a slope was applied.
const ROUNDING: f64 = 1e-3;

/// One region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parcel {
    /// The value of its voxels in the labels image.
    pub label: i32,
    /// What the names file calls it, or its label in words.
    pub name: String,
    /// Its place in mm: from the coordinates file, else the mean of its voxel centres; none for a
    /// region that no voxel carries and no file places.
    pub centre_mm: Option<[f64; 3]>,
}

/// A labels image with names and coordinates. Background is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Atlas {
    grid: Grid,
    /// x fastest.
    labels: Vec<i32>,
    /// Ascending labels.
    parcels: Vec<Parcel>,
    sha256: String,
}

impl Atlas {
    /// Reads a labels image; its numbers must be whole.
    ///
    /// ```no_run
    /// let atlas = scan::Atlas::read("A424+2mm.nii.gz")?
    ///     .with_names("A424_labels.txt")?
    ///     .with_coordinates("A424_Coordinates.dat")?;
    /// assert_eq!(atlas.n_parcels(), 424);
    /// # Ok::<(), scan::Error>(())
    /// ```
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_map(path, None)
    }

    /// As [`read`](Self::read), one map of an image of several; they are counted from 1.
    pub fn read_map(path: impl AsRef<Path>, map: Option<&MapName>) -> Result<Self> {
        let path = path.as_ref();
        let StoredImage { values, dims, affine, step } = read_values_with_grid(path)?;
        let (shape, values) = match dims[..] {
            [x, y, z, n] if n > 1 => {
                let names = vec![String::new(); n];
                let at = maps::chosen(&names, map)
                    .map_err(|problem| Error::Axes { path: path.to_path_buf(), problem })?;
                let n_voxels = x * y * z;
                ([x, y, z], values[at * n_voxels..(at + 1) * n_voxels].to_vec())
            }
            _ => (sized_grid(path, &dims)?, values),
        };
        let grid = Grid { shape, affine };
        // a slope puts whole labels on steps of its own: half a step is as near as one can be
        let limit = step.map_or(ROUNDING, |step| (step.abs() / 2.0).max(ROUNDING));
        let whole = |x: f64| {
            // as nilearn reads them
            let x = if x.is_finite() { x } else { 0.0 };
            let label = x.round();
            let fits = (x - label).abs() <= limit && label.abs() <= f64::from(i32::MAX);
            fits.then_some(label as i32).ok_or(x)
        };
        let labels: std::result::Result<Vec<i32>, f64> = values.into_iter().map(whole).collect();
        let labels = labels.map_err(|found| Error::Label { path: path.to_path_buf(), found })?;
        Self::new(grid, labels, sha256_file(path)?)
            .ok_or_else(|| Error::NoLabels { path: path.to_path_buf() })
    }

    /// Takes the labels of an image in memory; values are rounded.
    pub fn from_volume(labels: &Volume) -> Result<Self> {
        let values: Vec<i32> = labels.x_fastest().iter().map(|x| x.round() as i32).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        Self::new(labels.grid().clone(), values, files::sha256_bytes(&bytes))
            .ok_or_else(|| Error::NoLabels { path: "an image in memory".into() })
    }

    fn new(grid: Grid, labels: Vec<i32>, sha256: String) -> Option<Self> {
        let [nx, ny, _] = grid.shape;
        let mut sums: BTreeMap<i32, ([f64; 3], f64)> = BTreeMap::new();
        for (position, &label) in labels.iter().enumerate().filter(|(_, label)| **label != 0) {
            let voxel = [position % nx, position / nx % ny, position / (nx * ny)];
            let (sum, n) = sums.entry(label).or_default();
            *n += 1.0;
            sum.iter_mut().zip(voxel).for_each(|(sum, place)| *sum += place as f64);
        }
        let parcels: Vec<Parcel> = sums
            .into_iter()
            .map(|(label, (sum, n))| {
                let centre_mm = Some(grid.affine.apply(sum.map(|x| x / n)));
                Parcel { label, name: format!("label {label}"), centre_mm }
            })
            .collect();
        (!parcels.is_empty()).then_some(Self { grid, labels, parcels, sha256 })
    }

    /// Takes names from a table: labels and names in any column, or one name a line in the order
    /// of the labels. Labels that no voxel carries become parcels too.
    pub fn with_names(mut self, path: impl AsRef<Path>) -> Result<Self> {
        take_names(&mut self.parcels, path.as_ref(), &[0])?;
        Ok(self)
    }

    /// Takes coordinates in mm from a table: a label and three numbers, or three numbers a line in
    /// the order of the labels.
    pub fn with_coordinates(mut self, path: impl AsRef<Path>) -> Result<Self> {
        take_coordinates(&mut self.parcels, path.as_ref(), &[0])?;
        Ok(self)
    }

    /// Regions, ascending by label: the columns of every series.
    pub fn parcels(&self) -> &[Parcel] {
        &self.parcels
    }

    /// Number of regions.
    pub fn n_parcels(&self) -> usize {
        self.parcels.len()
    }

    /// Where the labels are.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Labels of the voxels, x fastest.
    pub fn labels(&self) -> &[i32] {
        &self.labels
    }

    /// Digest of the labels image.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// Names parcels out of a table; those that it names beside them are made, but none for a label of
/// the `background`.
pub(crate) fn take_names(parcels: &mut Vec<Parcel>, path: &Path, background: &[i32]) -> Result<()> {
    for (label, name) in names::read_names(path, parcels, background)? {
        entry(parcels, label).name = name;
    }
    Ok(())
}

/// Places parcels out of a table; those that it places beside them are made, but none for a label of
/// the `background`.
pub(crate) fn take_coordinates(
    parcels: &mut Vec<Parcel>,
    path: &Path,
    background: &[i32],
) -> Result<()> {
    for (label, centre) in names::read_coordinates(path, parcels, background)? {
        entry(parcels, label).centre_mm = Some(centre);
    }
    Ok(())
}

/// The parcel of a label among those ascending by label, made if there is none.
pub(crate) fn entry(parcels: &mut Vec<Parcel>, label: i32) -> &mut Parcel {
    let place = parcels.binary_search_by_key(&label, |parcel| parcel.label);
    let place = place.unwrap_or_else(|place| {
        let name = format!("label {label}");
        parcels.insert(place, Parcel { label, name, centre_mm: None });
        place
    });
    &mut parcels[place]
}

#[cfg(test)]
mod tests;
