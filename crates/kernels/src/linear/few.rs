//! A few input rows, as decoding has them: weights are read once, at the speed of memory.

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::wide::{avx2, avx512, of_pairs};
use crate::columns::columns;
#[cfg(target_arch = "x86_64")]
use crate::cpu;
use crate::format::{BLOCK, Format, LANES};

/// Weight rows whose sums are kept while the input rows pass.
pub(super) const TILE: usize = 8;
/// Input rows whose sums with one weight row fit the registers.
const GROUP: usize = 6;
/// Blocks of input that stay in the first cache while weight rows pass.
const SPAN: usize = 128;
/// Bytes of weights, times input rows, below which a task costs more than it saves.
const GRAIN: usize = 1 << 17;

/// Tasks a thread, so that one that comes late or is held up leaves work to the others.
const TASKS: usize = 8;

/// The running sums of one input row with a tile of weight rows.
pub(super) type Sums = [[f32; LANES]; TILE];

/// Input rows in blocks of which the last is filled up with zeros, in the order they are read.
///
/// The rows form groups. A span of blocks of every group comes before the next span of any; within
/// it a block of every row of the group comes before the next block of any.
pub(super) struct Rows<F: Format> {
    blocks: Vec<F::Input>,
    n_rows: usize,
    /// Blocks in a row.
    pub(super) n_blocks: usize,
    /// Blocks of a row that are read at a time.
    pub(super) span: usize,
}

impl<F: Format> Rows<F> {
    pub(super) fn new(xs: &[f32], n_in: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        if cpu::has_avx2() {
            #[target_feature(enable = "avx2,fma,f16c")]
            fn wide<F: Format>(xs: &[f32], n_in: usize) -> Rows<F> {
                Rows::made(xs, n_in)
            }
            // SAFETY: the CPU has what the function was compiled for
            #[allow(unsafe_code, reason = "a call into code for this CPU")]
            return unsafe { wide(xs, n_in) };
        }
        Self::made(xs, n_in)
    }

    #[inline(always)]
    fn made(xs: &[f32], n_in: usize) -> Self {
        let n_rows = xs.len() / n_in;
        let n_blocks = n_in.div_ceil(BLOCK);
        let largest = n_rows.div_ceil(n_rows.div_ceil(GROUP));
        let span = (SPAN / largest).min(n_blocks);
        let blocks = vec![F::input(&[0.; BLOCK]); n_rows * n_blocks];
        let mut rows = Self { blocks, n_rows, n_blocks, span };
        for start in (0..n_blocks).step_by(span) {
            for (first, size) in rows.groups() {
                let at = rows.at(first, size, start);
                for r in 0..size {
                    let x =
                        &xs[(first + r) * n_in..][start * BLOCK..n_in.min((start + span) * BLOCK)];
                    let (whole, rest) = x.as_chunks();
                    let mut places = rows.blocks[at + r..].iter_mut().step_by(size);
                    for (x, place) in whole.iter().zip(places.by_ref()) {
                        *place = F::input(x);
                    }
                    if let Some(place) = places.next().filter(|_| !rest.is_empty()) {
                        let mut padded = [0.; BLOCK];
                        padded[..rest.len()].copy_from_slice(rest);
                        *place = F::input(&padded);
                    }
                }
            }
        }
        rows
    }

    /// First row and number of rows of each group, as equal as can be.
    pub(super) fn groups(&self) -> impl Iterator<Item = (usize, usize)> + use<F> {
        let (n_rows, n_groups) = (self.n_rows, self.n_rows.div_ceil(GROUP));
        let start = move |group| group * n_rows / n_groups;
        (0..n_groups).map(move |group| (start(group), start(group + 1) - start(group)))
    }

    fn at(&self, first_row: usize, size: usize, block: usize) -> usize {
        let start = block / self.span * self.span;
        let width = self.span.min(self.n_blocks - start);
        start * self.n_rows + first_row * width + (block - start) * size
    }

    /// Blocks `start .. end`, all of one span, of the `R` rows of a group.
    pub(super) fn group<const R: usize>(
        &self,
        first_row: usize,
        start: usize,
        end: usize,
    ) -> &[[F::Input; R]] {
        let at = self.at(first_row, R, start);
        self.blocks[at..at + (end - start) * R].as_chunks().0
    }
}

