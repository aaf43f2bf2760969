//! MATLAB files of version 5 (`save -v6` and `-v7`, scipy): matrices of real numbers, compressed or not. What
//! MATLAB can run or reconstruct (objects, function handles) is named and not read. Files of `-v7.3` are HDF5.

mod elements;

use std::{
    fs::File,
    io::{BufReader, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use flate2::read::ZlibDecoder;
use ndarray::{ArrayD, IxDyn, ShapeBuilder as _};
use serde::Serialize;

use elements::{COMPRESSED, Class, Elements, Head, MATRIX, Order, Tag};

use crate::{
    error::{Error, Result, brief},
    h5::T_R_NAMES,
    nii::MAX_BYTES,
    open::{OpenOptions, plausible},
    xml::Parsed,
};

/// Bytes before the first element.
const HEADER: usize = 128;

/// Deflate packs at most 258 bytes into 2 bits.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// More than any workspace holds.
const MAX_VARIABLES: usize = 100_000;

/// Whether a file begins as one of version 5: words, then the version and the byte order.
pub(crate) fn begins(start: &[u8]) -> bool {
    start.starts_with(b"MATLAB 5.0")
        && matches!(start.get(124..128), Some([0, 1, b'I', b'M'] | [1, 0, b'M', b'I']))
}

/// A file whose variables are listed; numbers are read when asked for.
#[derive(Clone, Debug)]
pub(crate) struct MatFile {
    path: PathBuf,
    order: Order,
    n_bytes: u64,
    variables: Vec<Variable>,
}

/// One variable.
#[derive(Clone, Debug)]
struct Variable {
    head: Head,
    /// Where its element begins.
    offset: u64,
    /// Bytes of its element.
    n_bytes: u64,
}

impl Variable {
    /// Whether it could be a scan: real numbers along two axes or four.
    fn is_array(&self) -> bool {
        let is_long = self.head.sizes.iter().filter(|size| **size > 1).count() >= 2;
        matches!(self.head.class, Class::Numbers(_)) && is_long
    }

    fn n_values(&self) -> u64 {
        self.head.sizes.iter().fold(1, |n, &size| n.saturating_mul(size as u64))
    }
}

impl MatFile {
    /// Reads what stands before the numbers of each variable.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let attach = |source| Error::Read { path: path.to_path_buf(), source };
        let mut file = BufReader::new(File::open(path).map_err(attach)?);
        let n_bytes = file.get_ref().metadata().map_err(attach)?.len();
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(attach)?;
        let order = Order { is_big: header[126] == b'M' };
        let mut this = Self { path: path.to_path_buf(), order, n_bytes, variables: Vec::new() };
        let mut offset = HEADER as u64;
        while offset < n_bytes {
            if this.variables.len() == MAX_VARIABLES {
                return Err(this.refuse(format!("holds more than {MAX_VARIABLES} variables")));
            }
            file.seek(SeekFrom::Start(offset)).map_err(attach)?;
            let place = this.variables.len() + 1;
            let wrong = |problem: String| this.refuse(format!("its variable {place}: {problem}"));
            let tag = Elements { source: &mut file, order }.tag().map_err(wrong)?;
            let (start, length) = (offset + 8, tag.n_bytes as u64);
            if length > n_bytes - start {
                let left = n_bytes - start;
                return Err(wrong(format!("it claims {length} bytes, the file has {left} more")));
            }
            let head = within(&mut file, order, &tag, head).map_err(wrong)?;
            if let Some(head) = head {
                this.variables.push(Variable { head, offset, n_bytes: length });
            }
            // elements are padded to eight bytes, except those that are compressed
            let padded = if tag.kind == COMPRESSED { length } else { length.next_multiple_of(8) };
            offset = start + padded;
        }
        Ok(this)
    }

    fn refuse(&self, problem: String) -> Error {
        Error::Matlab { path: self.path.clone(), problem }
    }

    /// Names of the arrays of real numbers.
    pub(crate) fn names(&self) -> Vec<String> {
        let arrays = self.variables.iter().filter(|it| matches!(it.head.class, Class::Numbers(_)));
        arrays.map(|it| it.head.name.clone()).collect()
    }

    /// The variable that is meant: the one that is named, or the only one that could be a scan.
    fn chosen(&self, name: Option<&str>) -> Result<&Variable> {
        if let Some(name) = name {
            let name = name.trim_start_matches('/');
            let Some(found) = self.variables.iter().find(|it| it.head.name == name) else {
                return Err(crate::named::no_array(&self.path, name, self.names()));
            };
            return match found.head.class {
                Class::Numbers(_) => Ok(found),
                Class::Other(what) => {
                    let name = brief(name);
                    Err(self
                        .refuse(format!("`{name}` is {what}, expected an array of real numbers")))
                }
            };
        }
        let arrays: Vec<&Variable> = self.variables.iter().filter(|it| it.is_array()).collect();
        match arrays[..] {
            [only] => Ok(only),
            [] => {
                let others = self.variables.iter().take(4);
                let others = others
                    .map(|it| format!("`{}` is {}", brief(&it.head.name), it.head.class.name()));
                let others: Vec<String> = others.collect();
                let others =
                    if others.is_empty() { "it is empty".to_owned() } else { others.join(", ") };
                Err(self.refuse(format!("holds no matrix of real numbers: {others}")))
            }
            _ => {
                let names = arrays.iter().take(8).map(|it| brief(&it.head.name));
                let names: Vec<String> = names.collect();
                Err(self.refuse(format!(
                    "holds {} matrices ({}), expected `dataset` with the name of one",
                    arrays.len(),
                    names.join(", ")
                )))
            }
        }
    }

    /// Sizes of the variable that is meant.
    pub(crate) fn sizes(&self, name: Option<&str>) -> Result<Vec<usize>> {
        Ok(self.chosen(name)?.head.sizes.clone())
    }

    /// The most bytes that reading the variable takes: as stored, widened, and in our order.
    pub(crate) fn read_bytes(&self, name: Option<&str>) -> Result<u64> {
        Ok(self.chosen(name)?.n_values().saturating_mul(24).saturating_add(1 << 20))
    }

    /// The numbers of the variable that is meant.
    pub(crate) fn values(&self, name: Option<&str>) -> Result<ArrayD<f64>> {
        let variable = self.chosen(name)?;
        let n = variable.n_values();
        let bytes = u128::from(n) * 8;
        if bytes > u128::from(MAX_BYTES) {
            return Err(Error::TooLarge {
                path: self.path.clone(),
                found: bytes,
                limit: MAX_BYTES,
            });
        }
        // the narrowest number takes a byte
        if n > variable.n_bytes.saturating_mul(MAX_DEFLATE_RATIO) {
            let expected = n.into();
            return Err(Error::Truncated {
                path: self.path.clone(),
                found: self.n_bytes,
                expected,
            });
        }
        let attach = |source| Error::Read { path: self.path.clone(), source };
        let mut file = BufReader::new(File::open(&self.path).map_err(attach)?);
        file.seek(SeekFrom::Start(variable.offset)).map_err(attach)?;
        let name = brief(&variable.head.name);
        let wrong = |problem: String| self.refuse(format!("`{name}`: {problem}"));
        let tag = Elements { source: &mut file, order: self.order }.tag().map_err(wrong)?;
        let read = within(&mut file, self.order, &tag, |inside| {
            let head = inside.head()?;
            Ok((inside.numbers(n as usize)?, head))
        });
        match read.map_err(wrong)? {
            Some((values, head)) if head == variable.head => {
                let shape = IxDyn(&head.sizes).f();
                Ok(ArrayD::from_shape_vec(shape, values).expect("as many as the sizes promise"))
            }
            _ => Err(Error::Changed { path: self.path.clone() }),
        }
    }

    /// Seconds between two frames, and the variable that says it; or why there is none.
    pub(crate) fn t_r(&self) -> Result<(f64, String), String> {
        let is_number =
            |it: &&Variable| it.n_values() == 1 && T_R_NAMES.contains(&it.head.name.as_str());
        let Some(variable) = self.variables.iter().find(is_number) else {
            return Err(format!(
                "the file does not say it (no number called {})",
                T_R_NAMES.join(", ")
            ));
        };
        let name = &variable.head.name;
        let values = self.values(Some(name)).map_err(|error| error.to_string())?;
        let t_r = values.iter().copied().next().unwrap_or(f64::NAN);
        plausible(t_r).map_err(|expected| format!("`{name}` is {t_r} s, {expected}"))?;
        Ok((t_r, format!("variable `{name}`")))
    }
}

fn head(inside: &mut Elements<&mut dyn Read>) -> Parsed<Head> {
    inside.head()
}

/// Reads inside of an element, unpacked where it is compressed; none where it holds no matrix.
fn within<T>(
    file: &mut BufReader<File>,
    order: Order,
    tag: &Tag,
    read: impl FnOnce(&mut Elements<&mut dyn Read>) -> Parsed<T>,
) -> Parsed<Option<T>> {
    let mut limited = file.take(tag.n_bytes as u64);
    let mut unpacked;
    let is_compressed = tag.kind == COMPRESSED;
    let source: &mut dyn Read = if is_compressed {
        unpacked = ZlibDecoder::new(limited);
        &mut unpacked
    } else {
        &mut limited
    };
    let mut inside = Elements { source, order };
    let kind = if is_compressed {
        let inner = inside.tag()?;
        if inner.n_bytes == 0 { 0 } else { inner.kind }
    } else if tag.n_bytes == 0 {
        0
    } else {
        tag.kind
    };
    if kind == MATRIX { read(&mut inside).map(Some) } else { Ok(None) }
}

/// The facts of a MATLAB file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MatlabDescription {
    /// The file.
    pub path: PathBuf,
    /// `matlab5`
    pub format: &'static str,
    /// Size on disk in bytes.
    pub n_bytes: u64,
    /// `little` or `big`.
    pub byte_order: &'static str,
    /// The variable that is read where none is named.
    pub dataset: Option<String>,
    /// Repetition time in seconds.
    pub t_r: Option<f64>,
    /// Where the repetition time comes from, or why there is none.
    pub t_r_source: String,
    /// Names of variables of text.
    pub private_fields: Vec<String>,
    /// What each variable is.
    pub variables: serde_json::Map<String, serde_json::Value>,
}

