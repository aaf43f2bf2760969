//! Panels of the right matrix, made from rows that are its columns or its terms.

#[cfg(target_arch = "x86_64")]
#[allow(clippy::wildcard_imports, reason = "vector intrinsics carry their prefix")]
use std::arch::x86_64::*;

use super::{NARROW, WIDE, room};

/// Packs a matrix whose `n_terms` rows of `n_columns` begin `stride` entries apart.
pub(crate) fn pack_rows(
    rows: &[f32],
    stride: usize,
    n_terms: usize,
    n_columns: usize,
    panels: &mut [f32],
) {
    let mut rest = panels;
    for first in (0..n_columns).step_by(WIDE) {
        let n = WIDE.min(n_columns - first);
        let panel;
        (panel, rest) = rest.split_at_mut(n_terms * room(n));
        for (term, panel) in panel.chunks_exact_mut(room(n)).enumerate() {
            let (columns, zeros) = panel.split_at_mut(n);
            columns.copy_from_slice(&rows[term * stride + first..][..n]);
            zeros.fill(0.);
        }
    }
}

/// What lies side by side in rows and makes words of thirty-two bits.
pub(crate) trait Part: Copy {
    /// Parts of a word.
    const PER_WORD: usize;

    /// The word of these parts, the first in its lowest bits.
    fn word(parts: &[Self]) -> f32;
}

impl Part for f32 {
    const PER_WORD: usize = 1;

    fn word(parts: &[Self]) -> f32 {
        parts[0]
    }
}

/// Two bf16 make a pair.
impl Part for u16 {
    const PER_WORD: usize = 2;

    fn word(parts: &[Self]) -> f32 {
        f32::from_bits(u32::from(parts[0]) | u32::from(parts[1]) << 16)
    }
}

/// Packs the transposed matrix: `n_columns` rows of `n_terms` words that begin `stride` words apart.
pub(crate) fn pack_columns<P: Part>(
    rows: &[P],
    stride: usize,
    n_terms: usize,
    n_columns: usize,
    panels: &mut [f32],
) {
    let mut rest = panels;
    for first in (0..n_columns).step_by(WIDE) {
        let n = WIDE.min(n_columns - first);
        let (room, panel) = (room(n), &mut rest[..]);
        let (panel, after) = panel.split_at_mut(n_terms * room);
        for half in (0..room).step_by(NARROW) {
            let there = n.saturating_sub(half).min(NARROW);
            let rows = rows.get((first + half) * stride * P::PER_WORD..).unwrap_or_default();
            turn(rows, stride, there, n_terms, &mut panel[half..], room);
        }
        rest = after;
    }
}

/// `turned[term · room + row] = rows[row · stride + term]` for sixteen rows, of which those from
/// `n_rows` on are zero.
fn turn<P: Part>(
    rows: &[P],
    stride: usize,
    n_rows: usize,
    n_terms: usize,
    turned: &mut [f32],
    room: usize,
) {
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if n_rows == NARROW && super::is_there() {
        done = n_terms / NARROW * NARROW;
        for term in (0..done).step_by(NARROW) {
            let last = (NARROW - 1) * stride + term + NARROW;
            let square = &rows[term * P::PER_WORD..last * P::PER_WORD];
            let place = &mut turned[term * room..(term + NARROW - 1) * room + NARROW];
            // SAFETY: the CPU has AVX-512; sixteen rows and sixteen terms, whose words are read at
            // any place, lie in these slices
            #[allow(unsafe_code, reason = "vector instructions")]
            unsafe {
                square_512(square.as_ptr().cast(), stride, place.as_mut_ptr(), room);
            }
        }
    }
    for term in done..n_terms {
        let place = &mut turned[term * room..][..NARROW];
        for (row, place) in place.iter_mut().enumerate() {
            let at = (row * stride + term) * P::PER_WORD;
            *place = if row < n_rows { P::word(&rows[at..at + P::PER_WORD]) } else { 0. };
        }
    }
}

/// Transposes a square of sixteen.
///
/// # Safety
/// The CPU has AVX-512 F; the rows of both sides may be reached.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "vector instructions")]
#[target_feature(enable = "avx512f")]
unsafe fn square_512(rows: *const f32, stride: usize, turned: *mut f32, room: usize) {
    let mut square = [_mm512_setzero_ps(); NARROW];
    for (row, place) in square.iter_mut().enumerate() {
        // SAFETY: as the caller says
        *place = unsafe { _mm512_loadu_ps(rows.add(row * stride)) };
    }
    for (column, words) in turned_512(&square).into_iter().enumerate() {
        // SAFETY: as the caller says
        unsafe { _mm512_storeu_ps(turned.add(column * room), words) };
    }
}

/// The columns of sixteen rows.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn turned_512(rows: &[__m512; NARROW]) -> [__m512; NARROW] {
    // `quads[g][c]` holds entry `c` of every lane of four, for rows 4g ..
    let mut quads = [[_mm512_setzero_ps(); 4]; 4];
    for (quad, [a, b, c, d]) in quads.iter_mut().zip(rows.as_chunks().0) {
        let low = (_mm512_unpacklo_ps(*a, *b), _mm512_unpacklo_ps(*c, *d));
        let high = (_mm512_unpackhi_ps(*a, *b), _mm512_unpackhi_ps(*c, *d));
        let low = (_mm512_castps_pd(low.0), _mm512_castps_pd(low.1));
        let high = (_mm512_castps_pd(high.0), _mm512_castps_pd(high.1));
        *quad = [
            _mm512_castpd_ps(_mm512_unpacklo_pd(low.0, low.1)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(low.0, low.1)),
            _mm512_castpd_ps(_mm512_unpacklo_pd(high.0, high.1)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(high.0, high.1)),
        ];
    }
    let mut columns = *rows;
    for c in 0..4 {
        let (a, b, d, e) = (quads[0][c], quads[1][c], quads[2][c], quads[3][c]);
        let even = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(d, e));
        let odd = (_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(d, e));
        columns[c] = _mm512_shuffle_f32x4::<0x88>(even.0, even.1);
        columns[4 + c] = _mm512_shuffle_f32x4::<0x88>(odd.0, odd.1);
        columns[8 + c] = _mm512_shuffle_f32x4::<0xdd>(even.0, even.1);
        columns[12 + c] = _mm512_shuffle_f32x4::<0xdd>(odd.0, odd.1);
    }
    columns
}
