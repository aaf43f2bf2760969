//! Products of rows and panels in bytes, a scale for every block of thirty-two of either.
//!
//! ```text
//! a row     8 words a block of four signed bytes; then −128 times the sum of each block; then a
//!           scale a block
//! a panel   8 words a block and column of four bytes, which lie 128 above their numbers, term after
//!           term; then a scale a block and column
//! ```
//! The instruction multiplies unsigned bytes with signed ones and adds four products to a sum in 32
//! bits, which is exact; it begins with the multiple of the row's sum that takes the 128 off again.
//! Block after block, in order, the sum times both scales is added in `f32`, with one rounding for the
//! product of the scales and one for the rest. The sums of a block stand in registers, the totals in
//! the first cache.

#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports, reason = "vector intrinsics carry their prefix")]
use std::arch::x86_64::*;

use super::{Left, NARROW, WIDE};
#[cfg(target_arch = "x86_64")]
use super::{ROWS, pack::turned_512};
use crate::format::BLOCK;

/// Words of the bytes of a block.
pub(crate) const WORDS: usize = BLOCK / 4;
/// Words of a block of a column.
pub(crate) const OF_COLUMN: usize = WORDS + 1;
/// Words of a block of a row.
pub(crate) const OF_ROW: usize = WORDS + 2;

/// A block of `Q8_0`: a scale in half precision, then the bytes.
pub(crate) type Block = [u8; 2 + BLOCK];

/// Whether [`multiply_bytes`] may be called.
pub(crate) fn bytes_are_there() -> bool {
    #[cfg(target_arch = "x86_64")]
    return crate::cpu::has_vnni();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// `result (n_rows, room) = rows · panel`, sixteen or thirty-two columns, of the blocks from `start` on
/// that the panel holds; added to what the result holds where these are not the first.
pub(crate) fn multiply_bytes(
    left: Left,
    row_blocks: usize,
    start: usize,
    panel: &[f32],
    room: usize,
    result: &mut [f32],
) {
    let Left { entries: rows, stride, n_rows } = left;
    let n_blocks = panel.len() / (room * OF_COLUMN);
    if n_rows == 0 || n_blocks == 0 {
        return;
    }
    assert!(bytes_are_there() && panel.len() == room * n_blocks * OF_COLUMN);
    assert!(room == NARROW || room == WIDE, "sixteen or thirty-two columns");
    assert!(start + n_blocks <= row_blocks && n_rows * room <= result.len());
    assert!((n_rows - 1) * stride + row_blocks * OF_ROW <= rows.len(), "rows lie in their slice");
    #[cfg(target_arch = "x86_64")]
    for first in (0..n_rows).step_by(ROWS) {
        let row = &rows[first * stride..];
        let task = Task {
            words: row[start * WORDS..].as_ptr(),
            firsts: row[row_blocks * WORDS + start..].as_ptr(),
            row_scales: row[row_blocks * (WORDS + 1) + start..].as_ptr(),
            stride,
            panel: panel.as_ptr(),
            scales: panel[n_blocks * WORDS * room..].as_ptr(),
            n_blocks,
            n_words: std::hint::black_box(WORDS),
            keep: start > 0,
            result: result[first * room..].as_mut_ptr(),
        };
        // SAFETY: the CPU has these products, and all that the task reaches lies in its slices, as
        // asserted
        unsafe {
            if room == WIDE {
                task.rows::<2>(n_rows - first);
            } else {
                task.rows::<1>(n_rows - first);
            }
        }
    }
}

/// A product of at most [`ROWS`] rows.
#[cfg(target_arch = "x86_64")]
struct Task {
    words: *const f32,
    /// What the sums of a block begin with.
    firsts: *const f32,
    row_scales: *const f32,
    /// From a row to the next.
    stride: usize,
    panel: *const f32,
    scales: *const f32,
    n_blocks: usize,
    /// Of a block: a loop of known length would be unrolled, and its loads kept for later on the stack.
    n_words: usize,
    keep: bool,
    result: *mut f32,
}

#[cfg(target_arch = "x86_64")]
impl Task {
    /// # Safety
    /// The CPU has AVX-512 with VNNI; rows, panel and results may be reached.
    unsafe fn rows<const V: usize>(&self, n_rows: usize) {
        // SAFETY: as the caller says
        unsafe {
            match n_rows {
                1 => self.run::<1, V>(),
                2 => self.run::<2, V>(),
                3 => self.run::<3, V>(),
                4 => self.run::<4, V>(),
                5 => self.run::<5, V>(),
                6 => self.run::<6, V>(),
                7 => self.run::<7, V>(),
                8 => self.run::<8, V>(),
                9 => self.run::<9, V>(),
                10 => self.run::<10, V>(),
                11 => self.run::<11, V>(),
                _ => self.run::<12, V>(),
            }
        }
    }

    /// # Safety
    /// As [`Task::rows`], for `R` rows and `V` registers of columns.
    #[allow(clippy::needless_range_loop, reason = "registers by number")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn run<const R: usize, const V: usize>(&self) {
        for block in 0..self.n_blocks {
            let mut sums = [[_mm512_setzero_si512(); V]; R];
            for r in 0..R {
                // SAFETY: row by row and block by block, as the caller says
                let first =
                    unsafe { self.firsts.add(r * self.stride + block).cast::<i32>().read() };
                sums[r] = [_mm512_set1_epi32(first); V];
            }
            for word in 0..self.n_words {
                // SAFETY: word by word, row by row, as the caller says
                unsafe {
                    let panel = self.panel.add(NARROW * V * (block * WORDS + word));
                    let mut columns = [_mm512_setzero_si512(); V];
                    for v in 0..V {
                        columns[v] = _mm512_loadu_si512(panel.add(NARROW * v).cast());
                    }
                    for r in 0..R {
                        let bytes = self.words.add(r * self.stride + block * WORDS + word);
                        let bytes = _mm512_set1_epi32(bytes.cast::<i32>().read());
                        for v in 0..V {
                            sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], columns[v], bytes);
                        }
                    }
                }
            }
            let keep = self.keep || block > 0;
            for v in 0..V {
                // SAFETY: as above; a row of the result has so many columns
                unsafe {
                    let scale = _mm512_loadu_ps(self.scales.add(NARROW * (V * block + v)));
                    for r in 0..R {
                        let row = *self.row_scales.add(r * self.stride + block);
                        let scale = _mm512_mul_ps(scale, _mm512_set1_ps(row));
                        let place = self.result.add(NARROW * (r * V + v));
                        let total = if keep { _mm512_loadu_ps(place) } else { _mm512_setzero_ps() };
                        let sum = _mm512_cvtepi32_ps(sums[r][v]);
                        _mm512_storeu_ps(place, _mm512_fmadd_ps(sum, scale, total));
                    }
                }
            }
        }
    }
}

