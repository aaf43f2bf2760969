//! Many input rows in AVX-512, as encoders, prefill and training have them.
//!
//! The weights are packed into panels of thirty-two columns (see [`tile`](crate::tile)), widened to
//! `f32` as they go. A slab of rows, which stays in the second cache, meets panel after panel; its sums
//! with one panel stay in the first cache until all terms have passed, and are written once, with bias,
//! activation and residual. Where rows are many, the whole matrix is packed once for all slabs; where
//! they are few, as those of a prompt, each task packs the panels that it multiplies, in cache.
//!
//! Sums run over [`DEPTH`] terms at a time, whatever the number of rows and threads.

#![allow(clippy::large_stack_arrays, reason = "36 KiB, widened again and again")]

use std::ops::Range;

use rayon::prelude::*;

use super::many::{DEPTH, spaced, widen};
use super::rounded::round_pairs;
use crate::After;
use crate::columns::columns;
use crate::cpu::ask_for;
use crate::format::{BLOCK, Format};
use crate::scratch;
use crate::tile::{self, Entry, Left, Pair, ROWS, Single, WIDE, multiply, packed_len};

/// Floats of the inputs of a slab: three quarters of a megabyte.
const SLAB: usize = 3 << 16;
/// Fewest and most rows of a slab.
const SLAB_ROWS: Range<usize> = 8 * ROWS..32 * ROWS;
/// Slabs up to which every task packs its own panels.
const PROMPT: usize = 3;
/// Tasks a thread, so that one that comes late or is held up leaves work to the others.
const TASKS: usize = 4;
/// Panels in a task, at least, where the matrix is packed for all.
const PANELS: usize = 4;

/// `ys = after(xs Wᵀ)`.
pub(super) fn linear<F: Format>(
    xs: &[f32],
    weights: &[F::Item],
    n_in: usize,
    after: &After,
    ys: &mut [f32],
) {
    let n_out = ys.len() / (xs.len() / n_in);
    product(&Factors::new(xs, n_in, n_out), after, ys, sums::<Single>, |columns, panel| {
        let (n, room) = (columns.len(), tile::room(columns.len()));
        let mut wide = [[0.; BLOCK]; WIDE * spaced(DEPTH / BLOCK)];
        for start in (0..n_in).step_by(DEPTH) {
            let terms = start..n_in.min(start + DEPTH);
            let stride = widen::<F>(weights, n_in, columns.clone(), terms.clone(), &mut wide);
            let part = &mut panel[terms.start * room..terms.end * room];
            tile::pack_columns(wide.as_flattened(), stride, terms.len(), n, part);
        }
    });
}

/// `dxs = dys W`.
pub(super) fn linear_backward<F: Format>(
    dys: &[f32],
    weights: &[F::Item],
    n_in: usize,
    dxs: &mut [f32],
) {
    let n_out = dys.len() / (dxs.len() / n_in);
    product(
        &Factors::new(dys, n_out, n_in),
        &After::default(),
        dxs,
        sums::<Single>,
        |columns, panel| {
            let n = columns.len();
            let mut wide = [[0.; BLOCK]; DEPTH];
            for start in (0..n_out).step_by(DEPTH) {
                let terms = start..n_out.min(start + DEPTH);
                let stride = widen::<F>(weights, n_in, terms.clone(), columns.clone(), &mut wide);
                let room = tile::room(n);
                let part = &mut panel[terms.start * room..terms.end * room];
                tile::pack_rows(wide.as_flattened(), stride, terms.len(), n, part);
            }
        },
    );
}

/// `ys = after(round(xs) Wᵀ)` of weights in bf16 and inputs rounded to it, two by two.
pub(super) fn linear_of_pairs(
    xs: &[f32],
    weights: &[u16],
    n_in: usize,
    after: &After,
    ys: &mut [f32],
) {
    /// From a row of a copied piece to the next; see [`spaced`].
    const STRIDE: usize = DEPTH + BLOCK;
    let (n_rows, n_pairs) = (xs.len() / n_in, n_in.div_ceil(2));
    let n_out = ys.len() / n_rows;
    scratch::with(n_rows * n_pairs, |rounded| {
        let rows = rounded.par_chunks_mut(ROWS * n_pairs).zip(xs.par_chunks(ROWS * n_in));
        rows.for_each(|(rounded, xs)| {
            let rows = rounded.chunks_mut(n_pairs).zip(xs.chunks(n_in));
            rows.for_each(|(rounded, xs)| round_pairs(xs, rounded));
        });
        product(
            &Factors::new(rounded, n_pairs, n_out),
            after,
            ys,
            sums::<Pair>,
            |columns, panel| {
                let (n, room) = (columns.len(), tile::room(columns.len()));
                let mut copied = [0.; WIDE * STRIDE];
                for start in (0..n_pairs).step_by(DEPTH) {
                    let terms = start..n_pairs.min(start + DEPTH);
                    for (at, copied) in columns.clone().zip(copied.chunks_mut(STRIDE)) {
                        let row = at * n_in..(at + 1) * n_in;
                        let part = row.start + 2 * start..row.end.min(row.start + 2 * terms.end);
                        copy_pairs(&weights[part.clone()], copied);
                        // the next panel comes from memory while this one is multiplied
                        ask_for(weights, part.start + WIDE * n_in, part.end + WIDE * n_in);
                    }
                    let part = &mut panel[terms.start * room..terms.end * room];
                    tile::pack_columns(&copied, STRIDE, terms.len(), n, part);
                }
            },
        );
    });
}

