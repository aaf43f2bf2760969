//! Many input rows in AVX-512, as encoders, prefill and training have them.
//!
//! The weights are packed into panels of thirty-two columns (see [`tile`](crate::tile)), widened to
//! `f32` as they go. A slab of rows, which stays in the second cache, meets panel after panel; its sums
//! with one panel stay in cache until all terms have passed, and are written once, with bias, activation
//! and residual. Where rows are many, the whole matrix is packed once for all slabs; where they are few,
//! as those of a prompt, each task takes all rows and packs the panels that it multiplies, in cache.
//!
//! Sums run over [`DEPTH`] terms at a time, whatever the number of rows and threads.

use std::ops::Range;

use rayon::prelude::*;

use super::many::{DEPTH, spaced, widen};
use super::pairs::round_pairs;
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
/// Floats of a cache line.
pub(super) const LINE: usize = 16;
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
    product(&Factors::new(xs, n_in, n_out), after, ys, sums::<Single>, |columns, terms, panel| {
        for column in columns.clone() {
            // the next panel comes from memory while this one is multiplied
            let next = (column + WIDE) * F::items(n_in);
            ask_for(weights, next + F::items(terms.start), next + F::items(terms.end));
        }
        if let Some(singles) = F::singles(weights) {
            let rows = &singles[columns.start * n_in + terms.start..];
            return tile::pack_columns(rows, n_in, terms.len(), columns.len(), panel);
        }
        with_pieces(WIDE * spaced(DEPTH / BLOCK), |wide| {
            let stride = widen::<F>(weights, n_in, columns.clone(), terms.clone(), wide);
            tile::pack_columns(wide.as_flattened(), stride, terms.len(), columns.len(), panel);
        });
    });
}

