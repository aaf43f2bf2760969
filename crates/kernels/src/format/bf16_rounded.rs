//! bf16 beside inputs rounded to it, two by two.

#![allow(clippy::needless_range_loop, reason = "closures would not be compiled for this CPU")]

#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports, reason = "vector intrinsics carry their prefix")]
use std::arch::x86_64::*;

use super::{BLOCK, Bf16, Format, LANES};

/// bf16 beside inputs rounded to it: both products of a pair go to one lane.
pub(crate) struct Bf16Rounded;

impl Format for Bf16Rounded {
    type Item = u16;
    type Block = [u16; BLOCK];
    type Input = [u16; BLOCK];
    const IN_PAIRS: bool = true;

    fn items(n_in: usize) -> usize {
        Bf16::items(n_in)
    }

    fn blocks(row: &[u16]) -> (&[Self::Block], &[u16]) {
        Bf16::blocks(row)
    }

    fn padded(rest: &[u16]) -> Self::Block {
        Bf16::padded(rest)
    }

    fn widen(block: &Self::Block) -> [f32; BLOCK] {
        Bf16::widen(block)
    }

    #[inline(always)]
    fn input(xs: &[f32; BLOCK]) -> Self::Input {
        xs.map(|x| (round_to_bf16(x) >> 16) as u16)
    }

    fn add_products(block: &Self::Block, xs: &Self::Input, lanes: &mut [f32; LANES]) {
        let (xs, weights) = (Self::widen(xs), Self::widen(block));
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += xs[2 * lane + 1] * weights[2 * lane + 1];
            *sum += xs[2 * lane] * weights[2 * lane];
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn add_products_256<const R: usize>(
        block: &Self::Block,
        xs: &[Self::Input; R],
        mut sums: [[__m256; 2]; R],
    ) -> [[__m256; 2]; R] {
        for half in 0..2 {
            // SAFETY: the caller vouches for the CPU; sixteen numbers of the arrays are read
            unsafe {
                let mask = _mm256_set1_epi32(!0xffff);
                let weights: &[u16; 16] = &block.as_chunks().0[half];
                let bits = _mm256_loadu_si256(weights.as_ptr().cast());
                let odd = _mm256_castsi256_ps(_mm256_and_si256(bits, mask));
                let even = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits));
                for r in 0..R {
                    let x: &[u16; 16] = &xs[r].as_chunks().0[half];
                    let bits = _mm256_loadu_si256(x.as_ptr().cast());
                    let x_odd = _mm256_castsi256_ps(_mm256_and_si256(bits, mask));
                    let x_even = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits));
                    let sum = _mm256_fmadd_ps(x_odd, odd, sums[r][half]);
                    sums[r][half] = _mm256_fmadd_ps(x_even, even, sum);
                }
            }
        }
        sums
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn add_products_512<const R: usize>(
        block: &Self::Block,
        xs: &[Self::Input; R],
        mut sums: [[__m512; 1]; R],
    ) -> [[__m512; 1]; R] {
        // SAFETY: the caller vouches for the CPU; the 32 numbers of the arrays are read
        unsafe {
            let bits = _mm512_loadu_si512(block.as_ptr().cast());
            let mask = _mm512_set1_epi32(!0xffff);
            let odd = _mm512_castsi512_ps(_mm512_and_si512(bits, mask));
            let even = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits));
            for r in 0..R {
                let bits = _mm512_loadu_si512(xs[r].as_ptr().cast());
                let x_odd = _mm512_castsi512_ps(_mm512_and_si512(bits, mask));
                let x_even = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits));
                let sum = _mm512_fmadd_ps(x_odd, odd, sums[r][0]);
                sums[r][0] = _mm512_fmadd_ps(x_even, even, sum);
            }
        }
        sums
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn add_products_of_pairs<const R: usize>(
        block: &Self::Block,
        xs: &[Self::Input; R],
        mut sums: [[__m512; 1]; R],
    ) -> [[__m512; 1]; R] {
        // SAFETY: the caller vouches for the CPU; the 32 numbers of the arrays are read, and both
        // types are 512 bits of anything
        unsafe {
            let weights = _mm512_loadu_si512(block.as_ptr().cast());
            let weights = std::mem::transmute::<__m512i, __m512bh>(weights);
            for r in 0..R {
                let x = _mm512_loadu_si512(xs[r].as_ptr().cast());
                let x = std::mem::transmute::<__m512i, __m512bh>(x);
                sums[r][0] = _mm512_dpbf16_ps(sums[r][0], x, weights);
            }
        }
        sums
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(block: &Self::Block, part: usize) -> __m256 {
        // SAFETY: as the caller says
        unsafe { Bf16::load(block, part) }
    }
}

/// The nearest bf16 in the upper half, ties to even; what is no number stays none.
#[inline(always)]
pub(crate) fn round_to_bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() { bits | 1 << 22 } else { bits.wrapping_add(0x7fff + (bits >> 16 & 1)) }
}
