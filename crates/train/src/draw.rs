//! Which examples a step shows.

use std::collections::BTreeMap;

use rand::{Rng, seq::SliceRandom};

/// `n` of so many examples: all of them before one comes again.
pub(crate) fn even(n_examples: usize, n: usize, rng: &mut impl Rng) -> Vec<usize> {
    in_rounds(&(0..n_examples).collect::<Vec<_>>(), n, rng)
}

/// `n` of examples that are sorted into strata: every stratum before one comes again, and within it every example.
pub(crate) fn balanced(strata: &[Vec<usize>], n: usize, rng: &mut impl Rng) -> Vec<usize> {
    let turns = in_rounds(&(0..strata.len()).collect::<Vec<_>>(), n, rng);
    let mut left: Vec<_> = strata
        .iter()
        .enumerate()
        .map(|(stratum, members)| {
            let n_turns = turns.iter().filter(|turn| **turn == stratum).count();
            in_rounds(members, n_turns, rng).into_iter()
        })
        .collect();
    turns.into_iter().filter_map(|stratum| left[stratum].next()).collect()
}

/// The places of examples by the value that each has, in the order of the values; those without one are a stratum
/// of their own.
pub(crate) fn strata(values: impl Iterator<Item = Option<usize>>) -> Vec<Vec<usize>> {
    let mut found: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (place, value) in values.enumerate() {
        found.entry(value).or_default().push(place);
    }
    found.into_values().collect()
}

fn in_rounds(all: &[usize], n: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut order = Vec::with_capacity(n);
    while order.len() < n {
        let mut round = all.to_vec();
        round.shuffle(rng);
        order.extend(round);
    }
    order.truncate(n);
    order
}

#[cfg(test)]
mod tests {
    use nn::seeded::rng;

    use super::*;

    #[test]
    fn rare_values_are_shown_as_often_as_frequent_ones() {
        let values = [Some(1), Some(1), Some(0), Some(1), None, Some(1)];
        let strata = strata(values.into_iter());
        assert_eq!(strata, [vec![4], vec![2], vec![0, 1, 3, 5]]);
        for step in 0..5 {
            let drawn = balanced(&strata, 12, &mut rng(7, &format!("step {step}")));
            let count = |places: &[usize]| drawn.iter().filter(|it| places.contains(it)).count();
            assert_eq!((count(&[4]), count(&[2]), count(&[0, 1, 3, 5])), (4, 4, 4));
            // of four turns each of the four has one
            assert_eq!([0, 1, 3, 5].map(|place| count(&[place])), [1; 4]);
            assert_eq!(drawn, balanced(&strata, 12, &mut rng(7, &format!("step {step}"))));
        }
        let drawn = even(5, 7, &mut rng(7, "step 0"));
        let mut first = drawn[..5].to_vec();
        first.sort_unstable();
        assert_eq!((first, drawn.len()), (vec![0, 1, 2, 3, 4], 7));
    }
}
