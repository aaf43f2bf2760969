//! Products of matrices in AVX-512: twelve rows and thirty-two columns of the result stand in
//! registers while the terms pass.
//!
//! ```text
//! left            panel                result
//! (n_rows, terms) (terms, 32) packed   (n_rows, 32)
//! ```
//! The right matrix lies in panels of thirty-two columns, term after term, the last one of sixteen
//! where that is enough, filled up with zeros. A term costs two loads of the panel, which stays in
//! the first cache while all rows pass, and one broadcast for each row, which is read where it lies:
//! 24 products of sixteen lanes for 14 loads, so the multipliers never wait (97 % of their peak within
//! the caches).
//!
//! An entry is an `f32` ([`Single`]) or, in the same thirty-two bits, a pair of bf16 ([`Pair`]) of which
//! the products with the pair opposite are both added to one sum. So a term of pairs is two terms, and
//! packing is the same.
//!
//! Every sum of singles runs over its terms in order, one rounding each, from zero, every sum of pairs
//! over its pairs in order; it is then added to what the result holds.

#![allow(unsafe_code, reason = "vector instructions, reached only where the CPU has them")]

mod bytes;
mod pack;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports, reason = "vector intrinsics carry their prefix")]
use std::arch::x86_64::*;

pub(crate) use bytes::{
    Block as ByteBlock, OF_COLUMN, OF_ROW, WORDS, bytes_are_there, multiply_bytes, pack_bytes,
};
pub(crate) use pack::{pack_columns, pack_rows};

/// Columns of a panel, but for a narrow last one.
pub(crate) const WIDE: usize = 32;
/// Columns of a register, and of a narrow panel.
pub(crate) const NARROW: usize = 16;
/// Rows whose sums fit the registers.
pub(crate) const ROWS: usize = 12;

/// Whether [`multiply`] of singles may be called.
pub(crate) fn is_there() -> bool {
    Single::is_there()
}

/// What the thirty-two bits of an entry are.
pub(crate) trait Entry {
    /// Whether products of such entries may be made.
    fn is_there() -> bool;

    /// Does a task of `R` rows and `V` registers of columns.
    ///
    /// # Safety
    /// The CPU has what the entries ask for; rows, panel and results may be reached.
    #[cfg(target_arch = "x86_64")]
    unsafe fn run<const R: usize, const V: usize>(task: Task);
}

/// An `f32`.
pub(crate) struct Single;

/// Two bf16, the first in the lower half.
///
/// Products are exact and sums in `f32`; numbers below the normal ones count as zero, and ties round
/// to even.
pub(crate) struct Pair;

/// Entries whose products are made by one instruction: when it is there, and what it adds to a sum.
macro_rules! entry {
    ($entry:ty, $is_there:ident, $features:literal, $add:expr) => {
        impl Entry for $entry {
            fn is_there() -> bool {
                #[cfg(target_arch = "x86_64")]
                return crate::cpu::$is_there();
                #[cfg(not(target_arch = "x86_64"))]
                false
            }

            #[cfg(target_arch = "x86_64")]
            #[allow(clippy::needless_range_loop, reason = "registers by number")]
            #[target_feature(enable = $features)]
            unsafe fn run<const R: usize, const V: usize>(task: Task) {
                let mut sums = [[_mm512_setzero_ps(); V]; R];
                let (mut left, mut panel) = (task.left, task.panel);
                for _ in 0..task.n_terms {
                    // SAFETY: term by term, row by row, as the caller says
                    unsafe {
                        let mut columns = [_mm512_setzero_ps(); V];
                        for v in 0..V {
                            columns[v] = _mm512_loadu_ps(panel.add(NARROW * v));
                        }
                        for r in 0..R {
                            let entry = _mm512_set1_ps(*left.add(r * task.left_stride));
                            for v in 0..V {
                                sums[r][v] = $add(entry, columns[v], sums[r][v]);
                            }
                        }
                        left = left.add(1);
                        panel = panel.add(NARROW * V);
                    }
                }
                for (r, sums) in sums.iter().enumerate() {
                    for (v, &sum) in sums.iter().enumerate() {
                        // SAFETY: as above
                        unsafe {
                            let place = task.result.add(r * task.stride + NARROW * v);
                            let sum = if task.keep {
                                _mm512_add_ps(_mm512_loadu_ps(place), sum)
                            } else {
                                sum
                            };
                            _mm512_storeu_ps(place, sum);
                        }
                    }
                }
            }
        }
    };
}

