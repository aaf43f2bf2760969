//! Gradients of the scan.

use std::ops::Range;

use rayon::prelude::*;

use super::forward::{Constants, advance};
use super::{CHUNK, Group, LANES, Lanes, STATES, Scanned, SelectiveScan, States, groups, load};
use crate::Real;
use crate::columns::columns;
#[cfg(target_arch = "x86_64")]
use crate::cpu;

/// What one group of channels of one item adds to the gradients that others share.
struct Shared<T> {
    /// `(n_tokens, 2 · 16)`.
    inputs: Vec<T>,
    a: States<T>,
    d: Lanes<T>,
    bias: Lanes<T>,
}

/// A group's piece of every token's row.
struct Pieces<'a, T> {
    dxs: Vec<&'a mut [T]>,
    ddeltas: Vec<&'a mut [T]>,
}

impl<T: Real> SelectiveScan<'_, T> {
    /// The gradients, from that of the result, `(batch, n_tokens, n_channels)`.
    pub fn backward(&self, dys: &[T]) -> Scanned<T> {
        self.check();
        let n = self.n_channels();
        assert_eq!(dys.len(), self.n_rows() * n, "a gradient for each result");
        let zeros = |n| vec![T::ZERO; n];
        let mut all = Scanned {
            xs: zeros(dys.len()),
            deltas: zeros(dys.len()),
            inputs: zeros(self.inputs.len()),
            a: zeros(self.a.len()),
            d: zeros(n),
            delta_bias: zeros(n),
        };
        let item_size = self.n_tokens * n;
        let items = all.xs.chunks_mut(item_size).zip(all.deltas.chunks_mut(item_size));
        for (item, (dxs, ddeltas)) in items.enumerate() {
            let pieces = columns(dxs, n, LANES).into_iter().zip(columns(ddeltas, n, LANES));
            let tasks: Vec<_> = groups(0, n)
                .zip(pieces)
                .map(|(group, ((_, dxs), (_, ddeltas)))| (group, Pieces { dxs, ddeltas }))
                .collect();
            let shared: Vec<_> = tasks
                .into_par_iter()
                .map(|(group, mut pieces)| (group, run(self, item, &group, dys, &mut pieces)))
                .collect();
            let inputs = &mut all.inputs[item * self.n_tokens * 2 * STATES..];
            // in the order of the channels, so that no sum depends on the threads
            for (group, shared) in shared {
                inputs.iter_mut().zip(&shared.inputs).for_each(|(sum, &d)| *sum += d);
                for lane in 0..group.n {
                    let channel = group.first + lane;
                    all.d[channel] += shared.d[lane];
                    all.delta_bias[channel] += shared.bias[lane];
                    for (state, da) in shared.a.iter().enumerate() {
                        all.a[channel * STATES + state] += da[lane];
                    }
                }
            }
        }
        all
    }
}

fn run<T: Real>(
    scan: &SelectiveScan<T>,
    item: usize,
    group: &Group,
    dys: &[T],
    pieces: &mut Pieces<T>,
) -> Shared<T> {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "a call into code for this CPU")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn avx2<T: Real>(
            scan: &SelectiveScan<T>,
            item: usize,
            group: &Group,
            dys: &[T],
            pieces: &mut Pieces<T>,
        ) -> Shared<T> {
            Sweep::<T, true>::new(scan, item, group, dys).all(pieces)
        }
        if cpu::has_avx2() {
            // SAFETY: the CPU has what the function was compiled for
            return unsafe { avx2(scan, item, group, dys, pieces) };
        }
    }
    Sweep::<T, false>::new(scan, item, group, dys).all(pieces)
}

/// A walk back over the tokens of an item, for one group of channels.
struct Sweep<'a, T, const FMA: bool> {
    scan: &'a SelectiveScan<'a, T>,
    item: usize,
    group: &'a Group,
    dys: &'a [T],
    constants: Constants<T>,
    /// States before each token of a chunk, and after its last.
    states: Vec<States<T>>,
}

impl<'a, T: Real, const FMA: bool> Sweep<'a, T, FMA> {
    #[inline(always)]
    fn new(scan: &'a SelectiveScan<T>, item: usize, group: &'a Group, dys: &'a [T]) -> Self {
        let constants = scan.constants(group);
        Self { scan, item, group, dys, constants, states: Vec::with_capacity(CHUNK + 1) }
    }

