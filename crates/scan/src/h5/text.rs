//! Texts: strings of fixed and free length, and MATLAB's characters.

use hdf5::{
    Container, ObjectReference1, ReferencedObject,
    types::{FixedAscii, FixedUnicode, Reference, TypeDescriptor, VarLenAscii, VarLenUnicode},
};

use super::dataset::Dataset;
use crate::error::Result;

/// Texts of a dataset, at most.
const MAX_TEXTS: usize = 1 << 22;

/// The strings of a dataset or attribute; nothing where its elements are no strings.
pub(super) fn texts(
    object: &Container,
    descriptor: &TypeDescriptor,
) -> Option<hdf5::Result<Vec<String>>> {
    use TypeDescriptor as T;
    // The library turns strings of one fixed length into another, but not into free ones.
    macro_rules! fixed {
        ($kind:ident, $size:expr, $($width:literal)*) => {
            match $size {
                $(size if size <= $width => read::<$kind<$width>>(object, |text| text.as_bytes().to_vec()),)*
                size => Err(hdf5::Error::from(format!("texts of {size} bytes").as_str())),
            }
        };
    }
    Some(match descriptor {
        T::VarLenAscii => read::<VarLenAscii>(object, |text| text.as_bytes().to_vec()),
        T::VarLenUnicode => read::<VarLenUnicode>(object, |text| text.as_bytes().to_vec()),
        T::FixedAscii(size) => fixed!(FixedAscii, *size, 16 64 256 4096),
        T::FixedUnicode(size) => fixed!(FixedUnicode, *size, 16 64 256 4096),
        _ => return None,
    })
}

fn read<T: hdf5::H5Type>(
    object: &Container,
    bytes: impl Fn(&T) -> Vec<u8>,
) -> hdf5::Result<Vec<String>> {
    let texts: Vec<T> = object.read_raw()?;
    // A file may say UTF-8 and hold anything.
    Ok(texts.iter().map(|text| String::from_utf8_lossy(&bytes(text)).into_owned()).collect())
}

impl Dataset<'_> {
    /// All texts.
    pub(super) fn texts(&self) -> Result<Vec<String>> {
        let n = self.shape().iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
        if n.is_none_or(|n| n > MAX_TEXTS) {
            return Err(self.refuse(&format!("holds more than {MAX_TEXTS} texts")));
        }
        let descriptor = self.descriptor()?;
        match (self.matlab_class.as_deref(), &descriptor) {
            (Some("char"), TypeDescriptor::Unsigned(_)) => {
                return self.characters().map(|text| vec![text]);
            }
            (Some("cell"), TypeDescriptor::Reference(Reference::Object)) => return self.cells(),
            _ => {}
        }
        if n == Some(0) {
            return Ok(Vec::new());
        }
        self.try_chunks(self.check_storage()?, None)?;
        match texts(&self.inner, &descriptor) {
            Some(Ok(texts)) => Ok(texts),
            Some(Err(error)) => Err(self.file.failed(&self.name, "cannot be read", &error)),
            None => {
                let found = self.type_words();
                Err(self.refuse(&format!("holds {found}, expected text")))
            }
        }
    }

    /// MATLAB's row of UTF-16 units.
    fn characters(&self) -> Result<String> {
        let units: Vec<u16> = self.values()?.iter().map(|&unit| unit as u16).collect();
        Ok(String::from_utf16_lossy(&units))
    }

    /// MATLAB's cells, each a row of characters.
    fn cells(&self) -> Result<Vec<String>> {
        self.try_chunks(self.check_storage()?, None)?;
        let failed = |error| self.file.failed(&self.name, "cannot be read", &error);
        let references: Vec<ObjectReference1> = self.inner.read_raw().map_err(failed)?;
        let text = |reference: &ObjectReference1| {
            let ReferencedObject::Dataset(inner) =
                self.inner.dereference(reference).map_err(failed)?
            else {
                return Err(self.refuse("is a cell array of groups, expected text"));
            };
            Dataset::new(self.file, &self.name, inner)?.characters()
        };
        references.iter().map(text).collect()
    }
}
