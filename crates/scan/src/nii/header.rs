//! What a header says, believed only as far as it can be checked.

use std::path::{Path, PathBuf};

use nifti::{Endianness, NiftiType};
use serde::Serialize;

use super::{
    MAX_BYTES, mgh,
    raw::{BYTES_2, Format, Raw, check_n_axes, identify},
    source::Source,
};
use crate::error::{Error, Result};

/// The most bytes of extensions: the axes of the largest CIFTI files take a tenth.
const MAX_EXTENSION_BYTES: u64 = 256 << 20;

/// Linear map from stored numbers to values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scaling {
    /// Factor.
    pub slope: f64,
    /// Summand.
    pub inter: f64,
}

/// A checked header.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) format: Format,
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
    pub(crate) sform_code: i32,
    pub(crate) srow: [[f64; 4]; 3],
    pub(crate) qform_code: i32,
    /// b, c, d; a follows from unit length.
    pub(crate) quatern: [f64; 3],
    pub(crate) qoffset: [f64; 3],
    /// Free-text fields that hold something, by name only.
    pub(crate) private_fields: Vec<&'static str>,
}

/// Whether a file holds the voxels of a pair, which have no beginning to know them by.
pub(crate) fn is_image_of_pair(path: &Path) -> bool {
    sibling(path, "img", "hdr").is_some_and(|hdr| hdr.is_file())
}

/// Header and image of the pair that a path is half of, where both are there.
pub(crate) fn pair_of(path: &Path) -> Option<[PathBuf; 2]> {
    let header = sibling(path, "img", "hdr");
    let image = sibling(path, "hdr", "img");
    let pair = [header.unwrap_or(path.to_path_buf()), image.unwrap_or(path.to_path_buf())];
    (pair[0] != pair[1] && pair.iter().all(|half| half.is_file())).then_some(pair)
}

/// Opens a file, or the pair it belongs to: the header, and a source that stands at the first
/// voxel.
pub(crate) fn open(path: &Path) -> Result<(Source, Header)> {
    let (source, header, _) = open_with_extensions(path, false)?;
    Ok((source, header))
}

/// As [`open`], with the bytes between header and voxels where they are `wanted`.
pub(crate) fn open_with_extensions(path: &Path, wanted: bool) -> Result<(Source, Header, Vec<u8>)> {
    let header_path = sibling(path, "img", "hdr").filter(|hdr| hdr.is_file());
    let mut source = Source::open(header_path.as_deref().unwrap_or(path))?;
    let mut header = Header::read(&mut source)?;
    let mut extended = source.extended && header.offset > header.format.first_voxel_offset();
    if header.format.is_pair() {
        // theirs stand after the header, in its own file
        extended = source.extended && source.fill(&mut [0; 8])? == 8;
        let image = sibling(source.path(), "hdr", "img").ok_or_else(|| Error::NotNifti {
            path: path.to_path_buf(),
            found: "it is the header of a pair, but its name does not end in .hdr".to_owned(),
        })?;
        source = Source::open(&image)?;
    }
    let promised = header.promised();
    source.check_holds(promised)?;
    let found = header.n_bytes().max(header.n_values() * size_of::<f32>() as u128);
    if found > u128::from(MAX_BYTES) {
        return Err(Error::TooLarge { path: path.to_path_buf(), found, limit: MAX_BYTES });
    }
    let mut extensions = Vec::new();
    let n_bytes = header.offset - header.format.first_voxel_offset();
    if n_bytes > MAX_EXTENSION_BYTES {
        return Err(Error::Header {
            path: path.to_path_buf(),
            field: "vox_offset",
            found: header.offset.to_string(),
            expected: "at most 256 MiB before the first voxel",
        });
    }
    if wanted && !header.format.is_pair() {
        extensions = source.take(n_bytes as usize, promised)?;
    } else {
        source.skip_to(header.offset, promised)?;
    }
    if extended {
        header.private_fields.push("extensions");
    }
    Ok((source, header, extensions))
}

/// `bold.img` for `bold.hdr`, `bold.img.gz` for `bold.hdr.gz`; nothing for other names.
fn sibling(path: &Path, from: &str, to: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let (stem, tail) = match name.strip_suffix(".gz") {
        Some(stem) => (stem, ".gz"),
        None => (name, ""),
    };
    let upper = [from.to_uppercase(), to.to_uppercase()];
    let (stem, to) = match stem.strip_suffix(upper[0].as_str()) {
        Some(stem) => (stem, upper[1].as_str()),
        None => (stem.strip_suffix(from)?, to),
    };
    let stem = stem.strip_suffix('.')?;
    let both = [tail, if tail.is_empty() { ".gz" } else { "" }];
    let names = both.map(|tail| path.with_file_name(format!("{stem}.{to}{tail}")));
    names.iter().find(|path| path.is_file()).or(names.first()).cloned()
}

