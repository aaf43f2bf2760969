use proptest::prelude::*;

use super::few::{Rows, TILE, Tile};
use super::*;
use crate::Activation;
use crate::format::{Bf16Rounded, LANES};

/// One of the ways to make a tile's products.
type Code<F> = fn(&Tile<F>, &Rows<F>, &mut [few::Sums]);

/// Numbers in −1 .. 1 that depend on a seed only.
fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.
    };
    std::iter::repeat_with(next).skip(4).take(n).collect()
}

/// A matrix in each format, and its entries in `f32`.
struct Stored {
    f32s: Vec<f32>,
    halves: Vec<u16>,
    blocks: Vec<u8>,
    n_in: usize,
}

const N_FORMATS: usize = 4;

impl Stored {
    fn new(seed: u64, n_out: usize, n_in: usize) -> Self {
        let f32s = numbers(seed, n_out * n_in);
        let halves = f32s.iter().map(|&w| half::f16::from_f32(w).to_bits()).collect();
        // scales between 2^-9 and 2^-5; bytes of all kinds
        let blocks = f32s.chunks(BLOCK).flat_map(|chunk| {
            let scale = half::f16::from_f32((chunk[0].abs() + 0.06) / 32.).to_le_bytes();
            let bytes = (0..BLOCK).map(|i| (chunk[i % chunk.len()] * 127.) as i8 as u8);
            scale.into_iter().chain(bytes)
        });
        Self { blocks: blocks.collect(), halves, f32s, n_in }
    }

    fn matrix(&self, format: usize) -> Option<Matrix<'_>> {
        let weights = match format {
            0 => Weights::F32(&self.f32s),
            1 => Weights::Bf16(&self.halves),
            2 => Weights::F16(&self.halves),
            _ if self.n_in.is_multiple_of(BLOCK) => Weights::Q8_0(&self.blocks),
            _ => return None,
        };
        Matrix::new(weights, self.n_in)
    }
}

/// The entries of a matrix by the definition of its format.
fn entries(matrix: &Matrix) -> Vec<f32> {
    match matrix.weights {
        Weights::F32(w) => w.to_vec(),
        Weights::Bf16(w) => w.iter().map(|&w| f32::from_bits(u32::from(w) << 16)).collect(),
        Weights::F16(w) => w.iter().map(|&w| half::f16::from_bits(w).to_f32()).collect(),
        Weights::Q8_0(w) => {
            let block = |b: &[u8]| {
                let scale = half::f16::from_le_bytes([b[0], b[1]]).to_f32();
                b[2..].iter().map(move |&q| scale * f32::from(q as i8)).collect::<Vec<_>>()
            };
            w.chunks(34).flat_map(block).collect()
        }
    }
}

/// `a (n, k) · b (k, m)` in `f64`, and the sum of the magnitudes of each entry's terms.
fn product(a: &[f32], b: impl Fn(usize, usize) -> f32, k: usize, m: usize) -> Vec<(f64, f64)> {
    let entry = |row: &[f32], column| {
        let terms = row.iter().enumerate().map(|(i, &a)| f64::from(a) * f64::from(b(i, column)));
        terms.fold((0., 0.), |(sum, size), term| (sum + term, size + term.abs()))
    };
    a.chunks(k)
        .flat_map(|row| (0..m).map(move |j| (row, j)))
        .map(|(row, j)| entry(row, j))
        .collect()
}

/// Inputs of few rows are rounded to sixteen bits beside bytes: the largest of a block, to one in
/// 65534.
fn tolerance(matrix: &Matrix, n_rows: usize) -> f64 {
    if matches!(matrix.weights, Weights::Q8_0(_)) && n_rows <= FEW { 4e-5 } else { 1e-6 }
}

fn close(ours: &[f32], exact: &[(f64, f64)], tolerance: f64) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.len(), exact.len());
    for (i, (&ours, &(sum, size))) in ours.iter().zip(exact).enumerate() {
        let error = (f64::from(ours) - sum).abs();
        prop_assert!(error <= tolerance * size + 1e-30, "entry {}: {} for {}", i, ours, sum);
    }
    Ok(())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Lengths of rows: whole and broken blocks, and more than one span.
fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..100, (1usize..9).prop_map(|n| 32 * n), 700usize..900, Just(2048)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn products_of_few_rows_match_the_definition(
        seed: u64, n_rows in 1usize..=20, n_out in 1usize..40, n_in in lengths(),
    ) {
        let (stored, xs) = (Stored::new(seed, n_out, n_in), numbers(!seed, n_rows * n_in));
        let bias = numbers(seed ^ 7, n_out);
        for matrix in (0..N_FORMATS).filter_map(|format| stored.matrix(format)) {
            let w = entries(&matrix);
            let mut exact = product(&xs, |i, j| w[j * n_in + i], n_in, n_out);
            let mut ys = vec![f32::NAN; n_rows * n_out];
            linear(&xs, &matrix, None, &mut ys);
            close(&ys, &exact, tolerance(&matrix, n_rows))?;
            exact.iter_mut().zip(bias.iter().cycle()).for_each(|(y, b)| y.0 += f64::from(*b));
            linear(&xs, &matrix, Some(&bias), &mut ys);
            let exact: Vec<_> = exact.iter().map(|y| (y.0, y.1 + 1.)).collect();
            close(&ys, &exact, tolerance(&matrix, n_rows))?;
        }
    }

    #[test]
    fn products_of_many_rows_and_their_gradients_match_the_definition(
        seed: u64, n_rows in 1usize..=70, n_out in 1usize..150, n_in in lengths(),
    ) {
        let stored = Stored::new(seed, n_out, n_in);
        let (xs, dys) = (numbers(!seed, n_rows * n_in), numbers(seed ^ 9, n_rows * n_out));
        let bias = numbers(seed ^ 7, n_out);
        for matrix in (0..N_FORMATS).filter_map(|format| stored.matrix(format)) {
            let w = entries(&matrix);
            let mut ys = vec![f32::NAN; n_rows * n_out];
            linear(&xs, &matrix, Some(&bias), &mut ys);
            let mut exact = product(&xs, |i, j| w[j * n_in + i], n_in, n_out);
            exact.iter_mut().zip(bias.iter().cycle()).for_each(|(y, b)| {
                *y = (y.0 + f64::from(*b), y.1 + 1.);
            });
            close(&ys, &exact, tolerance(&matrix, n_rows))?;
            let mut dxs = vec![f32::NAN; n_rows * n_in];
            linear_backward(&dys, &matrix, &mut dxs);
            close(&dxs, &product(&dys, |i, j| w[i * n_in + j], n_out, n_in), 1e-6)?;
        }
    }

    #[test]
    fn tiles_give_what_the_gemm_crate_gives_in_steps(
        seed: u64, n_rows in prop_oneof![33usize..90, 1200usize..1300], n_out in 1usize..150,
        n_in in lengths(), activated: bool, biased: bool, residual: bool,
    ) {
        if !tile::is_there() {
            return Ok(());
        }
        let stored = Stored::new(seed, n_out, n_in);
        let (xs, dys) = (numbers(!seed, n_rows * n_in), numbers(seed ^ 9, n_rows * n_out));
        let (bias, before) = (numbers(seed ^ 7, n_out), numbers(seed ^ 5, n_rows * n_out));
        let after = After {
            bias: biased.then_some(&bias),
            activation: activated.then_some(Activation::Gelu),
            residual: residual.then_some(&before),
            ..After::default()
        };
        for matrix in (0..N_FORMATS).filter_map(|format| stored.matrix(format)) {
            let (mut ours, mut theirs) = (vec![f32::NAN; n_rows * n_out], vec![0.; n_rows * n_out]);
            let (mut dxs, mut dxs_theirs) = (vec![f32::NAN; n_rows * n_in], vec![0.; n_rows * n_in]);
            by_format!(matrix, F, items => {
                tiled::linear::<F>(&xs, items, n_in, &after, &mut ours);
                many::linear::<F>(&xs, items, n_in, after.bias, &mut theirs);
                tiled::linear_backward::<F>(&dys, items, n_in, &mut dxs);
                many::linear_backward::<F>(&dys, items, n_in, &mut dxs_theirs);
            });
            if activated {
                let sums = theirs.clone();
                Activation::Gelu.forward(&sums, &mut theirs);
            }
            if residual {
                theirs.iter_mut().zip(&before).for_each(|(y, x)| *y += x);
            }
            for (ours, theirs, n_terms) in [(&ours, &theirs, n_in), (&dxs, &dxs_theirs, n_out)] {
                let bound = 3e-7 * n_terms as f32 + 1e-5;
                for (ours, theirs) in ours.iter().zip(theirs) {
                    prop_assert!((ours - theirs).abs() < bound, "{} {}", ours, theirs);
                }
            }
        }
    }

    #[test]
    fn what_comes_after_a_product_is_the_same_for_few_rows(
        seed: u64, n_rows in 1usize..40, n_out in 1usize..40,
    ) {
        let n_in = 37;
        let (stored, xs) = (Stored::new(seed, n_out, n_in), numbers(!seed, n_rows * n_in));
        let (bias, before) = (numbers(seed ^ 7, n_out), numbers(seed ^ 5, n_rows * n_out));
        let others = numbers(seed ^ 3, n_rows * n_out);
        let (bias, activation) = (Some(&bias[..]), Some(Activation::Silu));
        let (others, factor, residual) = (Some(&others[..]), Some(0.3), Some(&before[..]));
        let after = After { bias, activation, others, factor, residual };
        let matrix = stored.matrix(0).expect("f32 takes any length");
        let (mut ours, mut sums) = (vec![0.; n_rows * n_out], vec![0.; n_rows * n_out]);
        linear_with(&xs, &matrix, &after, &mut ours);
        linear(&xs, &matrix, bias, &mut sums);
        let mut theirs = sums.clone();
        Activation::Silu.forward(&sums, &mut theirs);
        for ((y, other), before) in theirs.iter_mut().zip(others.unwrap_or_default()).zip(&before) {
            *y = *y * other * 0.3 + before;
        }
        prop_assert_eq!(bits(&ours), bits(&theirs));
    }

    #[test]
    fn a_batch_equals_its_rows_bit_for_bit(
        seed: u64, n_rows in 2usize..=FEW, n_out in 1usize..30, n_in in lengths(),
    ) {
        let (stored, xs) = (Stored::new(seed, n_out, n_in), numbers(!seed, n_rows * n_in));
        for matrix in (0..N_FORMATS).filter_map(|format| stored.matrix(format)) {
            let (mut together, mut alone) = (vec![0.; n_rows * n_out], vec![0.; n_rows * n_out]);
            linear(&xs, &matrix, None, &mut together);
            for (x, y) in xs.chunks(n_in).zip(alone.chunks_mut(n_out)) {
                linear(x, &matrix, None, y);
            }
            prop_assert_eq!(bits(&together), bits(&alone));
        }
    }

    #[test]
    fn stored_weights_give_the_bits_of_their_f32_copy(
        seed: u64, n_rows in 1usize..60, n_out in 1usize..40, n_in in lengths(),
    ) {
        let (stored, xs) = (Stored::new(seed, n_out, n_in), numbers(!seed, n_rows * n_in));
        for matrix in (0..N_FORMATS).filter_map(|format| stored.matrix(format)) {
            let copy = entries(&matrix);
            let wide = Matrix::new(Weights::F32(&copy), n_in).expect("the same shape");
            let (mut ours, mut theirs) = (vec![0.; n_rows * n_out], vec![0.; n_rows * n_out]);
            linear(&xs, &matrix, None, &mut ours);
            linear(&xs, &wide, None, &mut theirs);
            if tolerance(&matrix, n_rows) < 1e-5 {
                prop_assert_eq!(bits(&ours), bits(&theirs));
            }
            let mut row = vec![0.; n_in];
            matrix.widen_row(n_out - 1, &mut row);
            prop_assert_eq!(bits(&row), bits(&copy[(n_out - 1) * n_in..]));
        }
    }

    #[test]
    fn the_plain_reference_matches_the_code_for_this_cpu(
        seed: u64, n_rows in 1usize..=FEW, n_in in lengths(),
    ) {
        fn check<F: Format>(rows: [&[F::Item]; TILE], xs: &[f32], n_in: usize)
        -> Result<(), TestCaseError> {
            let (n_rows, xs) = (xs.len() / n_in, &Rows::<F>::new(xs, n_in));
            let tile = Tile::<F>::new(rows);
            let mut ours = vec![[[0f32; LANES]; TILE]; n_rows];
            let mut plain = ours.clone();
            few::plain(&tile, xs, &mut plain);
            let plain = plain.as_flattened().as_flattened();
            let mut codes: Vec<Code<F>> = vec![few::add_products];
            #[cfg(target_arch = "x86_64")]
            if crate::cpu::has_avx2() {
                // SAFETY: the CPU has what the function was compiled for
                #[allow(unsafe_code, reason = "a call into code for this CPU")]
                codes.push(|tile, xs, sums| unsafe { wide::avx2::add_products(tile, xs, sums) });
            }
            #[cfg(target_arch = "x86_64")]
            if crate::cpu::has_vnni() {
                // SAFETY: as above
                #[allow(unsafe_code, reason = "a call into code for this CPU")]
                codes.push(|tile, xs, sums| unsafe { wide::avx512::add_products(tile, xs, sums) });
            }
            for code in codes {
                ours.fill([[0.; LANES]; TILE]);
                code(&tile, xs, &mut ours);
                for (a, b) in ours.as_flattened().as_flattened().iter().zip(plain) {
                    prop_assert!((a - b).abs() < 2e-5, "{} {}", a, b);
                }
            }
            Ok(())
        }
        let (stored, xs) = (Stored::new(seed, TILE, n_in), numbers(!seed, n_rows * n_in));
        for matrix in (0..N_FORMATS).filter_map(|format| stored.matrix(format)) {
            by_format!(matrix, F, items => {
                let n = <F as Format>::items(n_in);
                check::<F>(std::array::from_fn(|i| &items[i * n..(i + 1) * n]), &xs, n_in)?;
            });
        }
        let rows = std::array::from_fn(|i| &stored.halves[i * n_in..(i + 1) * n_in]);
        check::<Bf16Rounded>(rows, &xs, n_in)?;
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (n_out, n_in) = (700, 1000);
    let stored = Stored::new(3, n_out, n_in);
    let matrix = stored.matrix(1).expect("bf16 takes any length");
    let with_threads = |n_threads, n_rows| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a pool");
        let xs = numbers(4, n_rows * n_in);
        let (mut ys, mut dxs) = (vec![0.; n_rows * n_out], vec![0.; n_rows * n_in]);
        pool.install(|| {
            linear(&xs, &matrix, None, &mut ys);
            linear_backward(&ys, &matrix, &mut dxs);
        });
        (bits(&ys), bits(&dxs))
    };
    for n_rows in [1, 8, 100, 600, 2500] {
        assert!(with_threads(1, n_rows) == with_threads(3, n_rows), "{n_rows} rows");
    }
}