/// Rows of weights: whole blocks, and what is left over of each as a last one.
pub(super) struct Tile<'a, F: Format> {
    pub(super) whole: [&'a [F::Block]; TILE],
    pub(super) last: [F::Block; TILE],
}

impl<'a, F: Format> Tile<'a, F> {
    pub(super) fn new(rows: [&'a [F::Item]; TILE]) -> Self {
        Self {
            whole: rows.map(|row| F::blocks(row).0),
            last: rows.map(|row| F::padded(F::blocks(row).1)),
        }
    }
}

/// `ys = xs Wᵀ + bias`, every sum in the same order whatever the number of rows.
pub(super) fn linear<F: Format>(
    xs: &[f32],
    weights: &[F::Item],
    n_in: usize,
    bias: Option<&[f32]>,
    ys: &mut [f32],
) {
    let n_rows = xs.len() / n_in;
    let n_out = ys.len() / n_rows;
    let row_items = F::items(n_in);
    let rows = Rows::<F>::new(xs, n_in);
    let fewest = GRAIN.div_ceil(n_rows * row_items * size_of::<F::Item>());
    let per_task = fewest.max(n_out.div_ceil(TASKS * rayon::current_num_threads()));
    let work = |(first, ys): (usize, Vec<&mut [f32]>)| {
        let n_out = ys[0].len();
        let mut ys = ys;
        let mut sums = vec![[[0.; LANES]; TILE]; n_rows];
        for start in (0..n_out).step_by(TILE) {
            let row = |i: usize| (first + (start + i).min(n_out - 1)) * row_items;
            let tile = Tile::<F>::new(std::array::from_fn(|i| &weights[row(i)..][..row_items]));
            sums.fill([[0.; LANES]; TILE]);
            add_products(&tile, &rows, &mut sums);
            for (y, sums) in ys.iter_mut().zip(&sums) {
                for (i, (y, &sum)) in y[start..].iter_mut().zip(sums).enumerate() {
                    *y = total(sum) + bias.map_or(0., |bias| bias[first + start + i]);
                }
            }
        }
    };
    let tasks = columns(ys, n_out, per_task.next_multiple_of(TILE));
    if tasks.len() == 1 {
        tasks.into_iter().for_each(work);
    } else {
        tasks.into_par_iter().with_max_len(1).for_each(work);
    }
}

/// Adds the products of every input row with the weight rows of a tile, lane by lane.
pub(super) fn add_products<F: Format>(tile: &Tile<F>, xs: &Rows<F>, sums: &mut [Sums]) {
    #[cfg(target_arch = "x86_64")]
    if F::IN_PAIRS && cpu::has_bf16() {
        // SAFETY: the CPU has what the function was compiled for
        #[allow(unsafe_code, reason = "a call into code for this CPU")]
        return unsafe { of_pairs::add_products(tile, xs, sums) };
    }
    #[cfg(target_arch = "x86_64")]
    if cpu::has_vnni() {
        // SAFETY: the CPU has what the function was compiled for
        #[allow(unsafe_code, reason = "a call into code for this CPU")]
        return unsafe { avx512::add_products(tile, xs, sums) };
    }
    #[cfg(target_arch = "x86_64")]
    if cpu::has_avx2() {
        // SAFETY: the CPU has what the function was compiled for
        #[allow(unsafe_code, reason = "a call into code for this CPU")]
        return unsafe { avx2::add_products(tile, xs, sums) };
    }
    plain(tile, xs, sums);
}

/// The plain reference of [`add_products`].
pub(super) fn plain<F: Format>(tile: &Tile<F>, xs: &Rows<F>, sums: &mut [Sums]) {
    for (first, size) in xs.groups() {
        for r in 0..size {
            for (i, lanes) in sums[first + r].iter_mut().enumerate() {
                let blocks = tile.whole[i].iter().chain([&tile.last[i]]).take(xs.n_blocks);
                for (at, block) in blocks.enumerate() {
                    F::add_products(block, &xs.blocks[xs.at(first, size, at) + r], lanes);
                }
            }
        }
    }
}

/// The sum over the lanes, pairwise.
fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut n = LANES;
    while n > 1 {
        n /= 2;
        for i in 0..n {
            lanes[i] += lanes[i + n];
        }
    }
    lanes[0]
}