/// Runs `f` on room for so many widened blocks.
fn with_pieces(n: usize, f: impl FnOnce(&mut [[f32; BLOCK]])) {
    scratch::with(n * BLOCK, |room| f(room.as_chunks_mut().0));
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
        |columns, terms, panel| {
            with_pieces(DEPTH * spaced(WIDE / BLOCK), |wide| {
                let stride = widen::<F>(weights, n_in, terms.clone(), columns.clone(), wide);
                tile::pack_rows(wide.as_flattened(), stride, terms.len(), columns.len(), panel);
            });
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
    let n_columns = ys.len() / n_rows;
    // an odd number of cache lines, so that rows do not push each other out of the caches
    let stride = (n_pairs.div_ceil(LINE) | 1) * LINE;
    scratch::with(n_rows * stride, |rounded| {
        let rows = rounded.par_chunks_mut(ROWS * stride).zip(xs.par_chunks(ROWS * n_in));
        rows.for_each(|(rounded, xs)| {
            let rows = rounded.chunks_mut(stride).zip(xs.chunks(n_in));
            rows.for_each(|(rounded, xs)| round_pairs(xs, rounded));
        });
        let factors = Factors { stride, ..Factors::new(rounded, n_pairs, n_columns) };
        product(&factors, after, ys, sums::<Pair>, |columns, terms, panel| {
            let part = |row: usize| {
                let row = row * n_in..(row + 1) * n_in;
                row.start + 2 * terms.start..row.end.min(row.start + 2 * terms.end)
            };
            for column in columns.clone() {
                // the next panel comes from memory while this one is multiplied
                let next = part(column + WIDE);
                ask_for(weights, next.start, next.end);
            }
            if n_in.is_multiple_of(2) {
                let rows = &weights[part(columns.start).start..];
                return tile::pack_columns(rows, n_pairs, terms.len(), columns.len(), panel);
            }
            scratch::with(WIDE * STRIDE, |copied| {
                for (column, copied) in columns.clone().zip(copied.chunks_mut(STRIDE)) {
                    copy_pairs(&weights[part(column)], copied);
                }
                tile::pack_columns(copied, STRIDE, terms.len(), columns.len(), panel);
            });
        });
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
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    /// Rows of `stride` words of 32 bits.
    pub(super) xs: &'a [f32],
    pub(super) stride: usize,
    /// Words of a column in its panel.
    pub(super) n_terms: usize,
    /// Words of a column in a part of its panel.
    pub(super) depth: usize,
    pub(super) n_columns: usize,
}

impl<'a> Factors<'a> {
    /// Rows of which each word is a term.
    fn new(xs: &'a [f32], n_terms: usize, n_columns: usize) -> Self {
        Self { xs, stride: n_terms, n_terms, depth: DEPTH, n_columns }
    }
}

/// `ys (n_rows, n_columns) = after(xs (n_rows, n_terms) · (n_terms, n_columns))`, where `pack` makes
/// a part of a panel, of a range of columns and one of terms, and `multiply` adds the sums of rows
/// with one to those of the parts before: of `(rows, first term, part, its columns, sums)`.
pub(super) fn product(
    factors: &Factors,
    after: &After,
    ys: &mut [f32],
    multiply: impl Fn(Left, usize, &[f32], usize, &mut [f32]) + Sync,
    pack: impl Fn(Range<usize>, Range<usize>, &mut [f32]) + Sync,
) {
    let Factors { xs, stride, n_terms, depth, n_columns } = *factors;
    let n_rows = xs.len() / stride;
    let most = (SLAB / stride).clamp(SLAB_ROWS.start, SLAB_ROWS.end);
    let n_slabs = n_rows.div_ceil(most);
    let n_tasks = TASKS * rayon::current_num_threads();
    let n_panels = n_columns.div_ceil(WIDE);
    let columns_of = |first: usize| first..n_columns.min(first + WIDE);
    let parts = || (0..n_terms).step_by(depth).map(|start| start..n_terms.min(start + depth));
    let task = |xs: Left, first_row: usize, panels: &dyn Panels, (first, mut ys): Columns| {
        scratch::with(ys.len() * WIDE, |sums| {
            for at in (0..ys[0].len()).step_by(WIDE) {
                let columns = columns_of(first + at);
                let (n, room) = (columns.len(), tile::room(columns.len()));
                for part in parts() {
                    let start = part.start;
                    panels.with(columns.clone(), part, &mut |panel| {
                        multiply(xs, start, panel, room, sums);
                    });
                }
                let ys = ys.iter_mut().map(|y| &mut y[at..at + n]);
                after.finish_rows((first_row, first + at), n_columns, sums, room, ys);
            }
        });
    };
    if n_slabs <= PROMPT {
        let own = |columns: Range<usize>, part: Range<usize>, work: &mut dyn FnMut(&[f32])| {
            scratch::with(part.len() * tile::room(columns.len()), |panel| {
                pack(columns, part, panel);
                work(panel);
            });
        };
        let per_task = n_panels.div_ceil(n_tasks).max(1);
        let tasks = columns(ys, n_columns, per_task * WIDE);
        with_rows_apart(xs, stride, |xs| {
            let tasks = tasks.into_par_iter().with_max_len(1);
            tasks.for_each(|columns| task(xs, 0, &own, columns));
        });
        return;
    }
    let slab = n_rows.div_ceil(n_slabs).next_multiple_of(ROWS);
    scratch::with(packed_len(n_terms, n_columns), |packed| {
        let panels = packed.par_chunks_mut(n_terms * WIDE).enumerate();
        panels.for_each(|(at, panel)| {
            let columns = columns_of(at * WIDE);
            let room = tile::room(columns.len());
            for part in parts() {
                let place = &mut panel[part.start * room..part.end * room];
                pack(columns.clone(), part, place);
            }
        });
        let packed = &*packed;
        let all = |columns: Range<usize>, part: Range<usize>, work: &mut dyn FnMut(&[f32])| {
            let (room, panel) = (tile::room(columns.len()), &packed[columns.start * n_terms..]);
            work(&panel[part.start * room..part.end * room]);
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
        tasks.into_par_iter().with_max_len(1).for_each(|(row, columns)| {
            let xs = &xs[row * stride..][..columns.1.len() * stride];
            with_rows_apart(xs, stride, |xs| task(xs, row, &all, columns));
        });
    });
}

/// Where a part of the panel of some columns comes from.
trait Panels: Sync {
    fn with(&self, columns: Range<usize>, part: Range<usize>, work: &mut dyn FnMut(&[f32]));
}

impl<F: Fn(Range<usize>, Range<usize>, &mut dyn FnMut(&[f32])) + Sync> Panels for F {
    fn with(&self, columns: Range<usize>, part: Range<usize>, work: &mut dyn FnMut(&[f32])) {
        self(columns, part, work);
    }
}

/// Columns from one on of some rows of the result.
type Columns<'a> = (usize, Vec<&'a mut [f32]>);

/// Runs `f` on rows that do not lie a large power of two apart: the twelve of which a product reads at
/// a time would push each other out of the first cache. Those that do are copied.
fn with_rows_apart<R>(xs: &[f32], stride: usize, f: impl FnOnce(Left) -> R) -> R {
    /// Floats of half of what a way of the first cache holds.
    const HALF: usize = 512;
    let n_rows = xs.len() / stride;
    if !stride.is_multiple_of(HALF) || n_rows < ROWS {
        return f(Left { entries: xs, stride, n_rows });
    }
    let apart = stride + LINE;
    scratch::with(n_rows * apart, |copied| {
        for (copied, x) in copied.chunks_mut(apart).zip(xs.chunks(stride)) {
            copied[..stride].copy_from_slice(x);
        }
        f(Left { entries: copied, stride: apart, n_rows })
    })
}

/// Adds the products of rows with a part of a panel.
fn sums<E: Entry>(rows: Left, start: usize, panel: &[f32], room: usize, sums: &mut [f32]) {
    let left = Left { entries: &rows.entries[start..], ..rows };
    multiply::<E>(left, panel, panel.len() / room, start > 0, sums, room);
}
