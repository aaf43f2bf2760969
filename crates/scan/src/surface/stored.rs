//! The numbers of one array of a GIFTI file, as they are stored.

use std::io::Read as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::ZlibDecoder;
use nifti::NiftiType;

use crate::{
    error::brief,
    nii::{Decoder, MAX_BYTES},
    xml::Parsed,
};

/// Deflate packs at most 258 bytes into 2 bits.
const MAX_DEFLATE_RATIO: usize = 1032;

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// In decimal digits.
    Ascii,
    /// Their bytes in base64.
    Base64,
    /// The same, compressed before: what the standard calls `GZipBase64Binary` is a zlib stream.
    ZlibBase64,
}

/// What is said of the numbers of one array.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) intent: String,
    pub(super) dtype: NiftiType,
    pub(super) dims: Vec<usize>,
    pub(super) is_column_major: bool,
    pub(super) encoding: Encoding,
    pub(super) is_big: bool,
    pub(super) name: Option<String>,
}

impl Array {
    /// Refuses sizes that are none, or more than a file may claim.
    pub(super) fn check(&self) -> Parsed<()> {
        let product = self.dims.iter().try_fold(8_u64, |n, &size| n.checked_mul(size as u64));
        match product {
            Some(n) if n > 0 && n <= MAX_BYTES => Ok(()),
            _ => Err(format!(
                "its sizes are {:?}, expected 1 to {} numbers",
                self.dims,
                MAX_BYTES / 8
            )),
        }
    }

    /// Number of values; checked.
    pub(super) fn n_values(&self) -> usize {
        self.dims.iter().product()
    }

    /// Sizes that are more than one; of a single number, one.
    pub(super) fn sizes(&self) -> Vec<usize> {
        let sizes: Vec<usize> = self.dims.iter().copied().filter(|&n| n > 1).collect();
        if sizes.is_empty() { vec![1] } else { sizes }
    }

    /// Decodes all values, in the order in which they are stored.
    pub(super) fn values(&self, text: &str) -> Parsed<Vec<f64>> {
        match self.encoding {
            Encoding::Ascii => self.decimal(text),
            Encoding::Base64 => self.binary(unpacked(text)?),
            Encoding::ZlibBase64 => self.binary(self.inflated(&unpacked(text)?)?),
        }
    }

    fn decimal(&self, text: &str) -> Parsed<Vec<f64>> {
        // a number takes a digit and what divides it from the next
        let mut values = Vec::with_capacity(self.n_values().min(text.len() / 2 + 1));
        for word in text.split_ascii_whitespace() {
            let value: f64 =
                word.parse().map_err(|_| format!("{:?} is not a number", brief(word)))?;
            let rounded = f64::from(value as f32);
            values.push(if self.dtype == NiftiType::Float32 { rounded } else { value });
        }
        if values.len() != self.n_values() {
            let (found, dims) = (values.len(), &self.dims);
            return Err(format!("it holds {found} numbers, its sizes are {dims:?}"));
        }
        Ok(values)
    }

    fn binary(&self, mut bytes: Vec<u8>) -> Parsed<Vec<f64>> {
        let (found, expected) = (bytes.len(), self.n_values() * self.dtype.size_of());
        if found != expected {
            let dims = &self.dims;
            return Err(format!("it holds {found} bytes, its sizes {dims:?} promise {expected}"));
        }
        let decoder = Decoder::plain(self.dtype, self.is_big);
        decoder.reorder(&mut bytes);
        let mut values = vec![0.0; self.n_values()];
        decoder.all(&bytes, &mut values);
        Ok(values)
    }

    /// As many bytes as the sizes promise, or one more where there are more.
    fn inflated(&self, packed: &[u8]) -> Parsed<Vec<u8>> {
        let promised = self.n_values() * self.dtype.size_of();
        if promised > packed.len().saturating_mul(MAX_DEFLATE_RATIO) {
            let (n, dims) = (packed.len(), &self.dims);
            return Err(format!(
                "its sizes {dims:?} promise {promised} bytes, {n} compressed ones hold fewer"
            ));
        }
        let mut bytes = Vec::with_capacity(promised);
        let stream = ZlibDecoder::new(packed);
        let read = stream.take(promised as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("its compressed numbers are damaged: {error}"))?;
        Ok(bytes)
    }
}

/// The bytes that a text in base64 stands for; line breaks in it mean nothing.
fn unpacked(text: &str) -> Parsed<Vec<u8>> {
    let text = text.trim();
    let is_broken = text.bytes().any(|byte| byte.is_ascii_whitespace());
    let bytes = if is_broken {
        STANDARD.decode(text.split_ascii_whitespace().collect::<String>())
    } else {
        STANDARD.decode(text)
    };
    bytes.map_err(|error| format!("its numbers are no base64: {error}"))
}
