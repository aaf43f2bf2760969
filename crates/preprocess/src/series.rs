//! Series of parcels or voxels: of one scan, as steps keep it in a file, and what those of a cohort share.
use engine::{Header, Key, Numbers, Unit};
use ndarray::{Array1, Array2};
use scan::{
    ConnectivityKind, CovarianceEstimator, FittedNormalisation, ImageQualityMetrics, Parcel,
    VoxelMask,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result, Slice, mirror::LeftRightTemplate, seen::Frames};

/// One scan's series of parcels or of voxels, as its file holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSeries {
    /// `(n_frames, n_columns)`.
    pub values: Array2<f64>,
    /// Framewise displacement in mm of each frame, where confounds say it; NaN where they have no value.
    pub fd_mm: Option<Array1<f64>>,
    /// Where the scan lies; none of one that is no run of volumes.
    pub slices: Vec<Slice>,
    /// What is asked of it without reading it.
    pub facts: SeriesFacts,
}

/// What is asked of a series without reading it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesFacts {
    /// Seconds between two frames.
    pub t_r_s: f64,
    /// Frames.
    pub n_frames: usize,
    /// Labels of parcels that the scan has no data of: their columns are 0.
    pub lost: Vec<i32>,
    /// The share of each parcel that the scan has data of, to four decimals; none where the scan is
    /// a series of parcels already and no table beside it says them.
    #[serde(default)]
    pub coverage: Option<Vec<f64>>,
    /// Columns of the file that are of no label of the atlas and hold no data: they were dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<usize>,
    /// Of the series as they were extracted.
    pub quality: ImageQualityMetrics,
    /// Mean framewise displacement in mm, over the frames that have one.
    pub fd_mean_mm: Option<f64>,
    /// The largest of them.
    pub fd_max_mm: Option<f64>,
    /// Frames with values that are not finite, which count as 0.
    #[serde(default)]
    pub n_nonfinite_frames: usize,
    /// Frames of the file that are still there, where some were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Vec<usize>>,
    /// Whether its columns are voxels of a mask, which have 32 bits, and not parcels.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_voxels: bool,
}

impl SeriesFacts {
    /// The frames of the file, and how those of the series follow from them.
    pub fn frames(&self) -> Frames<'_> {
        Frames::of(self.quality.n_frames, self.quality.t_r, self.kept.as_deref(), self.t_r_s)
    }

    /// Those of a scan's file.
    pub fn of(unit: &Unit) -> Option<Self> {
        unit.facts.get().ok()
    }
}

impl StoredSeries {
    /// Reads a scan's file.
    pub fn read(unit: &Unit) -> Result<Self> {
        let (header, mut arrays) = engine::read(&unit.path, &unit.key)?;
        let damaged = |problem: String| Error::Arrays { path: unit.path.clone(), problem };
        let facts: SeriesFacts =
            serde_json::from_value(header.facts).map_err(|error| damaged(error.to_string()))?;
        let (shape, values) = arrays.take("series");
        let &[rows, columns] = shape.as_slice() else {
            return Err(damaged("its series have no two sides".to_owned()));
        };
        let values = Array2::from_shape_vec((rows, columns), values);
        let (_, fd_mm) = arrays.take("fd_mm");
        let (_, slices) = arrays.take("slices");
        let (grey, edges) = (arrays.take_bytes("grey"), arrays.take_bytes("edges"));
        let slices = Slice::of_facts(&slices, &grey, &edges)
            .ok_or_else(|| damaged("its slices have too few pixels".to_owned()))?;
        Ok(Self {
            values: values.map_err(|error| damaged(error.to_string()))?,
            fd_mm: (fd_mm.len() == rows).then(|| fd_mm.into()),
            slices,
            facts,
        })
    }

