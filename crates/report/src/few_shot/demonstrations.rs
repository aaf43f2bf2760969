//! Which solved examples stand before a question.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The first `k` of `n` places in an order that `seed` and `stream` decide. Fewer are the beginning of more, so
/// that numbers of shots differ by what is added.
///
/// ```
/// use report::few_shot::drawn;
/// let (few, many) = (drawn(100, 4, 42, 7), drawn(100, 8, 42, 7));
/// assert_eq!(few, many[..4]);
/// assert_ne!(few, drawn(100, 4, 42, 8));
/// assert_eq!(drawn(3, 8, 42, 7).len(), 3);
/// ```
pub fn drawn(n: usize, k: usize, seed: u64, stream: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    let mut places: Vec<usize> = (0..n).collect();
    for at in 0..k.min(n) {
        let chosen = rng.random_range(at..n);
        places.swap(at, chosen);
    }
    places.truncate(k);
    places
}

/// The `k` of `among` whose vectors have the largest cosine with `query`, the most similar last; of equals the
/// one that stands before the other counts as more similar. A vector without length is like nothing.
///
/// Retrieval-based in-context example selection, as OpenFlamingo 2.0.1 has it (after Yang et al. 2022).
///
/// ```
/// use report::few_shot::nearest;
/// let among = [vec![1.0, 0.0], vec![0.0, 2.0], vec![3.0, 1.0]];
/// assert_eq!(nearest(&[1.0, 0.0], &among, 2), [2, 0]);
/// ```
pub fn nearest<V: AsRef<[f32]>>(query: &[f32], among: &[V], k: usize) -> Vec<usize> {
    let mut all: Vec<(usize, f64)> =
        among.iter().enumerate().map(|(at, it)| (at, cosine(query, it.as_ref()))).collect();
    // the sort is stable
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.truncate(k);
    all.into_iter().rev().map(|(at, _)| at).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let norms = (dot(a, a) * dot(b, b)).sqrt();
    if norms > 0.0 { dot(a, b) / norms } else { -1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_drawn_as_often_as_any_other() {
        let mut counts = [0; 5];
        for stream in 0..5000 {
            for place in drawn(5, 2, 1, stream) {
                counts[place] += 1;
            }
        }
        // 2000 each, with a standard deviation of 35
        assert!(counts.iter().all(|n| (1850..2150).contains(n)), "{counts:?}");
        let mut all = drawn(50, 50, 3, 0);
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn the_most_similar_stands_last_and_length_does_not_count() {
        let among =
            [vec![0.1, 0.1], vec![9.0, 0.0], vec![-1.0, 0.0], vec![0.0, 0.0], vec![2.0, 2.0]];
        // cosines with (1, 1): 1, 0.71, −0.71, none, 1; the first of equals is the more similar
        assert_eq!(nearest(&[1.0, 1.0], &among, 3), [1, 4, 0]);
        assert_eq!(nearest(&[1.0, 1.0], &among, 9), [3, 2, 1, 4, 0]);
    }
}
