//! npy, the file of one NumPy array: magic, version, a Python dictionary as text, the values.
//!
//! `numpy.lib.format` describes it; versions 1 to 3 differ in the width of the header's length.

use std::{fs::File, io::Write as _, path::Path, sync::Arc};

use crate::{
    container::{Container, Entry, Format},
    dtype::Dtype,
    error::{Error, Result},
    source::{Cursor, Source},
    value::Value,
};

/// The first bytes of every npy file.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// More than any header of a plain array takes.
const MAX_HEADER: u64 = 1 << 16;

pub(crate) fn open(source: Arc<Source>) -> Result<Container> {
    let mut cursor = Cursor::new(&source, "the npy header", MAGIC.len() as u64, source.len);
    let [major, minor] = cursor.array()?;
    let length = match (major, minor) {
        (1, 0) => u64::from(cursor.u16()?),
        (2 | 3, 0) => u64::from(cursor.u32()?),
        _ => {
            return Err(source.unsupported(
                format!("npy version {major}.{minor}"),
                "versions 1.0, 2.0 and 3.0 are",
            ));
        }
    };
    if length > MAX_HEADER {
        return Err(
            cursor.damaged(format!("it claims {length} bytes, expected {MAX_HEADER} at most"))
        );
    }
    let text = cursor.text(length)?;
    let Some(header) = Header::parse(&text) else {
        return Err(cursor.damaged(format!(
            "it reads {:?}, expected {{'descr': …, 'fortran_order': …, 'shape': …}}",
            text.trim_end()
        )));
    };
    let Some((dtype, big_endian)) = dtype(header.descr) else {
        return Err(source.unsupported(
            format!("npy elements of type {}", header.descr),
            "save plain floating-point, integer or boolean numbers",
        ));
    };
    let offset = cursor.position();
    let n_bytes = dtype.n_bytes(&header.shape);
    if n_bytes != Some(source.len - offset) {
        return Err(source.damaged(format!(
            "{:?} {dtype} values take {} bytes, the file has {} after its header",
            header.shape,
            n_bytes.map_or_else(|| "too many".to_owned(), |n| n.to_string()),
            source.len - offset
        )));
    }
    let strides = header.fortran_order.then(|| column_major(&header.shape)).flatten();
    let (name, shape, n_bytes) = (String::new(), header.shape, source.len - offset);
    let entry = Entry { name, dtype, shape, strides, offset, n_bytes, big_endian };
    Container::new(source.clone(), Format::Npy, vec![entry], Value::Map(Vec::new()))
}

/// Strides of the first dimension fastest, where that is another order than row-major.
fn column_major(shape: &[usize]) -> Option<Vec<usize>> {
    if shape.contains(&0) || shape.iter().filter(|&&len| len > 1).count() < 2 {
        return None;
    }
    let mut stride = 1;
    let strides = shape.iter().map(|len| {
        let this = stride;
        stride *= len;
        this
    });
    Some(strides.collect())
}

#[derive(Debug, PartialEq)]
struct Header<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// The literal dictionary that `numpy.save` writes, its keys in any order.
    fn parse(text: &'a str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest)?;
            rest = after.trim_start().strip_prefix(':')?.trim_start();
            match key {
                "descr" if descr.is_none() => {
                    // a list is a record type; it is named as it stands
                    let (found, after) = match rest.strip_prefix('[') {
                        Some(_) => rest.split_at(rest.rfind(']')? + 1),
                        None => quoted(rest)?,
                    };
                    (descr, rest) = (Some(found), after);
                }
                "fortran_order" if fortran_order.is_none() => {
                    let (found, after) = match rest.strip_prefix("True") {
                        Some(after) => (true, after),
                        None => (false, rest.strip_prefix("False")?),
                    };
                    (fortran_order, rest) = (Some(found), after);
                }
                "shape" if shape.is_none() => {
                    let (dims, after) = rest.strip_prefix('(')?.split_once(')')?;
                    let dims = dims.strip_suffix(',').unwrap_or(dims).trim();
                    // Python 2 wrote its long integers with an L
                    let dim = |dim: &str| dim.trim().trim_end_matches('L').parse().ok();
                    let dims: Option<Vec<usize>> = if dims.is_empty() {
                        Some(Vec::new())
                    } else {
                        dims.split(',').map(dim).collect()
                    };
                    (shape, rest) = (Some(dims?), after);
                }
                _ => return None,
            }
            rest = rest.trim_start();
            match rest.strip_prefix(',') {
                Some(after) => rest = after.trim_start(),
                None if rest.is_empty() => {}
                None => return None,
            }
        }
        Some(Self { descr: descr?, fortran_order: fortran_order?, shape: shape? })
    }
}

/// A text in single or double quotes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| ['\'', '"'].contains(c))?;
    text[1..].split_once(quote)
}

/// NumPy's type string as a type, and whether the most significant byte comes first.
fn dtype(descr: &str) -> Option<(Dtype, bool)> {
    let order = descr.chars().next().filter(|c| ['<', '>', '|', '='].contains(c))?;
    let dtype = match &descr[1..] {
        "f8" => Dtype::F64,
        "f4" => Dtype::F32,
        "f2" => Dtype::F16,
        "i8" => Dtype::I64,
        "i4" => Dtype::I32,
        "i2" => Dtype::I16,
        "i1" => Dtype::I8,
        "u8" => Dtype::U64,
        "u4" => Dtype::U32,
        "u2" => Dtype::U16,
        "u1" => Dtype::U8,
        "b1" => Dtype::Bool,
        _ => return None,
    };
    (order != '|' || dtype.size() == 1).then_some((dtype, order == '>'))
}