impl Header {
    /// Reads and checks the header and the four bytes after it.
    fn read(source: &mut Source) -> Result<Self> {
        let path = source.path().to_path_buf();
        let mut bytes = [0; BYTES_2];
        // The size field alone first: what is no header may be short.
        let mut n = source.fill(&mut bytes[..4])?;
        if n == 4 && bytes[..4] == mgh::MAGIC {
            return mgh::read(source, mgh::MAGIC);
        }
        n += source.fill(&mut bytes[n..348])?;
        if bytes[..4] == 540_i32.to_le_bytes() || bytes[..4] == 540_i32.to_be_bytes() {
            n += source.fill(&mut bytes[n..])?;
        }
        let format = identify(&path, &bytes[..n])?;
        let raw = Raw::decode(&path, format, &bytes)?;
        let mut extender = [0; 4];
        source.fill(&mut extender)?;
        source.extended = extender[0] != 0;
        Self::checked(&path, format, raw)
    }

    /// Number of stored values; checked to fit `usize` once the header was read.
    pub(crate) fn n_values(&self) -> u128 {
        self.dims.iter().map(|&n| n as u128).product()
    }

    /// Number of stored bytes.
    pub(crate) fn n_bytes(&self) -> u128 {
        self.n_values() * self.dtype.size_of() as u128
    }

    /// Length that the content of the file with the voxels must have.
    pub(crate) fn promised(&self) -> u128 {
        u128::from(self.offset) + self.n_bytes()
    }

    fn checked(path: &Path, format: Format, raw: Raw) -> Result<Self> {
        let refuse = |field, found: String, expected| Error::Header {
            path: path.to_path_buf(),
            field,
            found,
            expected,
        };
        check_n_axes(path, raw.dim[0])?;
        let sizes = &raw.dim[1..=raw.dim[0] as usize];
        if sizes.iter().any(|&n| n <= 0) {
            return Err(refuse("dim", format!("{sizes:?}"), "a positive size for each axis"));
        }
        let mut dims: Vec<usize> = sizes.iter().map(|&n| n as usize).collect();
        while dims.len() > 4 && dims.last() == Some(&1) {
            dims.pop();
        }
        // Seven 64-bit sizes overflow even 128 bits.
        let product = dims.iter().try_fold(8_u128, |n, &size| n.checked_mul(size as u128));
        if product.is_none() {
            let expected = "sizes whose product is a number of bytes";
            return Err(refuse("dim", format!("{sizes:?}"), expected));
        }
        let dtype = checked_dtype(path, raw.datatype)?;
        // some writers leave it 0, and the data type says the width
        if raw.bitpix != 0 && usize::try_from(raw.bitpix) != Ok(8 * dtype.size_of()) {
            let expected = "the width of the data type";
            return Err(refuse("bitpix", raw.bitpix.to_string(), expected));
        }
        let offset = raw.vox_offset;
        let on_grid = offset >= format.first_voxel_offset() as f64 && offset.fract() == 0.0;
        if !(on_grid && offset < 2_f64.powi(53)) {
            let expected = match format {
                Format::Nifti1 => "a whole number of bytes from 352 on",
                Format::Nifti2 => "a whole number of bytes from 544 on",
                _ => "a whole number of bytes",
            };
            return Err(refuse("vox_offset", offset.to_string(), expected));
        }
        let scaled = raw.slope.is_finite() && raw.slope != 0.0;
        if scaled && !raw.inter.is_finite() {
            return Err(refuse("scl_inter", raw.inter.to_string(), "a finite number"));
        }
        let scaling = scaled.then_some(Scaling { slope: raw.slope, inter: raw.inter });
        Ok(Self {
            format,
            dims,
            dtype,
            endianness: raw.endianness,
            scaling,
            offset: offset as u64,
            pixdim: raw.pixdim,
            xyzt_units: raw.xyzt_units,
            sform_code: raw.sform_code,
            srow: raw.srow,
            qform_code: raw.qform_code,
            quatern: raw.quatern,
            qoffset: raw.qoffset,
            private_fields: raw.private_fields,
        })
    }
}

fn checked_dtype(path: &Path, code: i16) -> Result<NiftiType> {
    use NiftiType as T;
    let path = || path.to_path_buf();
    let known = [
        (2, T::Uint8),
        (4, T::Int16),
        (8, T::Int32),
        (16, T::Float32),
        (64, T::Float64),
        (256, T::Int8),
        (512, T::Uint16),
        (768, T::Uint32),
        (1024, T::Int64),
        (1280, T::Uint64),
    ];
    if let Some((_, dtype)) = known.iter().find(|(known, _)| *known == code) {
        return Ok(*dtype);
    }
    let legal = [
        (1, "bits"),
        (32, "complex64"),
        (128, "rgb24"),
        (1536, "float128"),
        (1792, "complex128"),
        (2048, "complex256"),
        (2304, "rgba32"),
    ];
    match legal.iter().find(|(known, _)| *known == code) {
        Some((_, name)) => Err(Error::Unsupported {
            path: path(),
            found: format!("an image of {name}"),
            expected: "real numbers of 8 to 64 bits",
        }),
        None => Err(Error::Header {
            path: path(),
            field: "datatype",
            found: code.to_string(),
            expected: "a code of the NIfTI standard",
        }),
    }
}

/// `int16`, `float32`, …
pub(crate) fn dtype_name(dtype: NiftiType) -> String {
    format!("{dtype:?}").to_lowercase()
}