#[test]
fn no_rows_and_no_outputs_are_no_work() {
    let matrix = Matrix::new(Weights::F32(&[0.; 12]), 4).expect("three rows of four");
    linear(&[], &matrix, None, &mut []);
    linear_backward(&[], &matrix, &mut []);
    let matrix = Matrix::new(Weights::F32(&[]), 4).expect("no rows of four");
    let mut dxs = [f32::NAN; 4];
    linear(&[1.; 4], &matrix, None, &mut []);
    linear_backward(&[], &matrix, &mut dxs);
    assert_eq!(dxs, [0.; 4]);
}

#[test]
fn ragged_entries_are_no_matrix() {
    let (halves, bytes) = ([0; 12], [0; 68]);
    assert!(Matrix::new(Weights::Bf16(&halves), 5).is_none());
    assert!(Matrix::new(Weights::F16(&halves), 0).is_none());
    assert!(Matrix::new(Weights::Q8_0(&bytes), 33).is_none());
    assert!(Matrix::new(Weights::Q8_0(&bytes[1..]), 32).is_none());
    let matrix = Matrix::new(Weights::Q8_0(&bytes), 32).expect("two rows of a block");
    assert_eq!((matrix.n_out(), matrix.n_in()), (2, 32));
}

#[test]
#[should_panic(expected = "5 inputs in rows of 4 do not go with 3 outputs in rows of 3")]
fn inputs_that_are_no_whole_rows_are_refused() {
    let matrix = Matrix::new(Weights::F32(&[0.; 12]), 4).expect("three rows of four");
    linear(&[0.; 5], &matrix, None, &mut [0.; 3]);
}
