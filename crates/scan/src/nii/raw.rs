//! The fields of a header, from either version of the format, before anything is believed.
//!
//! NIfTI-1 through the `nifti` crate; NIfTI-2, which it does not know, by offset. Its one mistake
//! is mended here: sizes are signed in the format and unsigned in the crate.
//! Source: nifti1.h and nifti2.h, <https://nifti.nimh.nih.gov/pub/dist/src/niftilib>.

use std::path::Path;

use nifti::{Endianness, NiftiHeader};
use serde::Serialize;

use super::mgh::HEADER_BYTES;
use crate::error::{Error, Result};

/// Bytes of a NIfTI-1 header.
const BYTES_1: usize = 348;
/// Bytes of a NIfTI-2 header.
pub(crate) const BYTES_2: usize = 540;

/// Which member of the family a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// NIfTI-1, one file.
    Nifti1,
    /// NIfTI-1, header and voxels in two files.
    Nifti1Pair,
    /// NIfTI-2, one file.
    Nifti2,
    /// NIfTI-2, header and voxels in two files.
    Nifti2Pair,
    /// `FreeSurfer`'s `.mgh` or `.mgz`.
    Mgh,
}

impl Format {
    pub(crate) fn is_pair(self) -> bool {
        matches!(self, Self::Nifti1Pair | Self::Nifti2Pair)
    }

    pub(crate) fn header_bytes(self) -> usize {
        match self {
            Self::Nifti1 | Self::Nifti1Pair => BYTES_1,
            Self::Nifti2 | Self::Nifti2Pair => BYTES_2,
            Self::Mgh => HEADER_BYTES,
        }
    }

    /// Header and the four bytes that announce extensions.
    pub(crate) fn first_voxel_offset(self) -> u64 {
        match self {
            Self::Mgh => HEADER_BYTES as u64,
            _ if self.is_pair() => 0,
            _ => self.header_bytes() as u64 + 4,
        }
    }
}

/// Stored numbers, widened.
pub(crate) struct Raw {
    pub(crate) endianness: Endianness,
    pub(crate) dim: [i64; 8],
    pub(crate) datatype: i16,
    pub(crate) bitpix: i16,
    pub(crate) vox_offset: f64,
    pub(crate) pixdim: [f64; 8],
    pub(crate) slope: f64,
    pub(crate) inter: f64,
    pub(crate) xyzt_units: u8,
    pub(crate) qform_code: i32,
    pub(crate) sform_code: i32,
    pub(crate) quatern: [f64; 3],
    pub(crate) qoffset: [f64; 3],
    pub(crate) srow: [[f64; 4]; 3],
    pub(crate) private_fields: Vec<&'static str>,
}

