//! The number formats of frozen weights, read in blocks of thirty-two and widened to `f32` exactly.

#![allow(unsafe_code, reason = "vector instructions, reached only where the CPU has them")]

mod bf16_rounded;

#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports, reason = "vector intrinsics carry their prefix")]
use std::arch::x86_64::*;

pub(crate) use bf16_rounded::{Bf16Rounded, round_to_bf16};

/// Weights a block; what a row leaves over is padded with zeros.
pub(crate) const BLOCK: usize = 32;
/// Lanes in which the sum of a product runs.
pub(crate) const LANES: usize = 16;

/// How weights are stored: a row is a run of items, a block of thirty-two weights some of them.
pub(crate) trait Format {
    type Item: Copy + Default + Send + Sync;
    type Block: Copy + Send + Sync;
    /// A block of inputs as products take it.
    type Input: Copy + Send + Sync;
    /// Whether the products of pairs of bf16 make them faster.
    const IN_PAIRS: bool = false;

    /// Items of a row of `n_in` weights.
    fn items(n_in: usize) -> usize;
    /// The whole blocks of a row, and the items left over.
    fn blocks(row: &[Self::Item]) -> (&[Self::Block], &[Self::Item]);
    /// The items left over as a block with zeros at its end.
    fn padded(rest: &[Self::Item]) -> Self::Block;
    /// The items, where they are weights in `f32`.
    fn singles(_: &[Self::Item]) -> Option<&[f32]> {
        None
    }
    /// The weights of a block.
    fn widen(block: &Self::Block) -> [f32; BLOCK];
    /// A block of inputs.
    fn input(xs: &[f32; BLOCK]) -> Self::Input;
    /// Adds the products of a block with one of inputs to the lanes.
    fn add_products(block: &Self::Block, xs: &Self::Input, lanes: &mut [f32; LANES]);
    /// The same for several blocks of inputs, eight lanes a register.
    ///
    /// # Safety
    /// The CPU has AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    unsafe fn add_products_256<const R: usize>(
        block: &Self::Block,
        xs: &[Self::Input; R],
        sums: [[__m256; 2]; R],
    ) -> [[__m256; 2]; R];
    /// The same, sixteen lanes a register.
    ///
    /// # Safety
    /// The CPU has AVX-512 F, BW, VL and VNNI.
    #[cfg(target_arch = "x86_64")]
    unsafe fn add_products_512<const R: usize>(
        block: &Self::Block,
        xs: &[Self::Input; R],
        sums: [[__m512; 1]; R],
    ) -> [[__m512; 1]; R];
    /// The same, with the products of pairs of bf16 besides.
    ///
    /// # Safety
    /// The CPU has those too.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn add_products_of_pairs<const R: usize>(
        block: &Self::Block,
        xs: &[Self::Input; R],
        sums: [[__m512; 1]; R],
    ) -> [[__m512; 1]; R] {
        // SAFETY: as the caller says
        unsafe { Self::add_products_512(block, xs, sums) }
    }
    /// Weights `8 · part ..` of a block.
    ///
    /// # Safety
    /// The CPU has AVX2 and F16C.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load(block: &Self::Block, part: usize) -> __m256;
}

