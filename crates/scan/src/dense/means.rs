//! Means of a dense series over the labels of an atlas of the same places.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use ndarray::Array2;

use super::{DenseSeries, Part};
use crate::{
    atlas::{MapName, Parcel, take_coordinates, take_names},
    cifti::{self, BrainModelsAxis, Place},
    digest::sha256_scan,
    error::{Error, Result, brief},
    footprint::{BYTES_OF_SERIES, Footprint},
    kind::Kind,
    nii::open,
    series::{ParcelSeries, n_above_least},
    surface,
};

/// What a file says of labels: a number for each place, and what the numbers mean.
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    pub(crate) places: BrainModelsAxis,
    pub(crate) keys: Vec<i32>,
    pub(crate) table: BTreeMap<i32, String>,
    /// Keys of no region, and 0 where that is none.
    pub(crate) background: Vec<i32>,
}

/// Which vertex and which voxel belongs to which region.
///
/// As in Connectome Workbench the background is the key named `???`, whatever its number, and keys
/// that the table of labels does not have belong to no region. A table without `???` may call its key
/// 0 otherwise (`Unknown`, `Background`); under another name it is a region. Of GIFTI and of `FreeSurfer`'s
/// annotations the regions are those that a vertex has; see `docs/inputs.md`.
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
const NO_REGION: [&str; 10] = [
    "",
    "background",
    "background+freesurfer defined medial wall",
    "unknown",
    "unassigned",
    "unclassified",
    "unlabeled",
    "unlabelled",
    "none",
    "medial wall",
];

