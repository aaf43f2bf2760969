use proptest::prelude::*;

use super::*;
use crate::testing::noise;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn panels_hold_every_entry_and_zeros(n_terms in 1usize..70, n_columns in 1usize..100, gap in 0usize..3) {
        let stride = n_columns + gap;
        let rows = noise::<f32>(1, n_terms * stride);
        let turned_stride = n_terms + gap;
        let mut turned = vec![f32::NAN; n_columns * turned_stride];
        for term in 0..n_terms {
            for column in 0..n_columns {
                turned[column * turned_stride + term] = rows[term * stride + column];
            }
        }
        let [mut a, mut b] = [(); 2].map(|()| vec![f32::NAN; packed_len(n_terms, n_columns)]);
        pack_rows(&rows, stride, n_terms, n_columns, &mut a);
        pack_columns(&turned, turned_stride, n_terms, n_columns, &mut b);
        prop_assert_eq!(&a, &b);
        for (term, row) in rows.chunks(stride).enumerate() {
            for (column, &entry) in row[..n_columns].iter().enumerate() {
                let (panel, place) = (column / WIDE, column % WIDE);
                let room = room(n_columns - panel * WIDE);
                prop_assert_eq!(a[panel * WIDE * n_terms + term * room + place], entry);
            }
        }
        let total = |xs: &[f32]| xs.iter().map(|x| f64::from(x.abs())).sum::<f64>();
        let there: f64 = rows.chunks(stride).map(|row| total(&row[..n_columns])).sum();
        prop_assert!((total(&a) - there).abs() < 1e-9 * there);
    }

    #[test]
    fn a_tile_sums_in_order_with_one_rounding_a_term(
        n_rows in 1usize..40, n_terms in 1usize..=256, n_columns in 1usize..=32, gap in 0usize..3,
        keep: bool,
    ) {
        if !is_there() {
            return Ok(());
        }
        let (stride, width) = (n_terms + gap, room(n_columns));
        let (left, right) = (noise::<f32>(2, n_rows * stride), noise::<f32>(3, n_terms * n_columns));
        let before = noise::<f32>(4, n_rows * n_columns);
        let mut panel = vec![f32::NAN; packed_len(n_terms, n_columns)];
        pack_rows(&right, n_columns, n_terms, n_columns, &mut panel);
        let mut ours = vec![0.; n_rows * (width + gap)];
        for (ours, before) in ours.chunks_mut(width + gap).zip(before.chunks(n_columns)) {
            ours[..n_columns].copy_from_slice(before);
        }
        let rows = Left { entries: &left, stride, n_rows };
        multiply::<Single>(rows, &panel, n_terms, keep, &mut ours, width + gap);
        let mut theirs = before;
        for (at, theirs) in theirs.iter_mut().enumerate() {
            let (row, column) = (at / n_columns, at % n_columns);
            let entries = left[row * stride..][..n_terms].iter().zip(right.chunks(n_columns));
            let sum = entries.fold(0f32, |sum, (a, b)| a.mul_add(b[column], sum));
            *theirs = if keep { *theirs + sum } else { sum };
        }
        for (ours, theirs) in ours.chunks(width + gap).zip(theirs.chunks(n_columns)) {
            for (ours, theirs) in ours[..n_columns].iter().zip(theirs) {
                prop_assert_eq!(ours.to_bits(), theirs.to_bits(), "{} {}", ours, theirs);
            }
            prop_assert!(ours[n_columns..width].iter().all(|&it| it == 0.));
        }
    }

    #[test]
    fn a_tile_of_pairs_sums_both_products_of_each(
        n_rows in 1usize..40, n_terms in 1usize..=256, n_columns in 1usize..=32, gap in 0usize..3,
        keep: bool,
    ) {
        if !Pair::is_there() {
            return Ok(());
        }
        let numbers = |seed, n: usize| -> Vec<[half::bf16; 2]> {
            noise::<f32>(seed, 2 * n).as_chunks::<2>().0.iter().map(|it| it.map(half::bf16::from_f32)).collect()
        };
        let packed = |pairs: &[[half::bf16; 2]]| -> Vec<f32> {
            let bits = |pair: &[half::bf16; 2]| u32::from(pair[0].to_bits()) | u32::from(pair[1].to_bits()) << 16;
            pairs.iter().map(|pair| f32::from_bits(bits(pair))).collect()
        };
        let (stride, width) = (n_terms + gap, room(n_columns));
        let (left, right) = (numbers(2, n_rows * stride), numbers(3, n_terms * n_columns));
        let mut panel = vec![f32::NAN; packed_len(n_terms, n_columns)];
        pack_rows(&packed(&right), n_columns, n_terms, n_columns, &mut panel);
        let before = noise::<f32>(4, n_rows * width);
        let mut ours = before.clone();
        let rows = Left { entries: &packed(&left), stride, n_rows };
        multiply::<Pair>(rows, &panel, n_terms, keep, &mut ours, width);
        for (at, ours) in ours.iter().enumerate() {
            let (row, column) = (at / width, at % width);
            if column >= n_columns {
                prop_assert_eq!(*ours, if keep { before[at] } else { 0. });
                continue;
            }
            let pairs = left[row * stride..][..n_terms].iter().zip(right.chunks(n_columns));
            let products = pairs.flat_map(|(a, b)| [0, 1].map(|i| a[i].to_f64() * b[column][i].to_f64()));
            let (sum, size) = products.fold((0., 1.), |(sum, size), it| (sum + it, size + it.abs()));
            let sum = if keep { f64::from(before[at]) + sum } else { sum };
            prop_assert!((f64::from(*ours) - sum).abs() < 1e-6 * size, "{} {}", ours, sum);
        }
    }
}
