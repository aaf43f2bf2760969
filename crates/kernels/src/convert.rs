//! Slices of `f32` to the formats of frozen weights and back.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use rayon::prelude::*;

use crate::format::{BLOCK, Bf16, F16, Format, Q8_0, widen_row};

/// Weights a task converts, in whole blocks.
const CHUNK: usize = 1 << 16;

/// Rounds to `bf16`, ties to even.
pub fn to_bf16(xs: &[f32]) -> Vec<u16> {
    in_chunks(xs, CHUNK, CHUNK, xs.len(), |xs, ys: &mut [u16]| {
        ys.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(xs);
    })
}

/// Rounds to IEEE half precision, ties to even; what is too large becomes infinite.
pub fn to_f16(xs: &[f32]) -> Vec<u16> {
    in_chunks(xs, CHUNK, CHUNK, xs.len(), |xs, ys: &mut [u16]| {
        ys.reinterpret_cast_mut::<f16>().convert_from_f32_slice(xs);
    })
}

/// Quantises to GGUF's `Q8_0` as ggml's reference does, or nothing where the length is not a
/// multiple of 32.
///
/// Of each block of 32 the scale is the largest magnitude over 127, stored in half precision; the
/// entries are divided by it as it was before that, and rounded with ties away from zero.
pub fn to_q8_0(xs: &[f32]) -> Option<Vec<u8>> {
    let n_bytes = xs.len() / BLOCK * size_of::<<Q8_0 as Format>::Block>();
    let bytes = CHUNK / BLOCK * size_of::<<Q8_0 as Format>::Block>();
    xs.len().is_multiple_of(BLOCK).then(|| {
        in_chunks(xs, CHUNK, bytes, n_bytes, |xs, ys: &mut [u8]| {
            for (x, y) in xs.as_chunks().0.iter().zip(ys.as_chunks_mut().0) {
                *y = quantise(x);
            }
        })
    })
}

fn quantise(xs: &[f32; BLOCK]) -> <Q8_0 as Format>::Block {
    let largest = xs.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let scale = largest / 127.;
    let inverse = if scale == 0. { 0. } else { 1. / scale };
    let mut block = [0; 2 + BLOCK];
    let (stored, bytes) = block.split_at_mut(2);
    stored.copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (byte, x) in bytes.iter_mut().zip(xs) {
        *byte = ((x * inverse).round() as i8).cast_unsigned();
    }
    block
}

/// Widens `bf16`, exactly.
pub fn from_bf16(xs: &[u16]) -> Vec<f32> {
    in_chunks(xs, CHUNK, CHUNK, xs.len(), widen_row::<Bf16>)
}

/// Widens IEEE half precision, exactly.
pub fn from_f16(xs: &[u16]) -> Vec<f32> {
    in_chunks(xs, CHUNK, CHUNK, xs.len(), widen_row::<F16>)
}

/// The weights of GGUF's `Q8_0`, or nothing where the bytes are not whole blocks.
pub fn from_q8_0(xs: &[u8]) -> Option<Vec<f32>> {
    let block = size_of::<<Q8_0 as Format>::Block>();
    let n_weights = xs.len() / block * BLOCK;
    xs.len()
        .is_multiple_of(block)
        .then(|| in_chunks(xs, CHUNK / BLOCK * block, CHUNK, n_weights, widen_row::<Q8_0>))
}

/// A new slice of `n` entries, made from chunks of the old in parallel.
fn in_chunks<T: Sync, U: Clone + Default + Send>(
    xs: &[T],
    from: usize,
    to: usize,
    n: usize,
    f: impl Fn(&[T], &mut [U]) + Send + Sync,
) -> Vec<U> {
    let mut ys = vec![U::default(); n];
    ys.par_chunks_mut(to).zip(xs.par_chunks(from)).for_each(|(ys, xs)| f(xs, ys));
    ys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_the_nearest_and_ties_to_even() {
        // one plus a half, one, one and a half and three units in the last place of each format
        let above_one = |unit: f32| [0.5, 1., 1.5, 0.501].map(|units| 1. + units * unit);
        assert_eq!(to_bf16(&above_one(2f32.powi(-7))), [0x3f80, 0x3f81, 0x3f82, 0x3f81]);
        assert_eq!(to_f16(&above_one(2f32.powi(-10))), [0x3c00, 0x3c01, 0x3c02, 0x3c01]);
        assert_eq!(to_f16(&[65504., 65520., -1e9, 2f32.powi(-24)]), [0x7bff, 0x7c00, 0xfc00, 1]);
    }

    #[test]
    fn every_half_comes_back_as_it_was() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let is_number = |&&bits: &&u16| !f16::from_bits(bits).is_nan();
        let numbers: Vec<u16> = all.iter().filter(is_number).copied().collect();
        assert!(to_f16(&from_f16(&numbers)) == numbers);
        let is_number = |&&bits: &&u16| !bf16::from_bits(bits).is_nan();
        let numbers: Vec<u16> = all.iter().filter(is_number).copied().collect();
        assert!(to_bf16(&from_bf16(&numbers)) == numbers);
        assert!(from_f16(&[0x7e00])[0].is_nan() && from_bf16(&[0x7fc0])[0].is_nan());
    }

    #[test]
    fn a_block_is_quantised_as_by_hand() {
        let mut xs = [0f32; BLOCK];
        // the scale is exactly 1/2; 0.25 and 0.75 are ties, which go away from zero
        xs[..6].copy_from_slice(&[63.5, -63.5, 0.25, -0.25, 0.75, 0.24]);
        let block = to_q8_0(&xs).expect("a block");
        assert_eq!(block[..2], f16::from_f32(0.5).to_le_bytes());
        assert_eq!(
            block[2..8].iter().map(|&b| b as i8).collect::<Vec<_>>(),
            [127, -127, 1, -1, 2, 0]
        );
        let back = from_q8_0(&block).expect("a block");
        assert_eq!(back[..6], [63.5, -63.5, 0.5, -0.5, 1., 0.]);
        assert_eq!(to_q8_0(&[0.; BLOCK]).expect("a block"), [0; 34]);
        assert!(to_q8_0(&xs[1..]).is_none() && from_q8_0(&block[1..]).is_none());
    }

    #[test]
    fn blocks_equal_those_of_ggml() {
        // quants.quantize of the Python package gguf, whose rounding is ggml's reference
        const EXPECTED: [&str; 2] = [
            "01207c6a5c975ab62561343d7f7bbe56c9a1ea83bae7997cf8f22587f6464e813e78",
            "ca1fab9cbdfdbccc8dc8f5ccb5814355e23646abced4413f1406897afada426417ef",
        ];
        let mut state = 4049u64;
        let xs: [f32; 64] = std::array::from_fn(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.
        });
        let hex =
            |block: &[u8]| block.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat();
        let blocks = to_q8_0(&xs).expect("whole blocks");
        assert!(blocks.chunks(34).map(hex).eq(EXPECTED));
    }

    #[test]
    fn long_slices_keep_their_order() {
        let n = 3 * CHUNK + 5 * BLOCK;
        let xs: Vec<f32> = (0..n).map(|i| (i / BLOCK) as f32 - 1000.).collect();
        let back = from_q8_0(&to_q8_0(&xs).expect("whole blocks")).expect("whole blocks");
        assert_eq!(back.len(), n);
        // the scale has eleven bits
        assert!(xs.iter().zip(&back).all(|(x, y)| (x - y).abs() <= x.abs() * 2f32.powi(-11)));
    }
}