/// Lists the variables of a file.
pub(crate) fn describe(path: &Path) -> Result<MatlabDescription> {
    let file = MatFile::open(path)?;
    let words = |it: &Variable| {
        let sizes: Vec<String> = it.head.sizes.iter().map(ToString::to_string).collect();
        format!("{} {}", it.head.class.name(), sizes.join(" × "))
    };
    let (t_r, t_r_source) = match file.t_r() {
        Ok((t_r, source)) => (Some(t_r), source),
        Err(problem) => (None, problem),
    };
    let texts = file.variables.iter().filter(|it| it.head.class == Class::Other("text"));
    Ok(MatlabDescription {
        path: path.to_path_buf(),
        format: "matlab5",
        n_bytes: file.n_bytes,
        byte_order: if file.order.is_big { "big" } else { "little" },
        dataset: file.chosen(None).ok().map(|it| it.head.name.clone()),
        t_r,
        t_r_source,
        private_fields: texts.map(|it| brief(&it.head.name)).collect(),
        variables: file
            .variables
            .iter()
            .map(|it| (brief(&it.head.name), words(it).into()))
            .collect(),
    })
}

impl OpenOptions {
    /// The repetition time of a MATLAB file: as given, else as the file has it.
    pub(crate) fn t_r_of(&self, file: &MatFile) -> Result<(f64, String)> {
        if let Some(t_r) = self.given_t_r()? {
            return Ok((t_r, "given".to_owned()));
        }
        let refuse = |problem| Error::RepetitionTime { path: file.path.clone(), problem };
        file.t_r().map_err(refuse)
    }
}

#[cfg(test)]
mod tests;
