//! Stored numbers to values, all of a block or only some voxels of it.
//!
//! Not through the `nifti` crate: it counts a side in 16 bits, applies slope and intercept in the
//! precision of its output, and copies a block three times.

use nifti::{Endianness, NiftiType};

use super::header::{Header, Scaling};

/// How the bytes of a file become values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoder {
    pub(super) dtype: NiftiType,
    is_big: bool,
    pub(super) scaling: Option<Scaling>,
}

impl Decoder {
    pub(crate) fn of(header: &Header) -> Self {
        let is_big = header.endianness == Endianness::Big;
        Self { dtype: header.dtype, is_big, scaling: header.scaling }
    }

    /// Of numbers that nothing scales.
    pub(crate) fn plain(dtype: NiftiType, is_big: bool) -> Self {
        Self { dtype, is_big, scaling: None }
    }

    /// Brings the bytes of whole values, just read, into the order of this machine's numbers.
    pub(crate) fn reorder(&self, bytes: &mut [u8]) {
        if self.is_big {
            bytes.chunks_exact_mut(self.dtype.size_of()).for_each(<[u8]>::reverse);
        }
    }

    /// All values of [reordered](Self::reorder) bytes, scaled in 64 bits.
    pub(crate) fn all(&self, bytes: &[u8], out: &mut [f64]) {
        self.decode(bytes, None, out);
    }

    /// The values at positions of [reordered](Self::reorder) bytes, scaled in 64 bits.
    pub(crate) fn some(&self, bytes: &[u8], positions: &[usize], out: &mut [f64]) {
        self.decode(bytes, Some(positions), out);
    }

    fn decode(&self, bytes: &[u8], at: Option<&[usize]>, out: &mut [f64]) {
        use NiftiType as T;
        match self.dtype {
            T::Uint8 => convert(bytes, at, out, |b| f64::from(u8::from_le_bytes(b))),
            T::Int8 => convert(bytes, at, out, |b| f64::from(i8::from_le_bytes(b))),
            T::Uint16 => convert(bytes, at, out, |b| f64::from(u16::from_le_bytes(b))),
            T::Int16 => convert(bytes, at, out, |b| f64::from(i16::from_le_bytes(b))),
            T::Uint32 => convert(bytes, at, out, |b| f64::from(u32::from_le_bytes(b))),
            T::Int32 => convert(bytes, at, out, |b| f64::from(i32::from_le_bytes(b))),
            T::Uint64 => convert(bytes, at, out, |b| u64::from_le_bytes(b) as f64),
            T::Int64 => convert(bytes, at, out, |b| i64::from_le_bytes(b) as f64),
            T::Float32 => convert(bytes, at, out, |b| f64::from(f32::from_le_bytes(b))),
            T::Float64 => convert(bytes, at, out, f64::from_le_bytes),
            other => unreachable!("{other:?} was refused with the header"),
        }
        if let Some(Scaling { slope, inter }) = self.scaling {
            for x in out {
                *x = *x * slope + inter;
            }
        }
    }
}

fn convert<const N: usize>(
    bytes: &[u8],
    at: Option<&[usize]>,
    out: &mut [f64],
    value: impl Fn([u8; N]) -> f64,
) {
    let (stored, _) = bytes.as_chunks::<N>();
    match at {
        None => out.iter_mut().zip(stored).for_each(|(x, &bytes)| *x = value(bytes)),
        Some(at) => out.iter_mut().zip(at).for_each(|(x, &index)| *x = value(stored[index])),
    }
}
