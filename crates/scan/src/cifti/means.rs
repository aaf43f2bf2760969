//! Means of a dense series over the labels of a `.dlabel.nii`.

use std::{collections::HashMap, path::Path};

use ndarray::Array2;

use super::{BrainModelsAxis, CiftiAxis, CiftiFile, Place};
use crate::{
    atlas::{Parcel, entry, take_coordinates, take_names},
    digest::sha256_file,
    error::{Error, Result, brief},
    footprint::{BYTES_OF_SERIES, Footprint},
    kind::Kind,
    nii::open,
    series::ParcelSeries,
};

/// Which vertex and which voxel belongs to which region. Label 0 is background.
#[derive(Clone, Debug)]
pub struct GrayordinateAtlas {
    labels: HashMap<(String, Place), i32>,
    /// The meshes and the volume that they lie on.
    places: BrainModelsAxis,
    parcels: Vec<Parcel>,
    sha256: String,
}

impl GrayordinateAtlas {
    /// Whether the content of a file is CIFTI, which holds no image of labels; only its beginning is
    /// read.
    pub fn is_cifti(path: impl AsRef<Path>) -> Result<bool> {
        Ok(Kind::of(path.as_ref())? == Kind::Cifti)
    }

    /// The dense series in a file; none where it holds something else. Only its header is read.
    pub fn dense(path: impl AsRef<Path>) -> Result<Option<CiftiFile>> {
        let path = path.as_ref();
        if !Self::is_cifti(path)? {
            return Ok(None);
        }
        let file = CiftiFile::open(path)?;
        let is_dense = matches!(file.axes(), [CiftiAxis::Series(_), CiftiAxis::BrainModels(_)]);
        Ok(is_dense.then_some(file))
    }

