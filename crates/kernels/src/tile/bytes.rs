//! Products of rows and panels in bytes, a scale for every block of thirty-two of either.
//!
//! ```text
//! a row     8 words a block of four bytes, which lie 128 above their numbers; then a scale a block
//! a panel   8 words a block and column of four signed bytes, term after term;
//!           then −128 times the sum of each block of a column; then its scales
//! ```
//! The instruction multiplies unsigned bytes with signed ones and adds four products to a sum in 32
//! bits, which is exact; it begins with the multiple of the weights' sum that takes the 128 off again.
//! Block after block, in order, the sum times both scales is added in `f32`, with one rounding for the
//! product of the scales and one for the rest.

#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports, reason = "vector intrinsics carry their prefix")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
use super::WIDE;
use super::{Left, NARROW};
use crate::format::BLOCK;

/// Words of the bytes of a block.
pub(crate) const WORDS: usize = BLOCK / 4;
/// Blocks whose panel stays in the first cache while all rows pass.
const PART: usize = 16;
/// Rows whose sums fit the registers.
const ROWS: usize = 6;

/// Whether [`multiply_bytes`] may be called.
pub(crate) fn bytes_are_there() -> bool {
    #[cfg(target_arch = "x86_64")]
    return crate::cpu::has_vnni();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// `result (n_rows, room) = rows · panel`, sixteen or thirty-two columns.
pub(crate) fn multiply_bytes(left: Left, panel: &[f32], n_blocks: usize, result: &mut [f32]) {
    let Left { entries: rows, stride, n_rows } = left;
    if n_rows == 0 || n_blocks == 0 {
        return;
    }
    let room = panel.len() / (n_blocks * (WORDS + 2));
    let row_words = n_blocks * (WORDS + 1);
    assert!(bytes_are_there() && panel.len() == room * n_blocks * (WORDS + 2));
    assert!(room == NARROW || room == 2 * NARROW, "sixteen or thirty-two columns");
    assert!((n_rows - 1) * stride + row_words <= rows.len() && n_rows * room <= result.len());
    #[cfg(target_arch = "x86_64")]
    for start in (0..n_blocks).step_by(PART) {
        let firsts = n_blocks * WORDS * room + start * room;
        for first in (0..n_rows).step_by(ROWS) {
            let row = &rows[first * stride..];
            let task = Task {
                words: row[start * WORDS..].as_ptr(),
                row_scales: row[n_blocks * WORDS + start..].as_ptr(),
                stride,
                panel: panel[start * WORDS * room..].as_ptr(),
                firsts: panel[firsts..].as_ptr(),
                scales: panel[firsts + n_blocks * room..].as_ptr(),
                n_blocks: PART.min(n_blocks - start),
                keep: start > 0,
                result: result[first * room..].as_mut_ptr(),
            };
            // SAFETY: the CPU has these products, and all that the task reaches lies in its slices,
            // as asserted
            unsafe {
                if room == WIDE {
                    task.rows::<2>(n_rows - first);
                } else {
                    task.rows::<1>(n_rows - first);
                }
            }
        }
    }
}

/// A product of at most [`ROWS`] rows and [`PART`] blocks.
#[cfg(target_arch = "x86_64")]
struct Task {
    words: *const f32,
    row_scales: *const f32,
    /// From a row to the next.
    stride: usize,
    panel: *const f32,
    /// What the sums of a block begin with.
    firsts: *const f32,
    scales: *const f32,
    n_blocks: usize,
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
                _ => self.run::<6, V>(),
            }
        }
    }

    /// # Safety
    /// As [`Task::rows`], for `R` rows and `V` registers of columns.
    #[allow(clippy::needless_range_loop, reason = "registers by number")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn run<const R: usize, const V: usize>(&self) {
        let mut totals = [[_mm512_setzero_ps(); V]; R];
        if self.keep {
            for r in 0..R {
                for v in 0..V {
                    // SAFETY: a row of the result has so many columns
                    totals[r][v] =
                        unsafe { _mm512_loadu_ps(self.result.add(NARROW * (r * V + v))) };
                }
            }
        }
        for block in 0..self.n_blocks {
            let at = NARROW * V * block;
            let mut firsts = [_mm512_setzero_si512(); V];
            for v in 0..V {
                // SAFETY: block by block, as the caller says
                firsts[v] = unsafe { _mm512_loadu_si512(self.firsts.add(at + NARROW * v).cast()) };
            }
            let mut sums = [firsts; R];
            for word in 0..WORDS {
                // SAFETY: word by word, row by row, as the caller says
                unsafe {
                    let panel = self.panel.add(at * WORDS + NARROW * V * word);
                    let mut columns = [_mm512_setzero_si512(); V];
                    for v in 0..V {
                        columns[v] = _mm512_loadu_si512(panel.add(NARROW * v).cast());
                    }
                    for r in 0..R {
                        let bytes = self.words.add(r * self.stride + block * WORDS + word);
                        let bytes = _mm512_set1_epi32(bytes.cast::<i32>().read());
                        for v in 0..V {
                            sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], bytes, columns[v]);
                        }
                    }
                }
            }
            for v in 0..V {
                // SAFETY: as above
                let scale = unsafe { _mm512_loadu_ps(self.scales.add(at + NARROW * v)) };
                for r in 0..R {
                    // SAFETY: as above
                    let row = unsafe { *self.row_scales.add(r * self.stride + block) };
                    let scale = _mm512_mul_ps(scale, _mm512_set1_ps(row));
                    totals[r][v] =
                        _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r][v]), scale, totals[r][v]);
                }
            }
        }
        for (r, totals) in totals.iter().enumerate() {
            for (v, &total) in totals.iter().enumerate() {
                // SAFETY: a row of the result has so many columns
                unsafe { _mm512_storeu_ps(self.result.add(NARROW * (r * V + v)), total) };
            }
        }
    }
}
