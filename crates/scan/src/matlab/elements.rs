//! The elements that a MATLAB file is made of: a type, a length, and that many bytes.
//!
//! Source: MATLAB "MAT-File Format", chapter 1, level 5.

use std::io::Read;

use crate::xml::Parsed;

/// Array flags of 8 bytes, sizes of at most 32 axes, and a name.
const MAX_NAME: usize = 256;
const MAX_AXES: usize = 32;

pub(super) const MATRIX: u32 = 14;
pub(super) const COMPRESSED: u32 = 15;

/// Whose byte order is the least significant first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) is_big: bool,
}

impl Order {
    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// What a matrix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Real numbers.
    Numbers(&'static str),
    /// What is no array of real numbers.
    Other(&'static str),
}

impl Class {
    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Numbers(name) | Self::Other(name) => name,
        }
    }
}

/// What stands before the numbers of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) class: Class,
    /// The first axis is the fastest.
    pub(super) sizes: Vec<usize>,
    pub(super) name: String,
}

/// Reads elements one after the other.
pub(super) struct Elements<R> {
    pub(super) source: R,
    pub(super) order: Order,
}

/// A type and a number of bytes; those of four or fewer may stand in the tag itself.
pub(super) struct Tag {
    pub(super) kind: u32,
    pub(super) n_bytes: usize,
    inside: Option<[u8; 4]>,
}

impl<R: Read> Elements<R> {
    fn fill<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(|error| ended(&error))?;
        Ok(bytes)
    }

    pub(super) fn tag(&mut self) -> Parsed<Tag> {
        let first = self.order.u32(self.fill()?);
        let second: [u8; 4] = self.fill()?;
        if first >> 16 == 0 {
            let n_bytes = self.order.u32(second) as usize;
            return Ok(Tag { kind: first, n_bytes, inside: None });
        }
        let (kind, n_bytes) = (first & 0xffff, (first >> 16) as usize);
        if n_bytes > 4 {
            return Err(format!("a short element claims {n_bytes} bytes, expected at most 4"));
        }
        Ok(Tag { kind, n_bytes, inside: Some(second) })
    }

    /// The bytes of an element of at most `limit`; allocates as they come.
    pub(super) fn bytes(&mut self, tag: &Tag, limit: usize, what: &str) -> Parsed<Vec<u8>> {
        if let Some(inside) = tag.inside {
            return Ok(inside[..tag.n_bytes].to_vec());
        }
        if tag.n_bytes > limit {
            return Err(format!("{what} claims {} bytes, expected at most {limit}", tag.n_bytes));
        }
        let mut bytes = Vec::new();
        let n = tag.n_bytes as u64;
        self.source.by_ref().take(n).read_to_end(&mut bytes).map_err(|error| ended(&error))?;
        if bytes.len() < tag.n_bytes {
            let found = bytes.len();
            return Err(format!("{what} ends after {found} of {} bytes", tag.n_bytes));
        }
        // the next one begins at a multiple of eight bytes
        let padding = tag.n_bytes.next_multiple_of(8) - tag.n_bytes;
        let mut rest = [0; 8];
        self.source.read_exact(&mut rest[..padding]).or_else(|error| match error.kind() {
            // the last one of a file
            std::io::ErrorKind::UnexpectedEof => Ok(()),
            _ => Err(ended(&error)),
        })?;
        Ok(bytes)
    }

    /// Flags, sizes and name of a matrix.
    pub(super) fn head(&mut self) -> Parsed<Head> {
        let tag = self.tag()?;
        let flags = self.bytes(&tag, 8, "the flags of a matrix")?;
        let Some(flags) = flags.first_chunk::<4>().filter(|_| tag.kind == 6) else {
            return Err("a matrix has no flags".to_owned());
        };
        let flags = self.order.u32(*flags);
        let class = class(flags);
        if class == Class::Other("an object of MATLAB's own") {
            // their form is MATLAB's secret
            return Ok(Head { class, sizes: Vec::new(), name: String::new() });
        }
        let tag = self.tag()?;
        let sizes = self.bytes(&tag, 4 * MAX_AXES, "the sizes of a matrix")?;
        let sizes = sizes.as_chunks::<4>().0.iter().map(|&bytes| self.order.u32(bytes));
        let sizes: Vec<usize> = sizes.map(|size| size as usize).collect();
        if tag.kind != 5 || sizes.iter().any(|&size| size > i32::MAX as usize) {
            return Err(format!("the sizes of a matrix are {sizes:?}, expected whole numbers"));
        }
        let tag = self.tag()?;
        let name = self.bytes(&tag, MAX_NAME, "the name of a matrix")?;
        let name = String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned();
        Ok(Head { class, sizes, name })
    }

    /// As many numbers as there should be, whatever type they are stored in.
    pub(super) fn numbers(&mut self, n_values: usize) -> Parsed<Vec<f64>> {
        let tag = self.tag()?;
        let Some(width) = width(tag.kind) else {
            return Err(format!("its numbers are of type {}, which is none", tag.kind));
        };
        if tag.n_bytes != n_values * width {
            let found = tag.n_bytes;
            return Err(format!(
                "it has {found} bytes of numbers, its sizes promise {}",
                n_values * width
            ));
        }
        let bytes = self.bytes(&tag, n_values * width, "the numbers")?;
        Ok(widened(tag.kind, self.order, &bytes))
    }
}

fn ended(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it ends early".to_owned(),
        _ => format!("its compressed numbers are damaged: {error}"),
    }
}

fn class(flags: u32) -> Class {
    let is_complex = flags & 0x800 != 0;
    match flags & 0xff {
        1 => Class::Other("a cell array"),
        2 => Class::Other("a struct"),
        3 | 16 | 17 => Class::Other("an object of MATLAB's own"),
        4 => Class::Other("text"),
        5 => Class::Other("a sparse matrix"),
        6..=15 if is_complex => Class::Other("complex numbers"),
        6 => Class::Numbers("double"),
        7 => Class::Numbers("single"),
        8 => Class::Numbers("int8"),
        9 => Class::Numbers("uint8"),
        10 => Class::Numbers("int16"),
        11 => Class::Numbers("uint16"),
        12 => Class::Numbers("int32"),
        13 => Class::Numbers("uint32"),
        14 => Class::Numbers("int64"),
        15 => Class::Numbers("uint64"),
        _ => Class::Other("of a class that is not known"),
    }
}

/// Bytes of a number of a type.
fn width(kind: u32) -> Option<usize> {
    Some(match kind {
        1 | 2 => 1,
        3 | 4 => 2,
        5..=7 => 4,
        9 | 12 | 13 => 8,
        _ => return None,
    })
}

fn widened(kind: u32, order: Order, bytes: &[u8]) -> Vec<f64> {
    macro_rules! numbers {
        ($type:ty, $widen:expr) => {{
            let (stored, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
            let read = |&bytes| {
                if order.is_big {
                    <$type>::from_be_bytes(bytes)
                } else {
                    <$type>::from_le_bytes(bytes)
                }
            };
            stored.iter().map(read).map($widen).collect()
        }};
    }
    match kind {
        1 => numbers!(i8, f64::from),
        2 => numbers!(u8, f64::from),
        3 => numbers!(i16, f64::from),
        4 => numbers!(u16, f64::from),
        5 => numbers!(i32, f64::from),
        6 => numbers!(u32, f64::from),
        7 => numbers!(f32, f64::from),
        9 => numbers!(f64, |x| x),
        12 => numbers!(i64, |x| x as f64),
        _ => numbers!(u64, |x| x as f64),
    }
}
