//! One function for every file that a scan may be in; the content decides, not the name.
//!
//! ```text
//! NIfTI ─────────────────────────────── BoldFile        streamed frame by frame
//! .pt, .npy, .mat, HDF5 of four axes ── Bold            in memory
//! .dat, .tsv, .csv, .npy, .pt, .mat, HDF5,
//! .ptseries.nii ─────────────────────── Series          (n_frames, n_parcels)
//! .dtseries.nii, GIFTI ──────────────── Grayordinates   read place by place or frame by frame
//! HDF5 of three axes ────────────────── Cohort          read subject by subject
//! Arrow ─────────────────────────────── Rows            read row by row
//! ```

use std::path::Path;

use ndarray::{ArrayD, Ix4};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    affine::Affine,
    arrow::ArrowRows,
    bold::Bold,
    cifti::{CiftiAxis, CiftiFile},
    dense::DenseSeries,
    error::{Error, Result},
    frames::{BoldFile, Frames},
    h5::{self, CohortFile, Hdf5File},
    kind::{Kind, annotation_is_no_scan},
    matlab::MatFile,
    nii::{PLAUSIBLE_S, ReadOptions},
    series::ParcelSeries,
    surface::SurfaceFile,
    tables::{
        Facts, MAX_TEXT_BYTES, SeriesAxes, series_of,
        text::{self, Head, Text},
        turned,
    },
    tensor::TensorFile,
};

/// What a file does not say itself, or what the user knows better.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpenOptions {
    /// Repetition time in seconds, used instead of what the file says.
    pub t_r: Option<f64>,
    /// Which axis of a series is time. Needed where neither the file nor the names of the parcels
    /// say it, nor the counts of a GIFTI array of two axes.
    pub axes: Option<SeriesAxes>,
    /// Path of the dataset in an HDF5 file, or the variable of a MATLAB file. Without it: `/parcel_ts`, or the only dataset that
    /// could be a scan.
    pub dataset: Option<String>,
    /// Paths of more datasets in an HDF5 file of many subjects, whose parcels follow those of `dataset`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<String>,
    /// Path of the ids in an HDF5 file of many subjects. Without it: `subject_ids` beside the
    /// dataset.
    pub subject_ids: Option<String>,
    /// Takes the numbers of HDF5 as they are stored, though attributes scale them
    /// (`scale_factor`, `scl_slope`, `scale`).
    pub stored_numbers: bool,
    /// Order of the axes of volumes that are no NIfTI.
    pub volume_axes: VolumeAxes,
    /// Where volumes lie that are no NIfTI.
    pub space: Option<Space>,
}

/// Order of four axes, the slowest first as numpy, PyTorch and HDF5 count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VolumeAxes {
    /// `[x, y, z, t]`, as nibabel's arrays and BrainMT's tensors.
    #[default]
    Xyzt,
    /// `[t, x, y, z]`
    Txyz,
    /// `[t, z, y, x]`, as `SimpleITK`'s arrays.
    Tzyx,
}

impl VolumeAxes {
    /// For `permuted_axes`: where x, y, z and t stand.
    pub(crate) fn to_xyzt(self) -> [usize; 4] {
        match self {
            Self::Xyzt => [0, 1, 2, 3],
            Self::Txyz => [1, 2, 3, 0],
            Self::Tzyx => [3, 2, 1, 0],
        }
    }
}

/// The place of voxels in the world.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Space {
    /// The grid of FSL's `MNI152_T1_2mm`: 91 × 109 × 91 voxels of 2 mm, the first axis to the left.
    FslMni2mm,
    /// Rows of the matrix from voxel indices to mm.
    Affine([[f64; 4]; 4]),
}

/// The affine of `MNI152_T1_2mm.nii.gz`.
const FSL_MNI_2MM: [[f64; 4]; 4] =
    [[-2.0, 0.0, 0.0, 90.0], [0.0, 2.0, 0.0, -126.0], [0.0, 0.0, 2.0, -72.0], [0.0, 0.0, 0.0, 1.0]];

/// The grid that goes with it.
const FSL_MNI_2MM_SHAPE: [usize; 3] = [91, 109, 91];

/// A file as what it holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Scan {
    /// A run whose voxels are read when frames are asked for.
    BoldFile(BoldFile),
    /// A run in memory.
    Bold(Bold),
    /// Series of parcels.
    Series(ParcelSeries),
    /// Series of surface vertices and voxels, for a [`GrayordinateAtlas`](crate::GrayordinateAtlas).
    Grayordinates(DenseSeries),
    /// Series of many subjects, read one by one.
    Cohort(CohortFile),
    /// Series in the rows of a table, read one by one.
    Rows(ArrowRows),
}

