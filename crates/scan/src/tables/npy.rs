//! Arrays as numpy writes them.
//!
//! Source: NEP 1, "A simple file format for `NumPy` arrays". Plain numbers only: object arrays, which
//! carry programs, are refused by their name.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Write},
    path::Path,
};

use ndarray::{ArrayD, ArrayViewD, IxDyn, ShapeBuilder};
use nifti::NiftiType;

use crate::{
    error::{Error, Result},
    nii::{Decoder, MAX_BYTES},
    whole_file,
};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// The most bytes a header may take.
const MAX_HEADER_BYTES: usize = 1 << 16;

/// Reads an array of numbers, widened to 64 bits.
pub fn read_npy(path: impl AsRef<Path>) -> Result<ArrayD<f64>> {
    let path = path.as_ref();
    let attach = |source| Error::Read { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(attach)?;
    let n_bytes = file.metadata().map_err(attach)?.len();
    let mut file = BufReader::new(file);
    let refuse = |problem: String| Error::Npy { path: path.to_path_buf(), problem };
    let mut start = [0; 8];
    file.read_exact(&mut start).map_err(|_| refuse("it ends in its header".to_owned()))?;
    if start[..6] != *MAGIC {
        return Err(refuse("it does not begin with \\x93NUMPY".to_owned()));
    }
    let mut size = [0; 4];
    let n_size = if start[6] == 1 { 2 } else { 4 };
    file.read_exact(&mut size[..n_size]).map_err(|_| refuse("it ends in its header".to_owned()))?;
    let n_header = u32::from_le_bytes(size) as usize;
    if n_header > MAX_HEADER_BYTES {
        return Err(refuse(format!("its header claims {n_header} bytes")));
    }
    let mut header = vec![0; n_header];
    file.read_exact(&mut header).map_err(|_| refuse("it ends in its header".to_owned()))?;
    let header = Header::parse(&String::from_utf8_lossy(&header)).map_err(refuse)?;
    let n_values = header.shape.iter().try_fold(1_u64, |n, &size| n.checked_mul(size as u64));
    let width = header.dtype.size_of() as u64;
    let promised = n_values.and_then(|n| n.checked_mul(width)).filter(|n| *n <= MAX_BYTES);
    let rest = n_bytes.saturating_sub((8 + n_size + n_header) as u64);
    let (Some(n_values), Some(promised)) = (n_values, promised) else {
        let found = header.shape.iter().fold(8_u128, |n, &size| n.saturating_mul(size as u128));
        return Err(Error::TooLarge { path: path.to_path_buf(), found, limit: MAX_BYTES });
    };
    if rest < promised {
        let (found, expected) = (rest, u128::from(promised));
        return Err(Error::Truncated { path: path.to_path_buf(), found, expected });
    }
    let mut bytes = vec![0; promised as usize];
    file.read_exact(&mut bytes).map_err(attach)?;
    let decoder = Decoder::plain(header.dtype, header.is_big);
    decoder.reorder(&mut bytes);
    let mut values = vec![0.0; n_values as usize];
    decoder.all(&bytes, &mut values);
    let shape = IxDyn(&header.shape);
    let array = if header.is_fortran {
        ArrayD::from_shape_vec(shape.f(), values)
    } else {
        ArrayD::from_shape_vec(shape, values)
    };
    Ok(array.expect("as many values as promised"))
}

/// Writes an array of 64-bit numbers; the file appears under its name only when it is whole.
pub fn write_npy(path: impl AsRef<Path>, array: &ArrayViewD<f64>) -> Result<()> {
    let path = path.as_ref();
    let sizes: Vec<String> = array.shape().iter().map(ToString::to_string).collect();
    let sizes = if let [size] = &sizes[..] { format!("{size},") } else { sizes.join(", ") };
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({sizes}), }}");
    // Voxels begin on a multiple of 64 bytes, after a line break.
    let n_plain = MAGIC.len() + 4 + header.len() + 1;
    header.push_str(&" ".repeat(n_plain.next_multiple_of(64) - n_plain));
    header.push('\n');
    whole_file::write(path, |file| {
        let mut file = BufWriter::new(file);
        file.write_all(MAGIC)?;
        file.write_all(&[1, 0])?;
        file.write_all(&(header.len() as u16).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        array.iter().try_for_each(|x| file.write_all(&x.to_le_bytes()))?;
        file.flush()
    })
}

struct Header {
    dtype: NiftiType,
    is_big: bool,
    is_fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    /// Reads the dictionary that Python would.
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let value = |key: &str| {
            let after = text.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
            after.ok_or_else(|| format!("its header has no {key}"))
        };
        let descr = value("descr")?.trim_start_matches(['\'', '"']);
        let descr = descr.split(['\'', '"', ',', '}']).next().unwrap_or_default();
        let is_fortran = match value("fortran_order")? {
            rest if rest.starts_with("True") => true,
            rest if rest.starts_with("False") => false,
            _ => return Err("its fortran_order is neither True nor False".to_owned()),
        };
        let sizes = value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let (sizes, _) = sizes.ok_or("its shape is no tuple")?;
        let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
        let shape: Option<Vec<usize>> = sizes.map(|size| size.parse().ok()).collect();
        let shape = shape.ok_or("its shape holds no sizes")?;
        let (order, code) = descr.split_at_checked(1).unwrap_or_default();
        let dtype = match code {
            "f4" => NiftiType::Float32,
            "f8" => NiftiType::Float64,
            "i1" => NiftiType::Int8,
            "i2" => NiftiType::Int16,
            "i4" => NiftiType::Int32,
            "i8" => NiftiType::Int64,
            "u1" => NiftiType::Uint8,
            "u2" => NiftiType::Uint16,
            "u4" => NiftiType::Uint32,
            "u8" => NiftiType::Uint64,
            _ => return Err(format!("its numbers are {descr:?}, which is not read yet")),
        };
        Ok(Self { dtype, is_big: order == ">", is_fortran, shape })
    }
}