/// Packs `n_columns` rows of `n_blocks` blocks, which begin `stride` blocks apart, as columns of a
/// panel.
pub(crate) fn pack_bytes(
    rows: &[Block],
    stride: usize,
    n_blocks: usize,
    n_columns: usize,
    panel: &mut [f32],
) {
    let room = super::room(n_columns);
    assert!(n_columns <= room && panel.len() == room * n_blocks * OF_COLUMN);
    assert!(n_blocks <= stride && (n_columns - 1) * stride + n_blocks <= rows.len());
    let (words, scales) = panel.split_at_mut(n_blocks * WORDS * room);
    for half in (0..room).step_by(NARROW) {
        let n = n_columns.saturating_sub(half).min(NARROW);
        let rows = rows.get(half * stride..).unwrap_or_default();
        #[cfg(target_arch = "x86_64")]
        if n == NARROW && super::is_there() {
            // SAFETY: the CPU has AVX-512, and sixteen rows of so many blocks lie in their slice, as
            // asserted
            unsafe { half_512(rows, stride, &mut words[half..], &mut scales[half..], room) };
            continue;
        }
        let block = |column: usize, at: usize| (column < n).then(|| &rows[column * stride + at]);
        for (at, scales) in scales.chunks_exact_mut(room).enumerate() {
            for (column, place) in scales[half..half + NARROW].iter_mut().enumerate() {
                let scale = |it: &Block| half::f16::from_le_bytes([it[0], it[1]]).to_f32();
                *place = block(column, at).map_or(0., scale);
            }
        }
        for (at, words) in words.chunks_exact_mut(room).enumerate() {
            for (column, place) in words[half..half + NARROW].iter_mut().enumerate() {
                let word = |it: &Block| u32::from_le_bytes(it[2..].as_chunks().0[at % WORDS]);
                let word = block(column, at / WORDS).map_or(0, word);
                *place = f32::from_bits(word ^ OFFSET);
            }
        }
    }
}

/// 128 in each of four bytes.
const OFFSET: u32 = 0x8080_8080;

/// Words and scales of sixteen rows, the first of a half of their places.
///
/// # Safety
/// The CPU has AVX-512; there are sixteen rows of as many blocks as places.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn half_512(
    rows: &[Block],
    stride: usize,
    words: &mut [f32],
    scales: &mut [f32],
    room: usize,
) {
    let n_blocks = scales.len().div_ceil(room);
    for (block, scales) in scales.chunks_mut(room).enumerate() {
        let mut bits = [0u16; NARROW];
        for (row, bits) in bits.iter_mut().enumerate() {
            let block = &rows[row * stride + block];
            *bits = u16::from_le_bytes([block[0], block[1]]);
        }
        let scales = &mut scales[..NARROW];
        // SAFETY: sixteen halves and sixteen floats
        unsafe {
            let bits = _mm256_loadu_si256(bits.as_ptr().cast());
            _mm512_storeu_ps(scales.as_mut_ptr(), _mm512_cvtph_ps(bits));
        }
    }
    for block in (0..n_blocks).step_by(2) {
        let two = block + 1 < n_blocks;
        let mut square = [_mm512_setzero_ps(); NARROW];
        for (row, place) in square.iter_mut().enumerate() {
            let at = row * stride + block;
            let next = if two { at + 1 } else { at };
            // SAFETY: a block has 32 bytes behind its scale
            unsafe {
                let first = _mm256_loadu_ps(rows[at][2..].as_ptr().cast());
                let second = _mm256_loadu_ps(rows[next][2..].as_ptr().cast());
                *place = _mm512_insertf32x8::<1>(_mm512_castps256_ps512(first), second);
            }
        }
        let offset = _mm512_set1_epi32(OFFSET.cast_signed());
        let columns = turned_512(&square).into_iter().enumerate();
        for (word, column) in columns.take(if two { 2 * WORDS } else { WORDS }) {
            let place = &mut words[(block * WORDS + word) * room..][..NARROW];
            let column = _mm512_xor_si512(_mm512_castps_si512(column), offset);
            // SAFETY: sixteen floats of the slice
            unsafe { _mm512_storeu_si512(place.as_mut_ptr().cast(), column) };
        }
    }
}