impl Scan {
    /// The frames of a run, from the file or from memory.
    pub fn frames(&self) -> Option<&dyn Frames> {
        match self {
            Self::BoldFile(file) => Some(file),
            Self::Bold(bold) => Some(bold),
            Self::Series(_) | Self::Grayordinates(_) | Self::Cohort(_) | Self::Rows(_) => None,
        }
    }

    /// What it is, in words for a sentence.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BoldFile(_) | Self::Bold(_) => "a run of volumes",
            Self::Series(_) => "a parcel series",
            Self::Grayordinates(_) => "a series of grayordinates",
            Self::Cohort(_) => "a file of many subjects",
            Self::Rows(_) => "a table with a series in each row",
        }
    }
}

/// A scan, with its repetition time and where that comes from.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What the file holds.
    pub scan: Scan,
    /// `given`, or the words for the place in the file.
    pub t_r_source: String,
}

impl Opened {
    /// Seconds between two frames; none where the subjects of a cohort differ.
    pub fn t_r(&self) -> Option<f64> {
        match &self.scan {
            Scan::BoldFile(file) => Some(file.t_r()),
            Scan::Bold(bold) => Some(bold.t_r()),
            Scan::Series(series) => Some(series.t_r),
            Scan::Grayordinates(file) => file.t_r().ok(),
            Scan::Cohort(cohort) => cohort.t_r(),
            Scan::Rows(rows) => rows.t_r(),
        }
    }
}

/// Opens a scan of any form.
///
/// What a file does not say must be given: the repetition time of tables and tensors, which axis is
/// time, and where the voxels of a tensor lie.
pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Opened> {
    let path = path.as_ref();
    let given = options.given_t_r()?;
    let source = |otherwise: String| given.map_or(otherwise, |_| "given".to_owned());
    Ok(match Kind::of(path)? {
        Kind::Nifti => {
            let file = BoldFile::open_with(path, &ReadOptions { t_r: given })?;
            let t_r_source = source(file.t_r_source());
            Opened { scan: Scan::BoldFile(file), t_r_source }
        }
        Kind::Cifti => {
            let mut file = CiftiFile::open(path)?;
            if let Some(t_r) = given {
                file.set_t_r(t_r);
            }
            file.t_r()?;
            let is_parcels = matches!(file.axes()[1], CiftiAxis::Parcels(_));
            let scan = if is_parcels {
                Scan::Series(file.parcel_series()?)
            } else {
                Scan::Grayordinates(DenseSeries::Cifti(file))
            };
            Opened { scan, t_r_source: source("series step of the CIFTI axes".to_owned()) }
        }
        Kind::Surface => {
            let file = SurfaceFile::open(path, options.axes)?;
            let mut dense = DenseSeries::Surface(file);
            let t_r_source = source(dense.t_r_source());
            if let Some(t_r) = given {
                dense.set_t_r(t_r);
            }
            dense.t_r()?;
            Opened { scan: Scan::Grayordinates(dense), t_r_source }
        }
        Kind::Annotation => return Err(annotation_is_no_scan(path)),
        Kind::Hdf5 => h5::open_scan(Hdf5File::open(path)?, options)?,
        Kind::Arrow => {
            let rows = ArrowRows::open(path, options)?;
            let t_r_source = source(rows.t_r_source());
            Opened { scan: Scan::Rows(rows), t_r_source }
        }
        Kind::Matlab => {
            let file = MatFile::open(path)?;
            let name = options.dataset.as_deref();
            let sizes = file.sizes(name)?;
            let (t_r, t_r_source) = options.t_r_of(&file)?;
            let narrow = || Ok(file.values(name)?.mapv(|x| x as f32));
            let scan = array(path, &sizes, t_r, options, narrow, || file.values(name))?;
            Opened { scan, t_r_source }
        }
        Kind::Tensor => {
            let file = TensorFile::open(path)?;
            let t_r = options.needed_t_r(path, "an array")?;
            let options = &file.options(options);
            let wide = || file.values();
            let scan = array(path, &file.entry().shape, t_r, options, || file.values_f32(), wide)?;
            Opened { scan, t_r_source: "given".to_owned() }
        }
        Kind::Text => {
            let Text { values, head, .. } = text::read(path, MAX_TEXT_BYTES, options.n_parcels())?;
            let axes = options.needed_axes(path, head != Head::None)?;
            let t_r = options.needed_t_r(path, "a table")?;
            let is_turned = turned(path, values.dim().into(), axes)?;
            // what stands over the columns of a table whose rows are parcels are frames
            let (names, labels) = match head {
                Head::Names(names) if !is_turned => (Some(names), None),
                Head::Labels(labels) if !is_turned => (None, Some(labels)),
                _ => (None, None),
            };
            let facts = Facts { t_r, names, labels, ..Facts::default() };
            let series = series_of(path, values.into_dyn(), axes, facts)?;
            Opened { scan: Scan::Series(series), t_r_source: "given".to_owned() }
        }
    })
}

