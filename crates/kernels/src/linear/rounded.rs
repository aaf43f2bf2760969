//! Products whose inputs are rounded as their weights are: to bf16, as PyTorch's are beside weights in
//! bf16, or, beside `Q8_0`, to bytes with a scale for every block of thirty-two, as ggml's are.
//!
//! Sums stay in `f32`. Inputs are rounded alike for few rows and for many, with and without tiles, so how
//! many rows come together, and on which CPU, changes only the order of sums, but for two things: beside
//! `Q8_0` few rows are rounded once more, to sixteen bits, and the products of pairs of bf16 count
//! numbers below the normal ones as zero.

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::{FEW, Matrix, Weights, bytes, few, linear_with, tiled};
use crate::cpu::{Work, widest};
use crate::format::{Bf16Rounded, round_to_bf16 as round};
use crate::tile::{Entry, Pair};
use crate::{After, scratch};

/// As [`linear_with`], of inputs rounded to bf16, ties to even: many rows beside weights in bf16 are
/// multiplied in the tiles of AMX where CPU and system have them, or else by the products of pairs of
/// AVX-512, as few rows are.
///
/// Beside `Q8_0` inputs are rounded to bytes instead, and many rows multiplied by the products of bytes
/// of AVX-512: of every thirty-two the largest magnitude becomes 127.
pub fn linear_rounded(xs: &[f32], matrix: &Matrix, after: &After, ys: &mut [f32]) {
    if let Matrix { weights: Weights::Q8_0(weights), n_in, n_out } = *matrix {
        if super::n_rows(xs, n_in, ys, n_out) > FEW && n_out > 0 && bytes::is_there() {
            after.check(n_out, ys.len());
            return bytes::linear(xs, weights, n_in, after, ys);
        }
        return scratch::with(xs.len(), |rounded| {
            widest(bytes::Stands(xs, rounded));
            linear_with(rounded, matrix, after, ys);
        });
    }
    if let Matrix { weights: Weights::Bf16(weights), n_in, n_out } = *matrix
        && super::n_rows(xs, n_in, ys, n_out) > 0
        && n_out > 0
    {
        after.check(n_out, ys.len());
        if xs.len() <= FEW * n_in {
            few::linear::<Bf16Rounded>(xs, weights, n_in, after.bias, ys);
            return after.finish_biased(ys);
        }
        #[cfg(target_arch = "x86_64")]
        if amx::is_there() {
            return amx::linear(xs, weights, n_in, after, ys);
        }
        if Pair::is_there() {
            return tiled::linear_of_pairs(xs, weights, n_in, after, ys);
        }
    }
    scratch::with(xs.len(), |rounded| {
        widest(Round(xs, rounded));
        linear_with(rounded, matrix, after, ys);
    });
}

struct Round<'a>(&'a [f32], &'a mut [f32]);