/// The part of [`Format`] that is the same wherever an item is a weight.
macro_rules! an_item_a_weight {
    ($item:ty) => {
        type Item = $item;
        type Block = [$item; BLOCK];
        type Input = [f32; BLOCK];

        #[inline(always)]
        fn input(xs: &[f32; BLOCK]) -> [f32; BLOCK] {
            *xs
        }

        fn add_products(block: &Self::Block, xs: &[f32; BLOCK], lanes: &mut [f32; LANES]) {
            for (k, (x, w)) in xs.iter().zip(Self::widen(block)).enumerate() {
                lanes[k % LANES] += x * w;
            }
        }

        #[cfg(target_arch = "x86_64")]
        #[inline(always)]
        unsafe fn add_products_256<const R: usize>(
            block: &Self::Block,
            xs: &[[f32; BLOCK]; R],
            mut sums: [[__m256; 2]; R],
        ) -> [[__m256; 2]; R] {
            for part in 0..BLOCK / 8 {
                // SAFETY: the caller vouches for the CPU
                let w = unsafe { Self::load(block, part) };
                for r in 0..R {
                    // SAFETY: as above
                    let x = unsafe { F32::load(&xs[r], part) };
                    // SAFETY: as above
                    sums[r][part % 2] = unsafe { _mm256_fmadd_ps(x, w, sums[r][part % 2]) };
                }
            }
            sums
        }

        #[cfg(target_arch = "x86_64")]
        #[inline(always)]
        unsafe fn add_products_512<const R: usize>(
            block: &Self::Block,
            xs: &[[f32; BLOCK]; R],
            mut sums: [[__m512; 1]; R],
        ) -> [[__m512; 1]; R] {
            for part in 0..BLOCK / 16 {
                // SAFETY: the caller vouches for the CPU
                let w = unsafe { Self::load_512(&block.as_chunks().0[part]) };
                for r in 0..R {
                    let x: &[f32; 16] = &xs[r].as_chunks().0[part];
                    // SAFETY: as above, and it reads the sixteen floats of the array
                    sums[r][0] =
                        unsafe { _mm512_fmadd_ps(_mm512_loadu_ps(x.as_ptr()), w, sums[r][0]) };
                }
            }
            sums
        }

        fn items(n_in: usize) -> usize {
            n_in
        }

        fn blocks(row: &[$item]) -> (&[Self::Block], &[$item]) {
            row.as_chunks()
        }

        fn padded(rest: &[$item]) -> Self::Block {
            let mut block = [<$item>::default(); BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            block
        }
    };
}

/// IEEE single precision.
pub(crate) struct F32;

impl Format for F32 {
    an_item_a_weight!(f32);

    fn singles(items: &[f32]) -> Option<&[f32]> {
        Some(items)
    }

    fn widen(block: &Self::Block) -> [f32; BLOCK] {
        *block
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(block: &Self::Block, part: usize) -> __m256 {
        let eight: &[f32; 8] = &block.as_chunks().0[part];
        // SAFETY: reads the eight floats of the array; the caller vouches for the CPU
        unsafe { _mm256_loadu_ps(eight.as_ptr()) }
    }
}

#[cfg(target_arch = "x86_64")]
impl F32 {
    /// Sixteen weights; the CPU must have AVX-512 F.
    #[inline(always)]
    unsafe fn load_512(half: &[f32; 16]) -> __m512 {
        // SAFETY: reads the sixteen items of the array; the caller vouches for the CPU
        unsafe { _mm512_loadu_ps(half.as_ptr()) }
    }
}

/// The upper half of an `f32`.
pub(crate) struct Bf16;

impl Format for Bf16 {
    an_item_a_weight!(u16);

    fn widen(block: &Self::Block) -> [f32; BLOCK] {
        block.map(|bits| half::bf16::from_bits(bits).to_f32())
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(block: &Self::Block, part: usize) -> __m256 {
        let eight: &[u16; 8] = &block.as_chunks().0[part];
        // SAFETY: reads the eight halves of the array; the caller vouches for the CPU
        unsafe {
            let bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(eight.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Bf16 {
    /// Sixteen weights; the CPU must have AVX-512 F.
    #[inline(always)]
    unsafe fn load_512(half: &[u16; 16]) -> __m512 {
        // SAFETY: reads the sixteen items of the array; the caller vouches for the CPU
        unsafe {
            let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(half.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits))
        }
    }
}

/// IEEE half precision.
pub(crate) struct F16;

impl Format for F16 {
    an_item_a_weight!(u16);

    fn widen(block: &Self::Block) -> [f32; BLOCK] {
        block.map(|bits| half::f16::from_bits(bits).to_f32())
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(block: &Self::Block, part: usize) -> __m256 {
        let eight: &[u16; 8] = &block.as_chunks().0[part];
        // SAFETY: reads the eight halves of the array; the caller vouches for the CPU
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(eight.as_ptr().cast())) }
    }
}

#[cfg(target_arch = "x86_64")]
impl F16 {
    /// Sixteen weights; the CPU must have AVX-512 F.
    #[inline(always)]
    unsafe fn load_512(half: &[u16; 16]) -> __m512 {
        // SAFETY: reads the sixteen items of the array; the caller vouches for the CPU
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(half.as_ptr().cast())) }
    }
}

/// Inputs rounded to sixteen bits, so that products with bytes are whole numbers and exact.
#[derive(Clone, Copy)]
pub(crate) struct Rounded {
    numbers: [i16; BLOCK],
    scale: f32,
}

/// ggml's `Q8_0`: a scale in half precision, then thirty-two signed bytes.
pub(crate) struct Q8_0;

impl Format for Q8_0 {
    type Item = u8;
    type Block = [u8; 2 + BLOCK];
    type Input = Rounded;

    fn items(n_in: usize) -> usize {
        n_in / BLOCK * (2 + BLOCK)
    }

    fn blocks(row: &[u8]) -> (&[Self::Block], &[u8]) {
        row.as_chunks()
    }

    /// Never asked for: rows are whole blocks.
    fn padded(_: &[u8]) -> Self::Block {
        [0; 2 + BLOCK]
    }

    /// Exact: eleven bits of scale times eight bits of weight fit an `f32`.
    fn widen(block: &Self::Block) -> [f32; BLOCK] {
        let scale = half::f16::from_le_bytes([block[0], block[1]]).to_f32();
        std::array::from_fn(|i| scale * f32::from(block[2 + i].cast_signed()))
    }

    /// The largest magnitude becomes 32767; an error of at most half a unit. What is not a number makes
    /// the scale none.
    #[inline(always)]
    fn input(xs: &[f32; BLOCK]) -> Rounded {
        /// Adding it leaves the rounded number in the lowest bits.
        const ROUND: f32 = 12_582_912.;
        // as bits, magnitudes are ordered like numbers, and what is none comes after them all
        let largest = xs.iter().fold(0, |largest, x| largest.max(x.to_bits() & (u32::MAX >> 1)));
        let largest = f32::from_bits(largest);
        let inverse = if largest > 0. { 32767. / largest } else { 0. };
        let numbers = xs.map(|x| (x * inverse + ROUND).to_bits() as i16);
        Rounded { numbers, scale: largest / 32767. }
    }

    fn add_products(block: &Self::Block, xs: &Rounded, lanes: &mut [f32; LANES]) {
        let scale = half::f16::from_le_bytes([block[0], block[1]]).to_f32() * xs.scale;
        for (lane, sum) in lanes[..8].iter_mut().enumerate() {
            let product =
                |i: usize| i32::from(block[2 + i].cast_signed()) * i32::from(xs.numbers[i]);
            let four = [2 * lane, 2 * lane + 1, 16 + 2 * lane, 17 + 2 * lane];
            *sum += scale * four.map(product).iter().sum::<i32>() as f32;
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn add_products_256<const R: usize>(
        block: &Self::Block,
        xs: &[Rounded; R],
        mut sums: [[__m256; 2]; R],
    ) -> [[__m256; 2]; R] {
        let [low, high, bytes @ ..] = block;
        let halves: &[[u8; 16]] = bytes.as_chunks().0;
        // SAFETY: reads the sixteen bytes and the sixteen numbers of arrays; the caller vouches for
        // the CPU
        unsafe {
            let scale = i16::from_le_bytes([*low, *high]);
            let scale = _mm256_cvtph_ps(_mm_set1_epi16(scale));
            let low = _mm256_cvtepi8_epi16(_mm_loadu_si128(halves[0].as_ptr().cast()));
            let high = _mm256_cvtepi8_epi16(_mm_loadu_si128(halves[1].as_ptr().cast()));
            for r in 0..R {
                let scale = _mm256_mul_ps(scale, _mm256_set1_ps(xs[r].scale));
                let x: &[[i16; 16]] = xs[r].numbers.as_chunks().0;
                let sum = _mm256_add_epi32(
                    _mm256_madd_epi16(low, _mm256_loadu_si256(x[0].as_ptr().cast())),
                    _mm256_madd_epi16(high, _mm256_loadu_si256(x[1].as_ptr().cast())),
                );
                sums[r][0] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, sums[r][0]);
            }
        }
        sums
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn add_products_512<const R: usize>(
        block: &Self::Block,
        xs: &[Rounded; R],
        mut sums: [[__m512; 1]; R],
    ) -> [[__m512; 1]; R] {
        let [low, high, bytes @ ..] = block;
        let halves: &[[u8; 16]] = bytes.as_chunks().0;
        // SAFETY: reads the sixteen bytes and the sixteen numbers of arrays; the caller vouches for
        // the CPU
        unsafe {
            let scale = i16::from_le_bytes([*low, *high]);
            let scale = _mm256_cvtph_ps(_mm_set1_epi16(scale));
            let low = _mm256_cvtepi8_epi16(_mm_loadu_si128(halves[0].as_ptr().cast()));
            let high = _mm256_cvtepi8_epi16(_mm_loadu_si128(halves[1].as_ptr().cast()));
            for r in 0..R {
                let scale = _mm256_mul_ps(scale, _mm256_set1_ps(xs[r].scale));
                let x: &[[i16; 16]] = xs[r].numbers.as_chunks().0;
                let x = [0, 1].map(|part: usize| x[part].as_ptr().cast());
                let sum = _mm256_setzero_si256();
                let sum = _mm256_dpwssd_epi32(sum, low, _mm256_loadu_si256(x[0]));
                let sum = _mm256_dpwssd_epi32(sum, high, _mm256_loadu_si256(x[1]));
                let before = _mm512_castps512_ps256(sums[r][0]);
                let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, before);
                sums[r][0] = _mm512_zextps256_ps512(sum);
            }
        }
        sums
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn load(block: &Self::Block, part: usize) -> __m256 {
        let [low, high, bytes @ ..] = block;
        let eight: &[u8; 8] = &bytes.as_chunks().0[part];
        // SAFETY: reads the eight bytes of the array; the caller vouches for the CPU
        unsafe {
            let scale = _mm_cvtsi32_si128(i32::from(u16::from_le_bytes([*low, *high])));
            let scale = _mm256_broadcastss_ps(_mm_cvtph_ps(scale));
            let bytes = _mm256_cvtepi8_epi32(_mm_loadl_epi64(eight.as_ptr().cast()));
            _mm256_mul_ps(scale, _mm256_cvtepi32_ps(bytes))
        }
    }
}

/// Widens the entries of a row.
pub(crate) fn widen_row<F: Format>(row: &[F::Item], wide: &mut [f32]) {
    let (blocks, rest) = F::blocks(row);
    let (whole, last) = wide.as_chunks_mut();
    widen_blocks::<F>(blocks, whole);
    last.copy_from_slice(&F::widen(&F::padded(rest))[..last.len()]);
}

/// Widens whole blocks.
pub(crate) fn widen_blocks<F: Format>(blocks: &[F::Block], wide: &mut [[f32; BLOCK]]) {
    #[cfg(target_arch = "x86_64")]
    if crate::cpu::has_avx2() {
        // SAFETY: the CPU has what the function was compiled for
        return unsafe { widen_avx2::<F>(blocks, wide) };
    }
    for (block, wide) in blocks.iter().zip(wide) {
        *wide = F::widen(block);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen_avx2<F: Format>(blocks: &[F::Block], wide: &mut [[f32; BLOCK]]) {
    for (block, wide) in blocks.iter().zip(wide) {
        for (part, eight) in wide.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            // SAFETY: this function is only compiled into code for AVX2 and F16C, and the store
            // writes the eight floats of the array
            unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), F::load(block, part)) };
        }
    }
}
