//! What the first 348 bytes say, believed only as far as it can be checked.

use std::path::Path;

use nifti::{Endianness, NiftiHeader, NiftiType};
use serde::Serialize;

use super::{MAX_BYTES, source::Source};
use crate::error::{Error, Result};

const HEADER_BYTES: usize = 348;
/// Header and the four bytes that announce extensions.
const FIRST_VOXEL_OFFSET: u64 = 352;

/// Linear map from stored numbers to values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scaling {
    /// Factor.
    pub slope: f64,
    /// Summand.
    pub inter: f64,
}

/// A checked header.
pub(crate) struct Header {
    /// Sizes along each axis, without trailing axes of one beyond the fourth.
    pub(crate) dims: Vec<usize>,
    pub(crate) dtype: NiftiType,
    pub(crate) endianness: Endianness,
    /// `None` where the slope is 0 or not finite, which means unscaled.
    pub(crate) scaling: Option<Scaling>,
    /// Where voxels begin in the (decompressed) content.
    pub(crate) offset: u64,
    pub(crate) pixdim: [f64; 8],
    pub(crate) xyzt_units: u8,
    pub(crate) sform_code: i16,
    pub(crate) srow: [[f64; 4]; 3],
    pub(crate) qform_code: i16,
    /// b, c, d; a follows from unit length.
    pub(crate) quatern: [f64; 3],
    pub(crate) qoffset: [f64; 3],
    /// Free-text fields that hold something, by name only.
    pub(crate) private_fields: Vec<&'static str>,
}

impl Header {
    /// Reads and checks; the source stands at the first voxel afterwards.
    pub(crate) fn read(source: &mut Source) -> Result<Self> {
        let mut bytes = [0; HEADER_BYTES];
        let n = source.fill(&mut bytes)?;
        let path = source.path().to_path_buf();
        check_identity(&path, &bytes[..n])?;
        check_n_axes(&path, &bytes)?;
        let mut extender = [0; 4];
        source.fill(&mut extender)?;
        let raw = NiftiHeader::from_reader(&bytes[..])
            .map_err(|e| Error::NotNifti { path: path.clone(), found: e.to_string() })?;
        let header = Self::checked(&path, &raw, extender[0] != 0)?;
        let promised = u128::from(header.offset) + header.n_bytes();
        source.check_holds(promised)?;
        let limit = MAX_BYTES;
        let found = header.n_bytes().max(header.n_values() * size_of::<f32>() as u128);
        if found > u128::from(limit) {
            return Err(Error::TooLarge { path, found, limit });
        }
        source.skip_to(header.offset, promised)?;
        Ok(header)
    }

    /// Number of stored values; checked to fit `usize` once the header was read.
    pub(crate) fn n_values(&self) -> u128 {
        self.dims.iter().map(|&n| n as u128).product()
    }

    /// Number of stored bytes.
    pub(crate) fn n_bytes(&self) -> u128 {
        self.n_values() * self.dtype.size_of() as u128
    }

    fn checked(path: &Path, raw: &NiftiHeader, extended: bool) -> Result<Self> {
        let refuse = |field, found: String, expected| Error::Header {
            path: path.to_path_buf(),
            field,
            found,
            expected,
        };
        // The crate reads sizes as unsigned; the format says signed.
        let dims: Vec<i16> = raw.dim.iter().map(|&n| n.cast_signed()).collect();
        let sizes = &dims[1..=dims[0] as usize];
        if sizes.iter().any(|&n| n <= 0) {
            return Err(refuse("dim", format!("{sizes:?}"), "a positive size for each axis"));
        }
        let mut dims: Vec<usize> = sizes.iter().map(|&n| n as usize).collect();
        while dims.len() > 4 && dims.last() == Some(&1) {
            dims.pop();
        }
        let dtype = checked_dtype(path, raw)?;
        if raw.bitpix as usize != 8 * dtype.size_of() {
            let expected = "the width of the data type";
            return Err(refuse("bitpix", raw.bitpix.to_string(), expected));
        }
        let offset = f64::from(raw.vox_offset);
        let on_grid = offset >= FIRST_VOXEL_OFFSET as f64 && offset.fract() == 0.0;
        if !(on_grid && offset.is_finite()) {
            let expected = "a whole number of bytes from 352 on";
            return Err(refuse("vox_offset", offset.to_string(), expected));
        }
        let scaled = raw.scl_slope.is_finite() && raw.scl_slope != 0.0;
        if scaled && !raw.scl_inter.is_finite() {
            return Err(refuse("scl_inter", raw.scl_inter.to_string(), "a finite number"));
        }
        let scaling =
            scaled.then(|| Scaling { slope: raw.scl_slope.into(), inter: raw.scl_inter.into() });
        Ok(Self {
            dims,
            dtype,
            endianness: raw.endianness,
            scaling,
            offset: offset as u64,
            pixdim: raw.pixdim.map(f64::from),
            xyzt_units: raw.xyzt_units,
            sform_code: raw.sform_code,
            srow: [raw.srow_x, raw.srow_y, raw.srow_z].map(|row| row.map(f64::from)),
            qform_code: raw.qform_code,
            quatern: [raw.quatern_b, raw.quatern_c, raw.quatern_d].map(f64::from),
            qoffset: [raw.quatern_x, raw.quatern_y, raw.quatern_z].map(f64::from),
            private_fields: private_fields(raw, extended && offset as u64 > FIRST_VOXEL_OFFSET),
        })
    }
}