entry!(Single, has_avx512, "avx512f", _mm512_fmadd_ps);
entry!(Pair, has_bf16, "avx512f,avx512bf16", add_pairs);

/// `sum + a₁ b₁ + a₀ b₀`.
///
/// # Safety
/// The CPU has AVX-512 F and its products of bf16.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn add_pairs(a: __m512, b: __m512, sum: __m512) -> __m512 {
    // SAFETY: both types are 512 bits of anything
    let a = unsafe { std::mem::transmute::<__m512, __m512bh>(a) };
    // SAFETY: as above
    let b = unsafe { std::mem::transmute::<__m512, __m512bh>(b) };
    _mm512_dpbf16_ps(sum, a, b)
}

/// Columns that a panel for `n` of them has room for.
pub(crate) fn room(n: usize) -> usize {
    if n > NARROW { WIDE } else { NARROW }
}

/// Floats of all panels of a matrix `(n_terms, n_columns)`.
pub(crate) fn packed_len(n_terms: usize, n_columns: usize) -> usize {
    n_terms * n_columns.next_multiple_of(NARROW)
}

/// Rows of a left matrix that begin `stride` entries apart.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) entries: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) n_rows: usize,
}

/// `result (n_rows, width) = left (n_rows, n_terms) · panel`, added to what it holds where `keep`;
/// rows of the result begin `stride` entries apart.
///
/// The panel has sixteen or thirty-two columns, and so has the result.
pub(crate) fn multiply<E: Entry>(
    left: Left,
    panel: &[f32],
    n_terms: usize,
    keep: bool,
    result: &mut [f32],
    stride: usize,
) {
    let Left { entries, stride: left_stride, n_rows } = left;
    if n_rows == 0 || n_terms == 0 {
        return;
    }
    let width = panel.len() / n_terms;
    assert!(E::is_there() && panel.len() == width * n_terms && (width == WIDE || width == NARROW));
    assert!((n_rows - 1) * left_stride + n_terms <= entries.len(), "rows lie in their slice");
    assert!((n_rows - 1) * stride + width <= result.len(), "results lie in their slice");
    #[cfg(target_arch = "x86_64")]
    for first in (0..n_rows).step_by(ROWS) {
        let (left, result) = (&entries[first * left_stride..], &mut result[first * stride..]);
        let task = Task {
            left: left.as_ptr(),
            left_stride,
            panel: panel.as_ptr(),
            n_terms,
            keep,
            result: result.as_mut_ptr(),
            stride,
        };
        // SAFETY: the CPU has what the entries ask for, and all that the task reaches lies in its
        // slices, as asserted
        unsafe {
            if width == WIDE {
                task.rows::<E, 2>(n_rows - first);
            } else {
                task.rows::<E, 1>(n_rows - first);
            }
        }
    }
}

/// A product of at most [`ROWS`] rows.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Task {
    left: *const f32,
    left_stride: usize,
    panel: *const f32,
    n_terms: usize,
    keep: bool,
    result: *mut f32,
    stride: usize,
}

#[cfg(target_arch = "x86_64")]
impl Task {
    /// # Safety
    /// The CPU has what the entries ask for; rows, panel and results may be reached.
    unsafe fn rows<E: Entry, const V: usize>(self, n_rows: usize) {
        // SAFETY: as the caller says
        unsafe {
            match n_rows {
                1 => E::run::<1, V>(self),
                2 => E::run::<2, V>(self),
                3 => E::run::<3, V>(self),
                4 => E::run::<4, V>(self),
                5 => E::run::<5, V>(self),
                6 => E::run::<6, V>(self),
                7 => E::run::<7, V>(self),
                8 => E::run::<8, V>(self),
                9 => E::run::<9, V>(self),
                10 => E::run::<10, V>(self),
                11 => E::run::<11, V>(self),
                _ => E::run::<12, V>(self),
            }
        }
    }
}
