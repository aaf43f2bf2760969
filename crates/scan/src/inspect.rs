//! What a file is and how it would be read, without the private text its header may carry.

use std::path::{Path, PathBuf};

use nifti::Endianness;
use serde::Serialize;

use crate::{
    affine::Affine,
    error::{Error, Result},
    kind::Kind,
    nii::{
        AffineSource, Format, Scaling, affine_rows, dtype_name, each_chunk, open, repetition_time,
        sides_disagree, space_unit, t_r_field, time_unit,
    },
};

/// The facts of one file. Free text of the header is named, never shown: it often holds names,
/// dates and places.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// Version of the format, and whether header and voxels lie in two files.
    pub format: Format,
    /// Whether the content is compressed.
    pub gzip: bool,
    /// Size on disk in bytes.
    pub n_bytes: u64,
    /// `little` or `big`.
    pub byte_order: &'static str,
    /// Size along each axis: x, y, z, t.
    pub dims: Vec<usize>,
    /// How numbers are stored: `int16`, `float32`, …
    pub dtype: String,
    /// Slope and intercept; none where stored numbers are the values.
    pub scaling: Option<Scaling>,
    /// Voxel sizes in mm as the header states them.
    pub zooms: [f64; 3],
    /// `mm`, `meter`, `micron` or `unknown`; the affine is given as it is stored.
    pub space_unit: &'static str,
    /// What the sform is aligned with; 0: there is none.
    pub sform_code: i32,
    /// What the qform is aligned with; 0: there is none.
    pub qform_code: i32,
    /// Rows of the voxel-to-mm matrix; numbers that are not finite become `null` in JSON.
    pub affine: [[f64; 4]; 4],
    /// The header fields the affine comes from.
    pub affine_source: AffineSource,
    /// Directions of the voxel axes, `RAS` for example; none where the affine is no grid.
    pub axcodes: Option<String>,
    /// Whether sform and qform are both set, and disagree about left and right.
    pub sides_disagree: bool,
    /// Unit of time as the header states it: `sec`, `msec`, `usec` or `unknown`.
    pub time_unit: &'static str,
    /// Repetition time in seconds.
    pub t_r: Option<f64>,
    /// Where the repetition time comes from, or why there is none.
    pub t_r_source: String,
    /// Number of values that are NaN or infinite.
    pub n_nonfinite: u64,
    /// Smallest and largest finite value, after scaling.
    pub value_range: Option<[f64; 2]>,
    /// Names of the free-text header fields that hold something.
    pub private_fields: Vec<&'static str>,
}

/// Reads a whole file, to its last byte, and says what is in it.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection> {
    let path = path.as_ref();
    let (source, header) = open(path)?;
    let (gzip, n_bytes) = (source.is_gzip, source.n_bytes);
    let mut n_nonfinite = 0;
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    each_chunk(source, &header, |chunk| {
        for &value in chunk {
            if value.is_finite() {
                (low, high) = (low.min(value), high.max(value));
            } else {
                n_nonfinite += 1;
            }
        }
    })?;
    let (affine, affine_source) = affine_rows(&header);
    let (t_r, t_r_source) = match repetition_time(&header) {
        _ if header.dims.len() < 4 => (None, "no time axis".to_owned()),
        Ok((t_r, unit)) => (Some(t_r), format!("{} in {unit}", t_r_field(&header))),
        Err(problem) => (None, problem),
    };
    Ok(Inspection {
        path: path.to_path_buf(),
        format: header.format,
        gzip,
        n_bytes,
        byte_order: if header.endianness == Endianness::Big { "big" } else { "little" },
        dtype: dtype_name(header.dtype),
        scaling: header.scaling,
        zooms: [1, 2, 3].map(|axis| header.pixdim[axis].abs()),
        space_unit: space_unit(&header),
        sform_code: header.sform_code,
        qform_code: header.qform_code,
        affine,
        affine_source,
        axcodes: Affine::new(affine).ok().map(|affine| affine.axcodes()),
        sides_disagree: sides_disagree(&header),
        time_unit: time_unit(&header),
        t_r,
        t_r_source,
        n_nonfinite,
        value_range: (low <= high).then_some([low, high]),
        private_fields: header.private_fields,
        dims: header.dims,
    })
}

/// Refuses a NIfTI file that does not say where its voxels lie: without sform and qform its axes are
/// assumed, and so are left and right. Other files are not looked at; only the header is read.
///
/// # Errors
/// Names the file.
pub fn check_placed(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if Kind::of(path)? != Kind::Nifti {
        return Ok(());
    }
    let (_, header) = open(path)?;
    match affine_rows(&header).1 {
        AffineSource::Zooms => Err(Error::Unplaced { path: path.to_path_buf() }),
        _ => Ok(()),
    }
}