/// Tells NIfTI-1 from everything else by its size field and magic bytes.
fn check_identity(path: &Path, bytes: &[u8]) -> Result<()> {
    let not_nifti = |found: String| Err(Error::NotNifti { path: path.to_path_buf(), found });
    let unsupported = |found: &str, expected| {
        Err(Error::Unsupported { path: path.to_path_buf(), found: found.to_owned(), expected })
    };
    let Some(size) = bytes.first_chunk::<4>() else {
        return not_nifti(format!("it holds {} bytes", bytes.len()));
    };
    match (i32::from_le_bytes(*size), i32::from_be_bytes(*size)) {
        (348, _) | (_, 348) => {}
        (540, _) | (_, 540) => return unsupported("NIfTI-2", "NIfTI-1"),
        _ => return not_nifti("its first four bytes are not the header size 348".to_owned()),
    }
    if bytes.len() < HEADER_BYTES {
        return not_nifti(format!("it ends after {} of 348 header bytes", bytes.len()));
    }
    match &bytes[344..348] {
        b"n+1\0" => Ok(()),
        b"ni1\0" => unsupported("the .hdr half of a .hdr/.img pair", "a single .nii file"),
        magic => {
            not_nifti(format!("its magic is \"{}\", expected \"n+1\\0\"", magic.escape_ascii()))
        }
    }
}

/// The crate guesses the byte order from the number of axes, so that number must be right first.
fn check_n_axes(path: &Path, bytes: &[u8; HEADER_BYTES]) -> Result<()> {
    let n_axes = [bytes[40], bytes[41]];
    let is_little = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) == 348;
    let n_axes = if is_little { i16::from_le_bytes(n_axes) } else { i16::from_be_bytes(n_axes) };
    if (1..=7).contains(&n_axes) {
        return Ok(());
    }
    Err(Error::Header {
        path: path.to_path_buf(),
        field: "dim[0]",
        found: n_axes.to_string(),
        expected: "a number of axes from 1 to 7",
    })
}

fn checked_dtype(path: &Path, raw: &NiftiHeader) -> Result<NiftiType> {
    use NiftiType as T;
    let path = || path.to_path_buf();
    match raw.data_type() {
        Ok(
            dtype @ (T::Uint8
            | T::Int8
            | T::Uint16
            | T::Int16
            | T::Uint32
            | T::Int32
            | T::Uint64
            | T::Int64
            | T::Float32
            | T::Float64),
        ) => Ok(dtype),
        Ok(other) => Err(Error::Unsupported {
            path: path(),
            found: format!("an image of {}", dtype_name(other)),
            expected: "real numbers of 8 to 64 bits",
        }),
        Err(_) => Err(Error::Header {
            path: path(),
            field: "datatype",
            found: raw.datatype.to_string(),
            expected: "a code of the NIfTI standard",
        }),
    }
}

/// `int16`, `float32`, …
pub(crate) fn dtype_name(dtype: NiftiType) -> String {
    format!("{dtype:?}").to_lowercase()
}

fn private_fields(raw: &NiftiHeader, has_extensions: bool) -> Vec<&'static str> {
    let filled = |text: &[u8]| text.iter().any(|b| !matches!(b, 0 | b' '));
    [
        ("descrip", filled(&raw.descrip)),
        ("aux_file", filled(&raw.aux_file)),
        ("intent_name", filled(&raw.intent_name)),
        ("db_name", filled(&raw.db_name)),
        ("extensions", has_extensions),
    ]
    .into_iter()
    .filter_map(|(name, is_filled)| is_filled.then_some(name))
    .collect()
}
