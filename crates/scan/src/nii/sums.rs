//! Sums over stretches of neighbouring voxels, straight from the bytes of a frame.

use nifti::NiftiType;

use super::{header::Scaling, voxels::Decoder};

/// Neighbours along x that are added to the same sum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// Position of the first, x fastest.
    pub(crate) first: usize,
    /// How many there are.
    pub(crate) n: u32,
    /// Which sum.
    pub(crate) sum: u32,
}

impl Decoder {
    /// Adds each stretch of [reordered](Self::reorder) bytes to its sum; values that are not finite
    /// count as 0. Integers of up to 32 bits are added as such and scaled once a stretch.
    pub(crate) fn add_up(&self, bytes: &[u8], stretches: &[Stretch], sums: &mut [f64]) {
        use NiftiType as T;
        let scaling = self.scaling.unwrap_or(Scaling { slope: 1.0, inter: 0.0 });
        let mut adding = Adding { bytes, stretches, scaling, sums };
        match self.dtype {
            T::Uint8 => adding.whole(|b| u8::from_le_bytes(b).into()),
            T::Int8 => adding.whole(|b| i8::from_le_bytes(b).into()),
            T::Uint16 => adding.whole(|b| u16::from_le_bytes(b).into()),
            T::Int16 => adding.whole(|b| i16::from_le_bytes(b).into()),
            T::Uint32 => adding.whole(|b| u32::from_le_bytes(b).into()),
            T::Int32 => adding.whole(|b| i32::from_le_bytes(b).into()),
            T::Uint64 => adding.real(|b| u64::from_le_bytes(b) as f64),
            T::Int64 => adding.real(|b| i64::from_le_bytes(b) as f64),
            T::Float32 => adding.real(|b| f32::from_le_bytes(b).into()),
            T::Float64 => adding.real(f64::from_le_bytes),
            other => unreachable!("{other:?} was refused with the header"),
        }
    }
}

impl Decoder {
    /// How many values of the stretches of [reordered](Self::reorder) bytes are not finite; integers all are.
    pub(crate) fn n_nonfinite(&self, bytes: &[u8], stretches: &[Stretch]) -> usize {
        match self.dtype {
            NiftiType::Float32 => {
                let (stored, _) = bytes.as_chunks::<4>();
                n_nonfinite(|voxel| f32::from_le_bytes(stored[voxel]).is_finite(), stretches)
            }
            NiftiType::Float64 => {
                let (stored, _) = bytes.as_chunks::<8>();
                n_nonfinite(|voxel| f64::from_le_bytes(stored[voxel]).is_finite(), stretches)
            }
            _ => 0,
        }
    }
}

/// How many voxels of the stretches are not finite.
pub(crate) fn n_nonfinite(is_finite: impl Fn(usize) -> bool, stretches: &[Stretch]) -> usize {
    let of =
        |stretch: &Stretch| (stretch.first..stretch.end()).filter(|&it| !is_finite(it)).count();
    stretches.iter().map(of).sum()
}

impl Stretch {
    /// The position behind the last.
    pub(crate) fn end(&self) -> usize {
        self.first + self.n as usize
    }
}

/// Adds values in memory as [`Decoder::add_up`] adds those of a file.
pub(crate) fn add_up(value: impl Fn(usize) -> f64, stretches: &[Stretch], sums: &mut [f64]) {
    for stretch in stretches {
        let voxels = stretch.first..stretch.end();
        sums[stretch.sum as usize] += voxels.map(|voxel| finite(value(voxel))).sum::<f64>();
    }
}

fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { 0.0 }
}

struct Adding<'a> {
    bytes: &'a [u8],
    stretches: &'a [Stretch],
    scaling: Scaling,
    sums: &'a mut [f64],
}

impl Adding<'_> {
    fn whole<const N: usize>(&mut self, value: impl Fn([u8; N]) -> i64) {
        let Scaling { slope, inter } = self.scaling;
        if !(slope.abs() * f64::from(u32::MAX) + inter.abs()).is_finite() {
            // A scaled value may be infinite and must not count.
            return self.real(|b| value(b) as f64);
        }
        let (stored, _) = self.bytes.as_chunks::<N>();
        for stretch in self.stretches {
            let stored = &stored[stretch.first..stretch.end()];
            let sum: i64 = stored.iter().map(|&b| value(b)).sum();
            self.sums[stretch.sum as usize] += sum as f64 * slope + inter * f64::from(stretch.n);
        }
    }

    fn real<const N: usize>(&mut self, value: impl Fn([u8; N]) -> f64) {
        let Scaling { slope, inter } = self.scaling;
        let (stored, _) = self.bytes.as_chunks::<N>();
        add_up(|voxel| value(stored[voxel]) * slope + inter, self.stretches, self.sums);
    }
}