/// Tells the formats from each other and from everything else, by size field and magic bytes.
pub(crate) fn identify(path: &Path, bytes: &[u8]) -> Result<Format> {
    let not_nifti = |found: String| Err(Error::NotNifti { path: path.to_path_buf(), found });
    let Some(size) = bytes.first_chunk::<4>() else {
        return not_nifti(format!("it holds {} bytes", bytes.len()));
    };
    let formats = match (i32::from_le_bytes(*size), i32::from_be_bytes(*size)) {
        (348, _) | (_, 348) => [Format::Nifti1, Format::Nifti1Pair],
        (540, _) | (_, 540) => [Format::Nifti2, Format::Nifti2Pair],
        _ => {
            let sizes = "its first four bytes are not the header size 348 or 540";
            return not_nifti(sizes.to_owned());
        }
    };
    let n_bytes = formats[0].header_bytes();
    if bytes.len() < n_bytes {
        return not_nifti(format!("it ends after {} of {n_bytes} header bytes", bytes.len()));
    }
    let (magic, single, pair, expected): (_, &[u8], &[u8], _) = if n_bytes == BYTES_1 {
        (&bytes[344..348], b"n+1\0", b"ni1\0", r"n+1\0")
    } else {
        (&bytes[4..12], b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n", r"n+2\0\r\n\x1a\n")
    };
    match magic {
        _ if magic == single => Ok(formats[0]),
        _ if magic == pair => Ok(formats[1]),
        _ if magic.iter().all(|byte| *byte == 0) => not_nifti(format!(
            "its magic is empty, expected \"{expected}\": without it left and right are not known, and \
             nibabel does not read it as NIfTI either"
        )),
        _ => {
            not_nifti(format!("its magic is \"{}\", expected \"{expected}\"", magic.escape_ascii()))
        }
    }
}

impl Raw {
    /// Decodes the bytes of a header that was [identified](identify).
    pub(crate) fn decode(path: &Path, format: Format, bytes: &[u8]) -> Result<Self> {
        let is_little = i32::from_le_bytes(field(bytes, 0)) == format.header_bytes() as i32;
        let endianness = if is_little { Endianness::Little } else { Endianness::Big };
        match format.header_bytes() {
            BYTES_1 => Self::version_1(path, bytes, endianness),
            _ => Ok(Self::version_2(bytes, endianness)),
        }
    }

    fn version_1(path: &Path, bytes: &[u8], endianness: Endianness) -> Result<Self> {
        // The crate guesses the byte order from the number of axes, so that must be right first.
        let n_axes: [u8; 2] = field(bytes, 40);
        let n_axes = match endianness {
            Endianness::Little => i16::from_le_bytes(n_axes),
            Endianness::Big => i16::from_be_bytes(n_axes),
        };
        check_n_axes(path, n_axes.into())?;
        let raw = NiftiHeader::from_reader(&bytes[..BYTES_1])
            .map_err(|e| Error::NotNifti { path: path.to_path_buf(), found: e.to_string() })?;
        let texts: [(&'static str, &[u8]); 5] = [
            ("data_type", &raw.data_type),
            ("descrip", &raw.descrip),
            ("aux_file", &raw.aux_file),
            ("intent_name", &raw.intent_name),
            ("db_name", &raw.db_name),
        ];
        Ok(Self {
            endianness: raw.endianness,
            dim: raw.dim.map(|n| n.cast_signed().into()),
            datatype: raw.datatype,
            bitpix: raw.bitpix,
            vox_offset: raw.vox_offset.into(),
            pixdim: raw.pixdim.map(f64::from),
            slope: raw.scl_slope.into(),
            inter: raw.scl_inter.into(),
            xyzt_units: raw.xyzt_units,
            qform_code: raw.qform_code.into(),
            sform_code: raw.sform_code.into(),
            quatern: [raw.quatern_b, raw.quatern_c, raw.quatern_d].map(f64::from),
            qoffset: [raw.quatern_x, raw.quatern_y, raw.quatern_z].map(f64::from),
            srow: [raw.srow_x, raw.srow_y, raw.srow_z].map(|row| row.map(f64::from)),
            private_fields: filled(&texts),
        })
    }

    fn version_2(bytes: &[u8], endianness: Endianness) -> Self {
        let at = Fields { bytes, endianness };
        let triple = |offset: usize| std::array::from_fn(|i| at.f64(offset + 8 * i));
        let texts: [(&'static str, &[u8]); 3] = [
            ("descrip", &bytes[240..320]),
            ("aux_file", &bytes[320..344]),
            ("intent_name", &bytes[508..524]),
        ];
        Self {
            endianness,
            dim: std::array::from_fn(|i| at.i64(16 + 8 * i)),
            datatype: at.i16(12),
            bitpix: at.i16(14),
            vox_offset: at.i64(168) as f64,
            pixdim: std::array::from_fn(|i| at.f64(104 + 8 * i)),
            slope: at.f64(176),
            inter: at.f64(184),
            xyzt_units: at.i32(500) as u8,
            qform_code: at.i32(344),
            sform_code: at.i32(348),
            quatern: triple(352),
            qoffset: triple(376),
            srow: [400, 432, 464].map(|row| std::array::from_fn(|i| at.f64(row + 8 * i))),
            private_fields: filled(&texts),
        }
    }
}

/// Refuses a number of axes that the format does not have.
pub(crate) fn check_n_axes(path: &Path, n_axes: i64) -> Result<()> {
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

fn filled(texts: &[(&'static str, &[u8])]) -> Vec<&'static str> {
    let is_filled = |text: &[u8]| text.iter().any(|b| !matches!(b, 0 | b' '));
    texts.iter().filter_map(|(name, text)| is_filled(text).then_some(*name)).collect()
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes[offset..offset + N].try_into().expect("a slice of N bytes")
}

/// Numbers at their offsets, in the byte order of the file.
struct Fields<'a> {
    bytes: &'a [u8],
    endianness: Endianness,
}

impl Fields<'_> {
    /// The bytes of a field, least significant first.
    fn little<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = field(self.bytes, offset);
        if self.endianness == Endianness::Big {
            bytes.reverse();
        }
        bytes
    }

    fn i16(&self, offset: usize) -> i16 {
        i16::from_le_bytes(self.little(offset))
    }

    fn i32(&self, offset: usize) -> i32 {
        i32::from_le_bytes(self.little(offset))
    }

    fn i64(&self, offset: usize) -> i64 {
        i64::from_le_bytes(self.little(offset))
    }

    fn f64(&self, offset: usize) -> f64 {
        f64::from_le_bytes(self.little(offset))
    }
}