/// NumPy's little-endian type string, where NumPy has the type.
fn descr(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::F64 => "<f8",
        Dtype::F32 => "<f4",
        Dtype::F16 => "<f2",
        Dtype::I64 => "<i8",
        Dtype::I32 => "<i4",
        Dtype::I16 => "<i2",
        Dtype::I8 => "|i1",
        Dtype::U64 => "<u8",
        Dtype::U32 => "<u4",
        Dtype::U16 => "<u2",
        Dtype::U8 => "|u1",
        Dtype::Bool => "|b1",
        Dtype::BF16
        | Dtype::F8E4M3
        | Dtype::F8E5M2
        | Dtype::C64
        | Dtype::C128
        | Dtype::Quantised(_) => return None,
    })
}

/// Writes row-major little-endian values as `numpy.save` would; NumPy has no bf16.
pub fn write_npy(path: &Path, dtype: Dtype, shape: &[usize], values: &[u8]) -> Result<()> {
    let n_bytes = dtype.n_bytes(shape);
    let (Some(descr), true) = (descr(dtype), n_bytes == Some(values.len() as u64)) else {
        let (dtype, shape, found) = (dtype.to_string(), shape.to_vec(), values.len() as u64);
        return Err(Error::Length { dtype, shape, expected: n_bytes, found });
    };
    let dims = shape.iter().map(|dim| format!("{dim},")).collect::<Vec<_>>().join(" ");
    let dims = if shape.len() > 1 { dims.trim_end_matches(',') } else { &dims };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}");
    // magic, version and length take ten bytes, a line feed one; the values begin at a multiple of 64
    let padding = (64 - (header.len() + 11) % 64) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let attach = |source| Error::Write { path: path.to_path_buf(), source };
    let mut file = File::create(path).map_err(attach)?;
    let head = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    file.write_all(&head).and_then(|()| file.write_all(values)).map_err(attach)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{file, refusal};

    fn bytes(version: u8, header: &str, values: &[u8]) -> Vec<u8> {
        let length = header.len() as u32;
        let width = if version == 1 { 2 } else { 4 };
        [MAGIC, &[version, 0], &length.to_le_bytes()[..width], header.as_bytes(), values].concat()
    }

    #[test]
    fn versions_orders_and_byte_orders_give_row_major_little_endian_values() {
        // [[1, 2, 3], [4, 5, 6]] in each way of writing it
        let rows = [1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0];
        for (version, header, values) in [
            (1, "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }   \n", rows),
            (2, "{'shape': (2L, 3L), 'descr': '<i2', 'fortran_order': False}\n", rows),
            (
                3,
                "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n",
                [1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6, 0],
            ),
            (
                1,
                "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n",
                [0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6],
            ),
        ] {
            let file = file(&bytes(version, header, &values));
            let container = crate::open(file.path()).unwrap();
            let entry = container.only().unwrap();
            assert_eq!((entry.dtype, entry.shape.as_slice()), (Dtype::I16, [2, 3].as_slice()));
            assert_eq!(container.read(entry).unwrap(), rows, "{header}");
        }
    }

    #[test]
    fn a_header_that_lies_is_refused_in_a_sentence() {
        let plain = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
        for (header, n_values, expected) in [
            (plain, 7, "[2] F32 values take 8 bytes, the file has 7 after its header"),
            (plain, 9, "[2] F32 values take 8 bytes, the file has 9"),
            (&plain.replace("(2,)", "(9999999999, 9999999999)"), 8, "take too many bytes"),
            (&plain.replace("<f4", "|O"), 8, "elements of type |O, which is not read"),
            (&plain.replace("'<f4'", "[('a', '<f4')]"), 8, "of type [('a', '<f4')], which"),
            (&plain.replace("<f4", "<c8"), 8, "elements of type <c8"),
            (&plain.replace("descr", "dtype"), 8, "expected {'descr': …"),
            (&plain.replace("2,", "-2,"), 8, "expected {'descr': …"),
            ("{'descr': '<f4'}", 8, "expected {'descr': …"),
            ("", 8, "expected {'descr': …"),
        ] {
            let problem = refusal(&bytes(1, header, &vec![0; n_values]));
            assert!(problem.contains(expected), "{header}: {problem}");
        }
        let problem = refusal(&bytes(4, plain, &[0; 8]));
        assert!(problem.contains("npy version 4.0"), "{problem}");
        let problem = refusal(b"\x93NUMPY\x02\0\xff\xff\xff\xff{}");
        assert!(problem.contains("claims 4294967295 bytes"), "{problem}");
    }

    #[test]
    fn what_is_written_is_what_numpy_writes() {
        let folder = tempfile::tempdir().unwrap();
        for (shape, text) in [
            (vec![], "{'descr': '|u1', 'fortran_order': False, 'shape': (), }"),
            (vec![6], "{'descr': '|u1', 'fortran_order': False, 'shape': (6,), }"),
            (vec![2, 3], "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }"),
        ] {
            let path = folder.path().join("a.npy");
            let values: Vec<u8> = (0..shape.iter().product::<usize>() as u8).collect();
            write_npy(&path, Dtype::U8, &shape, &values).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let start = bytes.len() - values.len();
            assert_eq!(start % 64, 0);
            assert_eq!(&bytes[..10], [MAGIC, &[1, 0, start as u8 - 10, 0]].concat());
            assert_eq!(std::str::from_utf8(&bytes[10..start]).unwrap().trim_end(), text);
            let container = crate::open(&path).unwrap();
            let entry = container.only().unwrap();
            assert_eq!((&entry.shape, container.read(entry).unwrap()), (&shape, values));
        }
        assert!(write_npy(&folder.path().join("b.npy"), Dtype::BF16, &[1], &[0, 0]).is_err());
    }
}
