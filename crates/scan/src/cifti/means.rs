//! Means of a dense series over the labels of a `.dlabel.nii`.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use ndarray::Array2;

use super::{BrainModelsAxis, CiftiAxis, CiftiFile, Place};
use crate::{
    atlas::{MapName, Parcel, maps, take_coordinates, take_names},
    digest::sha256_file,
    error::{Error, Result, brief},
    footprint::{BYTES_OF_SERIES, Footprint},
    kind::Kind,
    nii::open,
    series::ParcelSeries,
};

/// Which vertex and which voxel belongs to which region.
///
/// As in Connectome Workbench the background is the key named `???`, whatever its number, and keys
/// that the table of labels does not have belong to no region. A table without `???` may call its key
/// 0 otherwise (`Unknown`, `Background`); under another name it is a region.
#[derive(Clone, Debug)]
pub struct GrayordinateAtlas {
    labels: HashMap<(String, Place), i32>,
    /// The meshes and the volume that they lie on.
    places: BrainModelsAxis,
    parcels: Vec<Parcel>,
    /// Keys of no region, and 0 where that is none.
    background: Vec<i32>,
    sha256: String,
}

/// What Connectome Workbench calls the places of no region.
const UNASSIGNED: &str = "???";

/// What other programs call their key 0.
const NO_REGION: [&str; 9] = [
    "",
    "background",
    "unknown",
    "unassigned",
    "unclassified",
    "unlabeled",
    "unlabelled",
    "none",
    "medial wall",
];

/// The keys of a table that name no region.
fn background(table: &BTreeMap<i32, String>) -> Vec<i32> {
    let mut keys: Vec<i32> =
        table.iter().filter(|(_, name)| *name == UNASSIGNED).map(|(key, _)| *key).collect();
    let zero = table.get(&0).map(|name| name.to_lowercase().replace('_', " "));
    let is_none = keys.is_empty() && zero.as_deref().is_some_and(|name| NO_REGION.contains(&name));
    if zero.is_none() || is_none {
        keys.push(0);
    }
    keys
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

    /// Reads a `.dlabel.nii` of one map.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_map(path, None)
    }

    /// As [`read`](Self::read), one map of several.
    pub fn read_map(path: impl AsRef<Path>, map: Option<&MapName>) -> Result<Self> {
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
        let names: Vec<String> = maps.iter().map(|map| map.name.clone()).collect();
        let at = maps::chosen(&names, map)
            .map_err(|problem| Error::Axes { path: file.path().to_path_buf(), problem })?;
        let table = &maps[at].labels;
        let background = background(table);
        let mut values = vec![0.0; file.shape()[1]];
        file.each_column(&mut |index, column| values[index] = column[at])?;
        if let Some(&found) = values.iter().find(|x| x.fract() != 0.0 || x.abs() > 2_f64.powi(31)) {
            return Err(Error::Label { path: file.path().to_path_buf(), found });
        }
        let is_region = |label: &i32| table.contains_key(label) && !background.contains(label);
        let labels = places.places().zip(values.iter().map(|&x| x as i32));
        let labels = labels.filter(|(_, label)| is_region(label));
        let labels =
            labels.map(|((structure, place), label)| ((structure.to_owned(), place), label));
        let parcels = table.iter().filter(|(label, _)| is_region(label));
        let parcels: Vec<Parcel> = parcels
            .map(|(&label, name)| Parcel { label, name: name.clone(), centre_mm: None })
            .collect();
        let labels: HashMap<_, i32> = labels.collect();
        if parcels.is_empty() || labels.is_empty() {
            return Err(Error::NoLabels { path: file.path().to_path_buf() });
        }
        let sha256 = sha256_file(file.path())?;
        Ok(Self { labels, places: places.clone(), parcels, background, sha256 })
    }

    /// Takes other names from a table, as [`Atlas::with_names`](crate::Atlas::with_names) does.
    pub fn with_names(mut self, path: impl AsRef<Path>) -> Result<Self> {
        take_names(&mut self.parcels, path.as_ref(), &self.background)?;
        Ok(self)
    }

    /// Takes coordinates in mm from a table, as
    /// [`Atlas::with_coordinates`](crate::Atlas::with_coordinates) does; the file itself says none.
    pub fn with_coordinates(mut self, path: impl AsRef<Path>) -> Result<Self> {
        take_coordinates(&mut self.parcels, path.as_ref(), &self.background)?;
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
    /// a region without a place that has data is a column of zeros and is reported, and so is the
    /// share of each region's places that have data.
    pub fn extract(&self, dense: &CiftiFile) -> Result<ParcelSeries> {
        self.check(dense)?;
        let CiftiAxis::BrainModels(places) = &dense.axes()[1] else {
            unreachable!("refused by the check")
        };
        let t_r = dense.t_r()?;
        let position =
            |label: &i32| self.parcels.binary_search_by_key(label, |parcel| parcel.label).ok();
        let columns: Vec<Option<usize>> = places
            .places()
            .map(|(structure, place)| position(self.labels.get(&(structure.to_owned(), place))?))
            .collect();
        let mut sizes = vec![0_usize; self.parcels.len()];
        self.labels.values().filter_map(position).for_each(|column| sizes[column] += 1);
        let mut values = Array2::<f64>::zeros((dense.shape()[0], self.parcels.len()));
        let mut counts = vec![[0_usize; 2]; self.parcels.len()];
        dense.each_column(&mut |index, series| {
            let Some(column) = columns[index] else { return };
            let has_data = series.iter().any(|x| x.is_finite() && *x != 0.0);
            counts[column][0] += 1;
            counts[column][1] += usize::from(has_data);
            for (sum, x) in values.column_mut(column).iter_mut().zip(series) {
                *sum += if x.is_finite() { *x } else { 0.0 };
            }
        })?;
        if counts.iter().all(|[n, _]| *n == 0) {
            return Err(Error::NoParcel { scan: dense.path().display().to_string() });
        }
        let mut lost = Vec::new();
        for ((mut column, &[n, n_seen]), parcel) in
            values.columns_mut().into_iter().zip(&counts).zip(&self.parcels)
        {
            if n_seen > 0 {
                column /= n as f64;
            } else {
                lost.push(parcel.label);
            }
        }
        if lost.len() == self.parcels.len() {
            return Err(Error::NoData { scan: dense.path().display().to_string() });
        }
        let share = |([_, n_seen], n): (&[usize; 2], &usize)| *n_seen as f64 / (*n).max(1) as f64;
        let coverage = Some(counts.iter().zip(&sizes).map(share).collect());
        Ok(ParcelSeries { values, t_r, parcels: self.parcels.clone(), lost, coverage })
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