impl Work for Round<'_> {
    type Out = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (x, y) in self.0.iter().zip(self.1) {
            *y = f32::from_bits(round(*x) & 0xffff_0000);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::noise;
    use crate::{Activation, Weights, to_bf16};

    /// `round(xs) Wᵀ` in `f64`, and the sum of the magnitudes of each entry's terms.
    fn exact(xs: &[f32], weights: &[u16], n_in: usize) -> Vec<(f64, f64)> {
        let wide = |bits: u16| f64::from(f32::from_bits(u32::from(bits) << 16));
        let xs = to_bf16(xs);
        let pairs = xs.chunks(n_in).flat_map(|x| weights.chunks(n_in).map(move |w| (x, w)));
        pairs
            .map(|(x, w)| {
                let terms = x.iter().zip(w).map(|(&x, &w)| wide(x) * wide(w));
                terms.fold((0., 0.), |(sum, size), term| (sum + term, size + term.abs()))
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn products_are_those_of_rounded_inputs(
            seed in 1u64..1000, n_rows in prop_oneof![1usize..100, 250usize..280],
            n_out in 1usize..80, n_in in prop_oneof![1usize..70, 200usize..600],
            activated: bool, gated: bool, residual: bool,
        ) {
            let xs: Vec<f32> = noise(seed, n_rows * n_in);
            let weights = to_bf16(&noise::<f32>(seed + 1, n_out * n_in));
            let (bias, before) = (noise::<f32>(seed + 2, n_out), noise::<f32>(seed + 3, n_rows * n_out));
            let matrix = Matrix::new(Weights::Bf16(&weights), n_in).expect("whole rows");
            let mut ys = vec![f32::NAN; n_rows * n_out];
            let others: Vec<f32> = noise(seed + 4, n_rows * n_out);
            let after = After {
                bias: Some(&bias),
                activation: activated.then_some(Activation::Gelu),
                others: gated.then_some(&others),
                factor: gated.then_some(0.3),
                residual: residual.then_some(&before),
            };
            linear_rounded(&xs, &matrix, &after, &mut ys);
            for (at, (sum, size)) in exact(&xs, &weights, n_in).into_iter().enumerate() {
                let mut sum = sum + f64::from(bias[at % n_out]);
                if activated {
                    let mut activated = [0.];
                    Activation::Gelu.forward(&[sum], &mut activated);
                    sum = activated[0];
                }
                if gated {
                    sum *= f64::from(others[at]) * 0.3;
                }
                if residual {
                    sum += f64::from(before[at]);
                }
                let error = (f64::from(ys[at]) - sum).abs();
                prop_assert!(error < 1e-6 * (size + 2.), "entry {}: {} for {}", at, ys[at], sum);
            }
        }
    }

    /// Bytes and scales by the definition, products of whole numbers, and both scales in `f64`.
    fn exact_of_bytes(xs: &[f32], blocks: &[u8], n_in: usize) -> Vec<(f64, f64)> {
        let rounded = |x: &[f32]| {
            let largest = x.iter().fold(0f32, |largest, x| largest.max(x.abs()));
            let number = |x: &f32| f64::from((x * (127. / largest)).round_ties_even());
            (x.iter().map(number).collect::<Vec<_>>(), f64::from(largest) / 127.)
        };
        let weights = |block: &[u8]| {
            let scale = half::f16::from_le_bytes([block[0], block[1]]).to_f64();
            (block[2..].iter().map(|&q| f64::from(q as i8)).collect::<Vec<_>>(), scale)
        };
        let mut sums = Vec::new();
        for x in xs.chunks(n_in) {
            let x: Vec<_> = x.chunks(32).map(rounded).collect();
            for row in blocks.chunks(n_in / 32 * 34) {
                let blocks = x.iter().zip(row.chunks(34).map(weights));
                let terms = blocks.flat_map(|((x, x_scale), (w, w_scale))| {
                    let products = x.iter().zip(w).map(|(x, w)| x * w * x_scale * w_scale);
                    products.collect::<Vec<_>>()
                });
                sums.push(terms.fold((0., 0.), |(sum, size), it| (sum + it, size + it.abs())));
            }
        }
        sums
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn products_beside_bytes_are_those_of_bytes(
            seed in 1u64..1000, n_rows in prop_oneof![1usize..80, 290usize..310],
            n_out in 1usize..80, n_blocks in prop_oneof![1usize..8, 15usize..40],
        ) {
            let n_in = 32 * n_blocks;
            let mut xs: Vec<f32> = noise(seed, n_rows * n_in);
            // a block of zeros, and blocks of very different sizes
            xs[..32].fill(0.);
            xs.chunks_mut(32).enumerate().for_each(|(at, xs)| {
                xs.iter_mut().for_each(|x| *x *= [1., 1e-3, 50.][at % 3]);
            });
            let mut weights = noise::<f32>(seed + 1, n_out * n_in);
            // all of one sign, where an offset that stays would show
            weights[..n_in].fill(1.);
            let blocks = crate::to_q8_0(&weights).expect("whole blocks");
            let matrix = Matrix::new(Weights::Q8_0(&blocks), n_in).expect("whole rows");
            let before = noise::<f32>(seed + 3, n_rows * n_out);
            let mut ys = vec![f32::NAN; n_rows * n_out];
            let after = After { residual: Some(&before), ..After::default() };
            linear_rounded(&xs, &matrix, &after, &mut ys);
            // the first block of zeros has no largest number by the definition
            for (at, (sum, size)) in exact_of_bytes(&xs, &blocks, n_in).into_iter().enumerate() {
                if sum.is_nan() {
                    prop_assert!(at < n_out && ys[at].is_finite());
                    continue;
                }
                let sum = sum + f64::from(before[at]);
                let error = (f64::from(ys[at]) - sum).abs();
                // few rows go through sixteen bits, half a unit in 32767 of the largest
                let bound = if n_rows <= FEW { 4e-5 } else { 1e-6 } * (size + 1.);
                prop_assert!(error < bound, "entry {}: {} for {}", at, ys[at], sum);
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none_beside_bytes() {
        let blocks = crate::to_q8_0(&noise::<f32>(1, 5 * 64)).expect("whole blocks");
        let matrix = Matrix::new(Weights::Q8_0(&blocks), 64).expect("whole rows");
        for n_rows in [3, 40] {
            let mut xs: Vec<f32> = noise(2, n_rows * 64);
            (xs[70], xs[140]) = (f32::NAN, f32::INFINITY);
            let mut ys = vec![0.; n_rows * 5];
            linear_rounded(&xs, &matrix, &After::default(), &mut ys);
            assert!(ys[5..15].iter().all(|y| !y.is_finite()), "{n_rows} rows");
            assert!(ys[..5].iter().chain(&ys[15..]).all(|y| y.is_finite()), "{n_rows} rows");
        }
    }

    #[test]
    fn neither_threads_nor_the_batch_change_a_bit() {
        let (n_in, n_out) = (352, 77);
        let numbers = noise::<f32>(1, n_out * n_in);
        let (halves, blocks) = (to_bf16(&numbers), crate::to_q8_0(&numbers).expect("whole blocks"));
        let xs: Vec<f32> = noise(2, 600 * n_in);
        let run = |weights: Weights, n_threads: usize, n_rows: usize| {
            let matrix = Matrix::new(weights, n_in).expect("whole rows");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build();
            let mut ys = vec![f32::NAN; n_rows * n_out];
            pool.expect("a pool").install(|| {
                linear_rounded(&xs[..n_rows * n_in], &matrix, &After::default(), &mut ys);
            });
            ys.truncate(40 * n_out);
            ys
        };
        for weights in [Weights::Bf16(&halves), Weights::Q8_0(&blocks)] {
            let one = run(weights, 1, 40);
            let others = [(3, 40), (1, 600), (2, 333)];
            assert!(
                others.iter().all(|&(n_threads, n_rows)| one == run(weights, n_threads, n_rows))
            );
            let few = run(weights, 1, 20);
            assert!(few == run(weights, 3, 20) && few[..n_out] == run(weights, 1, 1));
        }
    }

    #[test]
    fn numbers_round_to_even_and_none_stays_none() {
        // the second and the third lie half-way between neighbours
        let [low, high] = [0x3f80_8000, 0x3f81_8000].map(f32::from_bits);
        let xs = [0., low, high, -1.5, f32::MAX, -0., f32::INFINITY];
        for x in xs {
            assert_eq!((round(x) >> 16) as u16, half::bf16::from_f32(x).to_bits(), "{x}");
        }
        for bits in [0x7fff_ffff, 0xff80_0001, 0x7f80_0001] {
            assert!(f32::from_bits(round(f32::from_bits(bits)) & 0xffff_0000).is_nan());
        }
    }
}
