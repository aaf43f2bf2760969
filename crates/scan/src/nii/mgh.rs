//! `FreeSurfer`'s `.mgh` and `.mgz`: a header of 284 bytes, numbers as in NIfTI with the first axis fastest,
//! and a footer that begins with the repetition time. All of it is big-endian.
//!
//! Source: <https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat>.

use std::path::Path;

use nifti::{Endianness, NiftiType};

use super::{header::Header, raw::Format, source::Source};
use crate::error::{Error, Result};

/// Bytes before the first number.
pub(crate) const HEADER_BYTES: usize = 284;

/// Bytes of the header that mean something.
const FIELDS: usize = 90;

/// What it begins with: version 1.
pub(crate) const MAGIC: [u8; 4] = [0, 0, 0, 1];

/// Bytes of the footer: TR, flip angle, TE, TI and field of view.
const FOOTER: usize = 20;

/// Whether the beginning of such a file says that it holds values of vertices, along its first axis.
pub(crate) fn is_surface(start: &[u8]) -> bool {
    let size = |axis: usize| start.get(4 + 4 * axis..8 + 4 * axis);
    size(1) == Some(&MAGIC) && size(2) == Some(&MAGIC) && size(0) != Some(&MAGIC)
}

/// The header, whose magic was read; the footer is read by another pass over the file.
pub(super) fn read(source: &mut Source, magic: [u8; 4]) -> Result<Header> {
    let path = source.path().to_path_buf();
    let mut bytes = [0; HEADER_BYTES];
    bytes[..4].copy_from_slice(&magic);
    let found = 4 + source.fill(&mut bytes[4..])?;
    if found < HEADER_BYTES {
        return Err(Error::Truncated { path, found: found as u64, expected: HEADER_BYTES as u128 });
    }
    let mut header = checked(&path, &bytes)?;
    let promised = header.promised();
    source.check_holds(promised)?;
    let (t_r, has_tags) = footer(&path, promised)?;
    header.pixdim[4] = t_r.into();
    if has_tags {
        // command lines and names of files
        header.private_fields.push("tags");
    }
    Ok(header)
}

fn checked(path: &Path, bytes: &[u8; HEADER_BYTES]) -> Result<Header> {
    let refuse = |field, found: String, expected| Error::Header {
        path: path.to_path_buf(),
        field,
        found,
        expected,
    };
    let whole =
        |at: usize| i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let sizes = [4, 8, 12, 16].map(whole);
    if sizes.iter().any(|&n| n <= 0) {
        return Err(refuse("width to nframes", format!("{sizes:?}"), "four positive sizes"));
    }
    let dtype = match whole(20) {
        0 => NiftiType::Uint8,
        1 => NiftiType::Int32,
        3 => NiftiType::Float32,
        4 => NiftiType::Int16,
        10 => NiftiType::Uint16,
        other => {
            let expected = "0, 1, 3, 4 or 10 (uchar, int, float, short or ushort)";
            return Err(refuse("type", other.to_string(), expected));
        }
    };
    let mut fields = bytes[30..FIELDS].as_chunks::<4>().0.iter().map(|&b| f32::from_be_bytes(b));
    let mut next = || fields.next().expect("fifteen fields");
    let is_good = bytes[28..30] != [0, 0];
    let mut zooms = [next(), next(), next()];
    // column by column: where x, y and z point
    let mut columns: [[f32; 3]; 3] = std::array::from_fn(|_| [next(), next(), next()]);
    let mut centre = [next(), next(), next()];
    if !is_good {
        zooms = [1.0; 3];
        columns = [[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]];
        centre = [0.0; 3];
    }
    // in 32 bits, as they are stored and as nibabel multiplies them
    let srow = std::array::from_fn(|i| {
        let row: [f32; 3] = std::array::from_fn(|j| columns[j][i] * zooms[j]);
        let half: f64 = (0..3).map(|j| f64::from(row[j]) * f64::from(sizes[j])).sum::<f64>() / 2.0;
        let shift = (f64::from(centre[i]) - half) as f32;
        [row[0], row[1], row[2], shift].map(f64::from)
    });
    let mut dims: Vec<usize> = sizes.iter().map(|&n| n as usize).collect();
    if dims[3] == 1 {
        dims.pop();
    }
    let [x, y, z] = zooms.map(f64::from);
    Ok(Header {
        format: Format::Mgh,
        dims,
        dtype,
        endianness: Endianness::Big,
        scaling: None,
        offset: HEADER_BYTES as u64,
        pixdim: [1.0, x, y, z, 0.0, 0.0, 0.0, 0.0],
        // millimetres and milliseconds
        xyzt_units: 2 | 0o20,
        sform_code: i32::from(is_good),
        srow,
        qform_code: 0,
        quatern: [0.0; 3],
        qoffset: [0.0; 3],
        private_fields: Vec::new(),
    })
}

/// The repetition time in milliseconds, 0 where the file ends before it; and whether more follows.
fn footer(path: &Path, promised: u128) -> Result<(f32, bool)> {
    let mut source = Source::open(path)?;
    let offset = u64::try_from(promised).unwrap_or(u64::MAX);
    source.skip_to(offset, promised)?;
    let mut footer = [0; FOOTER + 1];
    let n = source.fill(&mut footer)?;
    let t_r = f32::from_be_bytes([footer[0], footer[1], footer[2], footer[3]]);
    Ok((if n < 4 { 0.0 } else { t_r }, n > FOOTER))
}