    /// Reads the first map of a `.dlabel.nii`.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let file = CiftiFile::open(path)?;
        let refuse = |problem: &str| Error::Cifti {
            path: file.path().to_path_buf(),
            problem: problem.to_owned(),
        };
        let (CiftiAxis::Labels(maps), CiftiAxis::BrainModels(places)) =
            (&file.axes()[0], &file.axes()[1])
        else {
            return Err(refuse("its rows are no labels, or its columns no places of the brain"));
        };
        let map = maps.first().ok_or_else(|| refuse("it holds no map of labels"))?;
        let mut values = vec![0.0; file.shape()[1]];
        file.each_column(&mut |index, column| values[index] = column[0])?;
        if let Some(&found) = values.iter().find(|x| x.fract() != 0.0 || x.abs() > 2_f64.powi(31)) {
            return Err(Error::Label { path: file.path().to_path_buf(), found });
        }
        let labels = places.places().zip(&values).filter(|(_, x)| **x != 0.0);
        let labels =
            labels.map(|((structure, place), &x)| ((structure.to_owned(), place), x as i32));
        let parcels = map.labels.iter().filter(|(label, _)| **label != 0);
        let mut parcels: Vec<Parcel> = parcels
            .map(|(&label, name)| Parcel { label, name: name.clone(), centre_mm: None })
            .collect();
        // as of an image, values that the table does not name are regions too
        let labels: HashMap<_, i32> = labels.collect();
        labels.values().for_each(|&label| _ = entry(&mut parcels, label));
        if parcels.is_empty() {
            return Err(Error::NoLabels { path: file.path().to_path_buf() });
        }
        let sha256 = sha256_file(file.path())?;
        Ok(Self { labels, places: places.clone(), parcels, sha256 })
    }

    /// Takes other names from a table, as [`Atlas::with_names`](crate::Atlas::with_names) does.
    pub fn with_names(mut self, path: impl AsRef<Path>) -> Result<Self> {
        take_names(&mut self.parcels, path.as_ref())?;
        Ok(self)
    }

    /// Takes coordinates in mm from a table, as
    /// [`Atlas::with_coordinates`](crate::Atlas::with_coordinates) does; the file itself says none.
    pub fn with_coordinates(mut self, path: impl AsRef<Path>) -> Result<Self> {
        take_coordinates(&mut self.parcels, path.as_ref())?;
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

    /// Digest of the file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Refuses a dense series on another mesh or another grid of voxels, where vertices and voxels of
    /// one number are different places.
    pub fn check(&self, dense: &CiftiFile) -> Result<()> {
        let refuse =
            |problem: String| Err(Error::Cifti { path: dense.path().to_path_buf(), problem });
        let CiftiAxis::BrainModels(places) = &dense.axes()[1] else {
            return refuse("its columns are no places of the brain".to_owned());
        };
        for (structure, expected) in self.places.meshes() {
            let other =
                places.meshes().find(|(name, found)| *name == structure && *found != expected);
            if let Some((_, found)) = other {
                let structure = brief(structure);
                return refuse(format!(
                    "its {structure} has a mesh of {found} vertices, the atlas one of {expected}"
                ));
            }
        }
        if let (Some(found), Some(expected)) = (&places.volume, &self.places.volume)
            && !found.matches(expected)
        {
            return refuse(if found.shape == expected.shape {
                "its voxels lie elsewhere than the atlas's".to_owned()
            } else {
                format!(
                    "its voxels are of a grid {:?}, the atlas's of {:?}",
                    found.shape, expected.shape
                )
            });
        }
        Ok(())
    }

    /// Series of all regions of a `.dtseries.nii`, `(n_frames, n_parcels)`, in one pass.
    ///
    /// Places are matched by structure and vertex or voxel. Values that are not finite count as 0;
    /// a region without a place in the file is a column of zeros and is reported.
    pub fn extract(&self, dense: &CiftiFile) -> Result<ParcelSeries> {
        self.check(dense)?;
        let CiftiAxis::BrainModels(places) = &dense.axes()[1] else {
            unreachable!("refused by the check")
        };
        let t_r = dense.t_r()?;
        let columns: Vec<Option<usize>> = places
            .places()
            .map(|(structure, place)| {
                let label = self.labels.get(&(structure.to_owned(), place))?;
                self.parcels.binary_search_by_key(label, |parcel| parcel.label).ok()
            })
            .collect();
        let mut values = Array2::<f64>::zeros((dense.shape()[0], self.parcels.len()));
        let mut sizes = vec![0.0; self.parcels.len()];
        dense.each_column(&mut |index, series| {
            let Some(column) = columns[index] else { return };
            sizes[column] += 1.0;
            for (sum, x) in values.column_mut(column).iter_mut().zip(series) {
                *sum += if x.is_finite() { *x } else { 0.0 };
            }
        })?;
        if sizes.iter().all(|n| *n == 0.0) {
            return Err(Error::NoParcel { scan: dense.path().display().to_string() });
        }
        let mut lost = Vec::new();
        for ((mut column, &n), parcel) in
            values.columns_mut().into_iter().zip(&sizes).zip(&self.parcels)
        {
            if n > 0.0 {
                column /= n;
            } else {
                lost.push(parcel.label);
            }
        }
        Ok(ParcelSeries { values, t_r, parcels: self.parcels.clone(), lost })
    }

    /// The most bytes that reading a scan, [`extract`](Self::extract) and keeping the series take
    /// beside the atlas; a scan that is a parcel series is only kept.
    pub fn extract_bytes(&self, path: &Path, scan: &Footprint) -> Result<u64> {
        let Some(dense) = Self::dense(path)? else {
            return Ok(scan.n_bytes + BYTES_OF_SERIES * scan.n_values);
        };
        let [n_frames, n_places] = dense.shape().map(|n| n as u64);
        let (_, header) = open(path)?;
        // the XML, its text and what it describes; where each place goes; one column and its bytes
        let read = 8 * header.offset + 16 * (n_places + n_frames);
        Ok(read + BYTES_OF_SERIES * n_frames * self.parcels.len() as u64)
    }
}
