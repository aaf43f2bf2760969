//! The scan itself.

use rayon::prelude::*;

use super::{Group, LANES, Lanes, STATES, SelectiveScan, States, WIDTH, groups, load};
use crate::Real;
use crate::columns::columns;
#[cfg(target_arch = "x86_64")]
use crate::cpu;

/// The constants of a group of channels.
pub(super) struct Constants<T> {
    pub(super) a: States<T>,
    pub(super) d: Lanes<T>,
    pub(super) bias: Lanes<T>,
}

impl<T: Real> SelectiveScan<'_, T> {
    /// Writes the result, `(batch, n_tokens, n_channels)`.
    pub fn forward(&self, ys: &mut [T]) {
        self.check();
        assert_eq!(ys.len(), self.n_rows() * self.n_channels(), "a result for each input");
        let mut tasks = Vec::new();
        for (item, ys) in ys.chunks_mut(self.n_tokens * self.n_channels()).enumerate() {
            tasks.extend(columns(ys, self.n_channels(), WIDTH).into_iter().map(|ys| (item, ys)));
        }
        tasks.into_par_iter().for_each(|(item, (first, mut ys))| run(self, item, first, &mut ys));
    }

    pub(super) fn constants(&self, group: &Group) -> Constants<T> {
        let lanes = |xs: &[T]| load(&xs[group.first..][..group.n]);
        Constants { a: self.decays(group), d: lanes(self.d), bias: lanes(self.delta_bias) }
    }
}

/// All tokens of an item for the channels from `first` on; `ys` is their piece of every token's row.
fn run<T: Real>(scan: &SelectiveScan<T>, item: usize, first: usize, ys: &mut [&mut [T]]) {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "calls into code for this CPU")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512<T: Real>(scan: &SelectiveScan<T>, item: usize, at: usize, ys: &mut [&mut [T]]) {
            tokens::<T, true>(scan, item, at, ys);
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<T: Real>(scan: &SelectiveScan<T>, item: usize, at: usize, ys: &mut [&mut [T]]) {
            tokens::<T, true>(scan, item, at, ys);
        }
        if cpu::has_avx512() {
            // SAFETY: the CPU has what the function was compiled for
            return unsafe { avx512(scan, item, first, ys) };
        }
        if cpu::has_avx2() {
            // SAFETY: as above
            return unsafe { avx2(scan, item, first, ys) };
        }
    }
    tokens::<T, false>(scan, item, first, ys);
}

#[inline(always)]
pub(super) fn tokens<T: Real, const FMA: bool>(
    scan: &SelectiveScan<T>,
    item: usize,
    first: usize,
    ys: &mut [&mut [T]],
) {
    let width = ys[0].len();
    let mut parts: Vec<_> = groups(first, width)
        .map(|group| (group, scan.constants(&group), [[T::ZERO; LANES]; STATES]))
        .collect();
    let row_of = scan.order(item);
    for step in 0..scan.n_tokens {
        let row = row_of(step);
        let y = &mut *ys[row - item * scan.n_tokens];
        for (group, constants, states) in &mut parts {
            let x = load(scan.xs.row(row, group.first, group.n));
            let delta = load(scan.deltas.row(row, group.first, group.n));
            let sums = advance::<T, FMA>(constants, states, &x, &delta, scan.inputs_of(row));
            y[group.first - first..][..group.n].copy_from_slice(&sums[..group.n]);
        }
    }
}

/// One token: moves the states on and returns the results.
#[inline(always)]
pub(super) fn advance<T: Real, const FMA: bool>(
    constants: &Constants<T>,
    states: &mut States<T>,
    x: &Lanes<T>,
    delta: &Lanes<T>,
    (b, c): (&Lanes<T>, &Lanes<T>),
) -> Lanes<T> {
    let mut steps = [T::ZERO; LANES];
    let mut writes = [T::ZERO; LANES];
    let mut sums = [T::ZERO; LANES];
    for i in 0..LANES {
        steps[i] = (delta[i] + constants.bias[i]).softplus_in_lane::<FMA>();
        writes[i] = steps[i] * x[i];
        sums[i] = constants.d[i] * x[i];
    }
    for s in 0..STATES {
        for i in 0..LANES {
            let decay = (steps[i] * constants.a[s][i]).exp_in_lane::<FMA>();
            states[s][i] = decay.madd::<FMA>(states[s][i], writes[i] * b[s]);
            sums[i] = states[s][i].madd::<FMA>(c[s], sums[i]);
        }
    }
    sums
}