/// Two numbers in the bits of each float; what an odd last one is paired with is zero.
fn copy_pairs(numbers: &[u16], pairs: &mut [f32]) {
    let (whole, rest) = numbers.as_chunks::<2>();
    let both = |low: u16, high: u16| f32::from_bits(u32::from(low) | u32::from(high) << 16);
    for (pair, place) in whole.iter().zip(pairs.iter_mut()) {
        *place = both(pair[0], pair[1]);
    }
    if let [last] = rest {
        pairs[whole.len()] = both(*last, 0);
    }
}

/// A left matrix, and the size of a right one.
pub(super) struct Factors<'a> {
    /// Rows of `stride` words of 32 bits.
    pub(super) xs: &'a [f32],
    pub(super) stride: usize,
    /// Words of a column in its panel.
    pub(super) n_terms: usize,
    pub(super) n_columns: usize,
}

impl<'a> Factors<'a> {
    /// Rows of which each word is a term.
    fn new(xs: &'a [f32], n_terms: usize, n_columns: usize) -> Self {
        Self { xs, stride: n_terms, n_terms, n_columns }
    }
}

/// `ys (n_rows, n_columns) = after(xs (n_rows, n_terms) · (n_terms, n_columns))`, where `pack` makes
/// the panel of a range of columns, and `multiply` the sums of rows with one: of `(rows, their number,
/// panel, terms, sums)`.
pub(super) fn product(
    factors: &Factors,
    after: &After,
    ys: &mut [f32],
    multiply: impl Fn(&[f32], usize, &[f32], usize, &mut [f32]) + Sync,
    pack: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    let Factors { xs, stride, n_terms, n_columns } = *factors;
    let n_rows = xs.len() / stride;
    let most = (SLAB / stride).clamp(SLAB_ROWS.start, SLAB_ROWS.end);
    let n_slabs = n_rows.div_ceil(most);
    let slab = n_rows.div_ceil(n_slabs).next_multiple_of(ROWS);
    let n_tasks = TASKS * rayon::current_num_threads();
    let n_panels = n_columns.div_ceil(WIDE);
    let panel_of = |first: usize| first..n_columns.min(first + WIDE);
    let task = |first_row: usize, panels: &dyn Panels, first: usize, ys: &mut [&mut [f32]]| {
        let xs = &xs[first_row * stride..];
        let (n_rows, width) = (ys.len(), ys[0].len());
        let work = |panel: &[f32], at: usize, sums: &mut [f32], ys: &mut [&mut [f32]]| {
            let of_panel = panel_of(first + at).len();
            let room = tile::room(of_panel);
            for start in (0..n_rows).step_by(slab) {
                let ys = &mut ys[start..n_rows.min(start + slab)];
                multiply(&xs[start * stride..], ys.len(), panel, n_terms, sums);
                for (row, (y, sums)) in ys.iter_mut().zip(sums.chunks(room)).enumerate() {
                    let place = (first_row + start + row, first + at);
                    let after = after.piece(place.0, n_columns, place.1);
                    after.finish(sums, &mut y[at..at + of_panel]);
                }
            }
        };
        scratch::with(slab * WIDE, |sums| {
            for at in (0..width).step_by(WIDE) {
                panels.with(first + at, &mut |panel| work(panel, at, sums, ys));
            }
        });
    };
    if n_slabs <= PROMPT {
        let own = |first: usize, work: &mut dyn FnMut(&[f32])| {
            let columns = panel_of(first);
            scratch::with(n_terms * tile::room(columns.len()), |panel| {
                pack(columns, panel);
                work(panel);
            });
        };
        let per_task = n_panels.div_ceil(n_tasks).max(1);
        let tasks = columns(ys, n_columns, per_task * WIDE);
        tasks.into_par_iter().with_max_len(1).for_each(|(first, mut ys)| {
            task(0, &own, first, &mut ys);
        });
        return;
    }
    scratch::with(packed_len(n_terms, n_columns), |packed| {
        let panels = packed.par_chunks_mut(n_terms * WIDE).enumerate();
        panels.for_each(|(at, panel)| pack(panel_of(at * WIDE), panel));
        let packed = &*packed;
        let all = |first: usize, work: &mut dyn FnMut(&[f32])| {
            let room = tile::room(panel_of(first).len());
            work(&packed[first * n_terms..][..n_terms * room]);
        };
        let pieces = n_tasks.div_ceil(n_slabs).min(n_panels.div_ceil(PANELS)).max(1);
        let width = n_panels.div_ceil(pieces) * WIDE;
        let tasks: Vec<_> = ys
            .chunks_mut(slab * n_columns)
            .enumerate()
            .flat_map(|(at, ys)| {
                columns(ys, n_columns, width).into_iter().map(move |ys| (at * slab, ys))
            })
            .collect();
        tasks.into_par_iter().with_max_len(1).for_each(|(row, (first, mut ys))| {
            task(row, &all, first, &mut ys);
        });
    });
}

/// Where the panel that begins at a column comes from.
trait Panels: Sync {
    fn with(&self, first: usize, work: &mut dyn FnMut(&[f32]));
}

impl<F: Fn(usize, &mut dyn FnMut(&[f32])) + Sync> Panels for F {
    fn with(&self, first: usize, work: &mut dyn FnMut(&[f32])) {
        self(first, work);
    }
}

/// Sums of rows with a panel, part by part.
fn sums<E: Entry>(xs: &[f32], n_rows: usize, panel: &[f32], n_terms: usize, sums: &mut [f32]) {
    let room = panel.len() / n_terms;
    for start in (0..n_terms).step_by(DEPTH) {
        let end = n_terms.min(start + DEPTH);
        let left = Left { entries: &xs[start..], stride: n_terms, n_rows };
        multiply::<E>(left, &panel[start * room..end * room], end - start, start > 0, sums, room);
    }
}