/// The keys of a table that name no region.
pub(crate) fn background(table: &BTreeMap<i32, String>) -> Vec<i32> {
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
    /// Whether the content of a file is CIFTI, GIFTI or an annotation, which hold no image of labels; only
    /// its beginning is read.
    pub fn is_one(path: impl AsRef<Path>) -> Result<bool> {
        Ok(matches!(Kind::of(path.as_ref())?, Kind::Cifti | Kind::Surface | Kind::Annotation))
    }

    /// Reads a `.dlabel.nii`, a `.label.gii` or an `.annot` of one map.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_map(path, None)
    }

    /// As [`read`](Self::read), one map of several.
    pub fn read_map(path: impl AsRef<Path>, map: Option<&MapName>) -> Result<Self> {
        let path = path.as_ref();
        let labelled = match Kind::of(path)? {
            Kind::Surface | Kind::Annotation => surface::read_labels(path, map)?,
            _ => cifti::read_labels(path, map)?,
        };
        let Labelled { places, keys, table, background } = labelled;
        let is_region = |label: &i32| table.contains_key(label) && !background.contains(label);
        let labels = places.places().zip(keys).filter(|(_, label)| is_region(label));
        let labels =
            labels.map(|((structure, place), label)| ((structure.to_owned(), place), label));
        let labels: HashMap<_, i32> = labels.collect();
        let parcels = table.iter().filter(|(label, _)| is_region(label));
        let parcels: Vec<Parcel> = parcels
            .map(|(&label, name)| Parcel { label, name: name.clone(), centre_mm: None })
            .collect();
        if parcels.is_empty() || labels.is_empty() {
            return Err(Error::NoLabels { path: path.to_path_buf() });
        }
        let sha256 = sha256_scan(path)?;
        Ok(Self { labels, places, parcels, background, sha256 })
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

    /// Digest of the file, or of those of both hemispheres.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Refuses a dense series on another mesh or another grid of voxels, where vertices and voxels of
    /// one number are different places, and one that lacks a hemisphere which has a file of its own.
    pub fn check(&self, dense: &DenseSeries) -> Result<()> {
        let refuse = |problem: String| Err(dense.refuse(problem));
        let places = dense.places()?;
        for (structure, expected) in self.places.meshes() {
            let found = places.meshes().find(|(name, _)| *name == structure).map(|(_, n)| n);
            let structure = brief(structure);
            match (found, dense) {
                (Some(found), _) if found != expected => {
                    return refuse(format!(
                        "its {structure} has a mesh of {found} vertices, the atlas one of {expected}"
                    ));
                }
                (None, DenseSeries::Surface(_)) => {
                    return refuse(format!(
                        "has no {structure}, of which the atlas has regions; expected the files of both \
                         hemispheres beside each other, or an atlas of one"
                    ));
                }
                _ => {}
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

    /// Series of all regions of a dense series, `(n_frames, n_parcels)`, in one pass.
    ///
    /// Places are matched by structure and vertex or voxel. Values that are not finite count as 0;
    /// a region without a place that has data is a column of zeros and is reported, and so is the
    /// share of each region's places that have data.
    pub fn extract(&self, dense: &DenseSeries) -> Result<ParcelSeries> {
        self.check(dense)?;
        let t_r = dense.t_r()?;
        let position =
            |label: &i32| self.parcels.binary_search_by_key(label, |parcel| parcel.label).ok();
        let columns: Vec<Option<usize>> = dense
            .places()?
            .places()
            .map(|(structure, place)| position(self.labels.get(&(structure.to_owned(), place))?))
            .collect();
        let mut sizes = vec![0_usize; self.parcels.len()];
        self.labels.values().filter_map(position).for_each(|column| sizes[column] += 1);
        let mut values = Array2::<f64>::zeros((dense.n_frames(), self.parcels.len()));
        let mut seen = vec![false; columns.len()];
        let mut broken = vec![0_usize; dense.n_frames()];
        let has_data = |x: &f64| x.is_finite() && *x != 0.0;
        let finite = |x: f64| if x.is_finite() { x } else { 0.0 };
        dense.each(&mut |part| match part {
            Part::Place { place, values: series } => {
                let Some(column) = columns[place] else { return };
                seen[place] = series.iter().any(has_data);
                let whole = values.column_mut(column);
                for ((sum, n), x) in whole.into_iter().zip(&mut broken).zip(series) {
                    *sum += finite(*x);
                    *n += usize::from(!x.is_finite());
                }
            }
            Part::Frame { frame, first, values: places } => {
                let mut row = values.row_mut(frame);
                for (place, x) in (first..).zip(places) {
                    let Some(column) = columns[place] else { continue };
                    seen[place] |= has_data(x);
                    row[column] += finite(*x);
                    broken[frame] += usize::from(!x.is_finite());
                }
            }
        })?;
        let mut counts = vec![[0_usize; 2]; self.parcels.len()];
        for (column, is_seen) in columns.iter().zip(&seen) {
            if let Some(column) = *column {
                counts[column][0] += 1;
                counts[column][1] += usize::from(*is_seen);
            }
        }
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
        let (parcels, n_nonfinite_frames) = (self.parcels.clone(), n_above_least(&broken));
        Ok(ParcelSeries { values, t_r, parcels, lost, coverage, n_nonfinite_frames })
    }

    /// The most bytes that reading a scan, [`extract`](Self::extract) and keeping the series take
    /// beside the atlas; a scan that is a parcel series is only kept.
    pub fn extract_bytes(&self, dense: Option<&DenseSeries>, scan: &Footprint) -> Result<u64> {
        let Some(dense) = dense else {
            return Ok(scan.n_bytes + BYTES_OF_SERIES * scan.n_values);
        };
        let n_frames = dense.n_frames() as u64;
        let read = match dense {
            // the XML, its text and what it describes; where each place goes; one column and its bytes
            DenseSeries::Cifti(file) => {
                let (_, header) = open(file.path())?;
                8 * header.offset + 16 * (file.shape()[1] as u64 + n_frames)
            }
            DenseSeries::Surface(file) => file.n_bytes() + 32 * file.n_vertices() as u64,
        };
        Ok(read + BYTES_OF_SERIES * n_frames * self.parcels.len() as u64)
    }
}