    fn token(&self, row: usize) -> (Lanes<T>, Lanes<T>) {
        let Group { first, n } = *self.group;
        (load(self.scan.xs.row(row, first, n)), load(self.scan.deltas.row(row, first, n)))
    }

    /// Fills `states` from those before the first of these steps on.
    #[inline(always)]
    fn advance(&mut self, mut states: States<T>, steps: Range<usize>) {
        let row_of = self.scan.order(self.item);
        self.states.clear();
        self.states.push(states);
        for step in steps {
            let row = row_of(step);
            let (x, delta) = self.token(row);
            let inputs = self.scan.inputs_of(row);
            advance::<T, FMA>(&self.constants, &mut states, &x, &delta, inputs);
            self.states.push(states);
        }
    }

    #[inline(always)]
    fn all(mut self, pieces: &mut Pieces<T>) -> Shared<T> {
        let n = self.scan.n_tokens;
        let none = [[T::ZERO; LANES]; STATES];
        let chunks: Vec<_> =
            (0..n).step_by(CHUNK).map(|start| start..n.min(start + CHUNK)).collect();
        let mut kept = vec![none];
        for chunk in &chunks {
            self.advance(kept[kept.len() - 1], chunk.clone());
            kept.push(self.states[chunk.len()]);
        }
        let inputs = vec![T::ZERO; n * 2 * STATES];
        let mut shared = Shared { inputs, a: none, d: none[0], bias: none[0] };
        // the gradient that comes back from later tokens
        let mut later = none;
        for (chunk, states) in chunks.into_iter().zip(kept).rev() {
            self.advance(states, chunk.clone());
            for (at, step) in chunk.enumerate().rev() {
                self.back(step, at, &mut later, &mut shared, pieces);
            }
        }
        shared
    }

    /// One token: takes the later tokens' gradient of the states to that of the states before it.
    #[inline(always)]
    fn back(
        &self,
        step: usize,
        at: usize,
        later: &mut States<T>,
        shared: &mut Shared<T>,
        pieces: &mut Pieces<T>,
    ) {
        let row = self.scan.order(self.item)(step);
        let Group { first, n } = *self.group;
        let (x, delta) = self.token(row);
        let dy: Lanes<T> = load(&self.dys[row * self.scan.n_channels() + first..][..n]);
        let (b, c) = self.scan.inputs_of(row);
        let (before, after) = (&self.states[at], &self.states[at + 1]);
        let token = row - self.item * self.scan.n_tokens;
        let (db, dc) = shared.inputs[token * 2 * STATES..][..2 * STATES].split_at_mut(STATES);
        let raw: Lanes<T> = std::array::from_fn(|i| delta[i] + self.constants.bias[i]);
        let steps = raw.map(super::super::real::Real::softplus_in_lane::<FMA>);
        let mut dwrites = [T::ZERO; LANES];
        let mut dsteps = [T::ZERO; LANES];
        for s in 0..STATES {
            for i in 0..LANES {
                let a = self.constants.a[s][i];
                let dstate = dy[i].madd::<FMA>(c[s], later[s][i]);
                dc[s] += dy[i] * after[s][i];
                db[s] += dstate * steps[i] * x[i];
                dwrites[i] += dstate * b[s];
                let through = dstate * (steps[i] * a).exp_in_lane::<FMA>();
                let decayed = through * before[s][i];
                dsteps[i] += decayed * a;
                shared.a[s][i] += decayed * steps[i];
                later[s][i] = through;
            }
        }
        for i in 0..n {
            let dstep = dsteps[i] + dwrites[i] * x[i];
            // the slope of the softplus is the logistic function
            let ddelta = dstep / (T::ONE + (-raw[i]).exp_in_lane::<FMA>());
            shared.d[i] += dy[i] * x[i];
            shared.bias[i] += ddelta;
            pieces.dxs[token][i] = self.constants.d[i] * dy[i] + dwrites[i] * steps[i];
            pieces.ddeltas[token][i] = ddelta;
        }
    }
}