/// An array of two axes as a series, one of four as a run.
fn array(
    path: &Path,
    sizes: &[usize],
    t_r: f64,
    options: &OpenOptions,
    narrow: impl FnOnce() -> Result<ArrayD<f32>>,
    wide: impl FnOnce() -> Result<ArrayD<f64>>,
) -> Result<Scan> {
    match sizes.len() {
        4 => {
            let affine = placed(path, None, options)?;
            let values = narrow()?.into_dimensionality::<Ix4>().expect("four axes");
            let values = values.permuted_axes(options.volume_axes.to_xyzt());
            let bold = Bold::new(values, affine, t_r)?.with_path(path);
            options.check_grid(path, bold.grid_shape())?;
            Ok(Scan::Bold(bold))
        }
        2 => {
            let axes = options.needed_axes(path, false)?;
            let facts = Facts { t_r, ..Facts::default() };
            Ok(Scan::Series(series_of(path, wide()?, axes, facts)?))
        }
        _ => Err(Error::ArrayAxes { path: path.to_path_buf(), found: sizes.to_vec() }),
    }
}

impl OpenOptions {
    /// The repetition time of the options, checked.
    pub(crate) fn given_t_r(&self) -> Result<Option<f64>> {
        match self.t_r {
            Some(found) if !(found.is_finite() && found > 0.0) => {
                Err(Error::BadRepetitionTime { found })
            }
            given => Ok(given),
        }
    }

    fn needed_t_r(&self, path: &Path, what: &str) -> Result<f64> {
        let problem = format!("{what} does not say it, so it must be given (`t_r`)");
        let path = path.to_path_buf();
        self.given_t_r()?.ok_or(Error::RepetitionTime { path, problem })
    }

    /// The number of parcels, where it is what tells the axes apart.
    pub(crate) fn n_parcels(&self) -> Option<usize> {
        match self.axes {
            Some(SeriesAxes::ByParcels(n)) => Some(n),
            _ => None,
        }
    }

    /// Names over the columns say that columns are parcels.
    pub(crate) fn needed_axes(&self, path: &Path, has_head: bool) -> Result<SeriesAxes> {
        let named = has_head.then_some(SeriesAxes::TimeParcels);
        self.axes.or(named).ok_or_else(|| Error::Axes {
            path: path.to_path_buf(),
            problem: "which axis is time is not said; give `axes`, for example `time_parcels` or \
                      `by_parcels: 424`"
                .to_owned(),
        })
    }

    /// Refuses a named grid for voxels of another shape.
    pub(crate) fn check_grid(&self, path: &Path, found: [usize; 3]) -> Result<()> {
        if self.space == Some(Space::FslMni2mm) && found != FSL_MNI_2MM_SHAPE {
            let scan = path.display().to_string();
            return Err(Error::NamedGrid { scan, found, expected: FSL_MNI_2MM_SHAPE });
        }
        Ok(())
    }
}

/// The affine of volumes that are no NIfTI: as given, else as the file has it.
pub(crate) fn placed(
    path: &Path,
    own: Option<[[f64; 4]; 4]>,
    options: &OpenOptions,
) -> Result<Affine> {
    let rows = match options.space {
        Some(Space::FslMni2mm) => FSL_MNI_2MM,
        Some(Space::Affine(rows)) => rows,
        None => own.ok_or_else(|| Error::NoSpace { path: path.to_path_buf() })?,
    };
    Affine::new(rows)
        .map_err(|source| Error::AffineOf { path: path.to_path_buf(), source: Box::new(source) })
}

/// What is wrong with a repetition time in seconds, as the end of a sentence.
pub(crate) fn plausible(t_r: f64) -> std::result::Result<(), String> {
    if PLAUSIBLE_S.contains(&t_r) {
        return Ok(());
    }
    Err(format!("expected {} to {} s", PLAUSIBLE_S.start(), PLAUSIBLE_S.end()))
}

#[cfg(test)]
mod tests;
