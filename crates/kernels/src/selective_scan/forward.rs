//! The scan itself.

use rayon::prelude::*;

use super::{Group, LANES, Lanes, STATES, SelectiveScan, States, WIDTH, groups, load};
use crate::Real;
use crate::columns::columns;
use crate::cpu::{Work, widest};

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
        tasks.into_par_iter().for_each(|(item, (first, mut ys))| {
            widest(Channels { scan: self, item, first, ys: &mut ys });
        });
    }

    pub(super) fn constants(&self, group: &Group) -> Constants<T> {
        let lanes = |xs: &[T]| load(&xs[group.first..][..group.n]);
        Constants { a: self.decays(group), d: lanes(self.d), bias: lanes(self.delta_bias) }
    }
}

/// All tokens of an item for the channels from `first` on; `ys` is their piece of every token's row.
struct Channels<'a, 'b, T> {
    scan: &'a SelectiveScan<'a, T>,
    item: usize,
    first: usize,
    ys: &'a mut [&'b mut [T]],
}

impl<T: Real> Work for Channels<'_, '_, T> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        tokens::<T, FMA>(self.scan, self.item, self.first, self.ys);
    }
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
