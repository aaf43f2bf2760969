//! Few rows in which every two levels of every two factors meet.

use std::collections::HashSet;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Candidates of which the best becomes the next row.
const CANDIDATES: usize = 40;

/// Rows of one level a factor, for factors of these numbers of levels: each pair of levels of two
/// factors stands in some row. Always the same rows for the same numbers.
pub(super) fn rows(n_levels: &[usize]) -> Vec<Vec<usize>> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut left: Vec<[usize; 4]> = Vec::new();
    for (a, &n_a) in n_levels.iter().enumerate() {
        for (b, &n_b) in n_levels.iter().enumerate().skip(a + 1) {
            left.extend((0..n_a * n_b).map(|at| [a, at / n_b, b, at % n_b]));
        }
    }
    let mut rows = Vec::new();
    while let Some(&pair) = left.first() {
        let best = (0..CANDIDATES)
            .map(|_| candidate(n_levels, pair, &left, &mut random))
            .max_by_key(|row| left.iter().filter(|pair| holds(row, pair)).count());
        let row = best.expect("there are candidates");
        left.retain(|pair| !holds(&row, pair));
        rows.push(row);
    }
    rows
}

fn holds(row: &[usize], &[a, at_a, b, at_b]: &[usize; 4]) -> bool {
    row[a] == at_a && row[b] == at_b
}

/// Of `rows`, few in which all pairs of levels meet that meet in any.
pub(super) fn chosen(mut rows: Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    let pairs = |row: &[usize]| -> Vec<[usize; 4]> {
        let meets = |a: usize| (a + 1..row.len()).map(move |b| [a, row[a], b, row[b]]);
        (0..row.len()).flat_map(meets).collect()
    };
    let mut left: HashSet<[usize; 4]> = rows.iter().flat_map(|row| pairs(row)).collect();
    let mut all = Vec::new();
    while !left.is_empty() {
        let gain = |row: &Vec<usize>| pairs(row).iter().filter(|it| left.contains(*it)).count();
        let (at, _) =
            rows.iter().enumerate().max_by_key(|(_, row)| gain(row)).expect("some are left");
        let row = rows.swap_remove(at);
        pairs(&row).iter().for_each(|pair| _ = left.remove(pair));
        all.push(row);
    }
    all
}

/// A row with this pair whose other factors, in a random order, take the level that adds most.
fn candidate(
    n_levels: &[usize],
    [a, at_a, b, at_b]: [usize; 4],
    left: &[[usize; 4]],
    random: &mut ChaCha8Rng,
) -> Vec<usize> {
    let mut row: Vec<Option<usize>> = vec![None; n_levels.len()];
    (row[a], row[b]) = (Some(at_a), Some(at_b));
    let mut order: Vec<usize> = (0..n_levels.len()).filter(|it| row[*it].is_none()).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, random.random_range(0..=at));
    }
    for factor in order {
        let gain = |level: usize| {
            let adds = |&[a, at_a, b, at_b]: &[usize; 4]| {
                (a == factor && at_a == level && row[b] == Some(at_b))
                    || (b == factor && at_b == level && row[a] == Some(at_a))
            };
            left.iter().filter(|pair| adds(pair)).count()
        };
        let gains: Vec<usize> = (0..n_levels[factor]).map(gain).collect();
        let most = gains.iter().copied().max().unwrap_or(0);
        let best: Vec<usize> = (0..gains.len()).filter(|&level| gains[level] == most).collect();
        row[factor] = Some(best[random.random_range(0..best.len())]);
    }
    row.into_iter().map(|level| level.expect("every factor has a level")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_of_many_rows_hold_all_of_their_pairs() {
        let all: Vec<Vec<usize>> = (0..125).map(|at| vec![at / 25, at / 5 % 5, at % 5]).collect();
        // the second level is never below the first
        let some: Vec<Vec<usize>> = all.into_iter().filter(|row| row[1] >= row[0]).collect();
        let few = chosen(some.clone());
        assert!((25..40).contains(&few.len()), "{}", few.len());
        for row in some {
            for pair in [[0, row[0], 1, row[1]], [0, row[0], 2, row[2]], [1, row[1], 2, row[2]]] {
                assert!(few.iter().any(|row| holds(row, &pair)), "{pair:?}");
            }
        }
    }

    #[test]
    fn every_pair_of_levels_meets_in_few_rows() {
        let n_levels = [6, 5, 4, 3, 2];
        let rows = rows(&n_levels);
        assert!((30..45).contains(&rows.len()), "{}", rows.len());
        for a in 0..n_levels.len() {
            for b in a + 1..n_levels.len() {
                for at in 0..n_levels[a] * n_levels[b] {
                    let pair = [a, at / n_levels[b], b, at % n_levels[b]];
                    assert!(rows.iter().any(|row| holds(row, &pair)), "{pair:?}");
                }
            }
        }
    }
}
