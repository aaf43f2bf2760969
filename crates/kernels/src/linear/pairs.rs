//! Rows rounded to pairs of bf16, as the products of pairs take them.
use crate::cpu::{Work, widest};
use crate::format::round_to_bf16 as round;

/// Rounds a row to pairs of bf16, the first of each in the lower half of a float's bits; what an odd
/// last one is paired with is zero.
pub(super) fn round_pairs(xs: &[f32], pairs: &mut [f32]) {
    widest(Pairs(xs, pairs));
}

struct Pairs<'a>(&'a [f32], &'a mut [f32]);

impl Work for Pairs<'_> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (pairs, rest) = self.0.as_chunks::<2>();
        for (pair, place) in pairs.iter().zip(self.1.iter_mut()) {
            *place = f32::from_bits(round(pair[0]) >> 16 | round(pair[1]) & 0xffff_0000);
        }
        if let [last] = rest {
            self.1[pairs.len()] = f32::from_bits(round(*last) >> 16);
        }
    }
}