    /// Correlations `(n_parcels, n_parcels)` of its columns, which are `parcels`; NaN in the rows and columns
    /// of those that it lost.
    pub fn correlations(&self, parcels: &[Parcel]) -> Result<Array2<f64>> {
        let kind = ConnectivityKind::Correlation;
        let mut found = scan::connectivity(&self.values, kind, CovarianceEstimator::Empirical)?;
        for (at, parcel) in parcels.iter().enumerate() {
            if self.facts.lost.contains(&parcel.label) {
                found.row_mut(at).fill(f64::NAN);
                found.column_mut(at).fill(f64::NAN);
            }
        }
        Ok(found)
    }

    /// The bytes of its file.
    pub fn to_bytes(&self, key: &Key) -> Vec<u8> {
        let values = self.values.as_standard_layout();
        let (rows, columns) = values.dim();
        let columns_are = if self.facts.of_voxels { "voxels" } else { "parcels" };
        let header = Header {
            key: key.clone(),
            what: format!("series of {columns} {columns_are}"),
            facts: serde_json::to_value(&self.facts).expect("plain values"),
        };
        let shape = [rows, columns];
        let voxels: Vec<f32>;
        let series = if self.facts.of_voxels {
            voxels = values.iter().map(|&x| x as f32).collect();
            Numbers::F32(&voxels)
        } else {
            Numbers::F64(values.as_slice().expect("standard layout"))
        };
        let mut arrays: Vec<(&str, &[usize], Numbers<'_>)> = vec![("series", &shape, series)];
        let n_fd = [rows];
        if let Some(fd_mm) = &self.fd_mm {
            arrays.push(("fd_mm", &n_fd, Numbers::F64(fd_mm.as_slice().expect("one axis"))));
        }
        let facts = Slice::facts(&self.slices);
        let pixels = |of: fn(&Slice) -> &[u8]| self.slices.iter().flat_map(of).copied().collect();
        let (grey, edges): (Vec<u8>, Vec<u8>) = (pixels(|it| &it.grey), pixels(|it| &it.edges));
        let (n_facts, n_pixels) = ([facts.len()], [grey.len()]);
        if !self.slices.is_empty() {
            arrays.push(("slices", &n_facts, Numbers::F64(&facts)));
            arrays.push(("grey", &n_pixels, Numbers::Bytes(&grey)));
            arrays.push(("edges", &n_pixels, Numbers::Bytes(&edges)));
        }
        engine::to_bytes(&header, &arrays)
    }
}

/// What all series of a cohort share.
#[derive(Clone, Debug)]
pub struct AboutSeries {
    /// The columns of each, where they are parcels.
    pub parcels: Vec<Parcel>,
    /// The columns of each, where they are voxels.
    pub mask: Option<VoxelMask>,
    /// The files of the atlas with their digests, for the record.
    pub atlas: Value,
    /// What decided them beside the scans: the steps so far.
    pub preparation: Vec<String>,
    /// How the scans of the cohort look, where left and right are compared.
    pub left_right: Option<LeftRightTemplate>,
    /// What was fitted to the training scans, where they were brought to scale.
    pub normalisation: Option<FittedNormalisation>,
}

impl AboutSeries {
    /// Columns of a series.
    pub fn n_columns(&self) -> usize {
        self.mask.as_ref().map_or(self.parcels.len(), VoxelMask::n_voxels)
    }

    /// The same after one more step.
    #[must_use]
    pub fn and(mut self, said: String) -> Self {
        self.preparation.push(said);
        self
    }

    /// Where the parcels are, if that is known of all.
    pub fn coordinates(&self) -> Option<Vec<[f64; 3]>> {
        places(&self.parcels).filter(|places| !places.is_empty())
    }
}

/// Where parcels are, if that is known of all.
pub fn places(parcels: &[Parcel]) -> Option<Vec<[f64; 3]>> {
    parcels.iter().map(|parcel| parcel.centre_mm).collect()
}

/// What parcels are called, in their order.
pub fn names(parcels: &[Parcel]) -> Vec<String> {
    parcels.iter().map(|parcel| parcel.name.clone()).collect()
}
