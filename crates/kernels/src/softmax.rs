//! Softmax over the last dimension, with the mask of Flamingo's cross-attention.

use crate::Real;
use crate::rows::map_rows;

/// Which keys a query may see, shared by the heads of one batch item.
///
/// A forbidden score becomes the lowest finite number rather than −∞ (as OpenFlamingo does), so a
/// query that may see nothing attends to everything alike instead of producing NaN; `silent` rows
/// get exactly zero instead.
#[derive(Clone, Debug)]
pub struct KeyMask {
    /// `(batch, n_queries, n_keys)`, true where the query may see the key.
    pub allowed: Vec<bool>,
    /// `(batch, n_queries)`, true where the query's weights are all zero.
    pub silent: Option<Vec<bool>>,
    /// Queries per batch item.
    pub n_queries: usize,
    /// Keys per batch item.
    pub n_keys: usize,
}

impl KeyMask {
    /// The mask row of score row `row` in `(batch, n_heads, n_queries, n_keys)`.
    fn row(&self, row: usize, n_heads: usize) -> (&[bool], bool) {
        let query = row % self.n_queries;
        let batch = row / self.n_queries / n_heads;
        let at = batch * self.n_queries + query;
        let allowed = &self.allowed[at * self.n_keys..(at + 1) * self.n_keys];
        (allowed, self.silent.as_ref().is_some_and(|silent| silent[at]))
    }
}

/// Softmax of rows of `n_keys` scores laid out as `(batch, n_heads, n_queries, n_keys)`.
pub fn softmax<T: Real>(
    scores: &[T],
    n_keys: usize,
    n_heads: usize,
    mask: Option<&KeyMask>,
    weights: &mut [T],
) {
    map_rows(scores, weights, n_keys, |row, s, w| {
        let mask = mask.map(|mask| mask.row(row, n_heads));
        if mask.is_some_and(|(_, silent)| silent) {
            w.fill(T::ZERO);
            return;
        }
        let mut max = T::LOWEST;
        for i in 0..n_keys {
            w[i] = match mask {
                Some((allowed, _)) if !allowed[i] => T::LOWEST,
                _ => s[i],
            };
            if w[i] > max {
                max = w[i];
            }
        }
        let mut total = T::ZERO;
        for w in w.iter_mut() {
            *w = (*w - max).exp();
            total += *w;
        }
        for w in w.iter_mut() {
            *w = *w / total;
        }
    });
}

/// Gradient of [`softmax`] from its own output: `ds = w · (dw − Σ w·dw)`.
///
/// Forbidden and silent entries have weight zero, hence gradient zero; the uniform rows of a
/// fully masked query do not depend on their scores, so theirs is zeroed by the mask.
pub fn softmax_backward<T: Real>(
    weights: &[T],
    dweights: &[T],
    n_keys: usize,
    n_heads: usize,
    mask: Option<&KeyMask>,
    dscores: &mut [T],
) {
    map_rows(weights, dscores, n_keys, |row, w, ds| {
        let dw = &dweights[row * n_keys..(row + 1) * n_keys];
        let dot = w.iter().zip(dw).map(|(&w, &g)| w * g).sum::<T>();
        let allowed = mask.map(|mask| mask.row(row, n_heads).0);
        for i in 0..n_keys {
            let open = allowed.is_none_or(|allowed| allowed[i]);
            ds[i] = if open { w[i] * (dw[i] - dot) } else { T::ZERO };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(allowed: &[bool], silent: bool) -> Vec<f64> {
        let mask = KeyMask {
            allowed: allowed.to_vec(),
            silent: Some(vec![silent]),
            n_queries: 1,
            n_keys: 3,
        };
        let mut weights = vec![9.; 3];
        softmax(&[1., 2., 3.], 3, 1, Some(&mask), &mut weights);
        weights
    }

    #[test]
    fn forbidden_keys_get_no_weight() {
        let weights = masked(&[true, false, true], false);
        let e2 = 2f64.exp();
        assert_eq!(weights[1], 0.);
        assert!((weights[2] - e2 / (1. + e2)).abs() < 1e-15);
    }

    #[test]
    fn a_query_that_may_see_nothing_sees_all_alike_and_a_silent_one_nothing() {
        assert_eq!(masked(&[false; 3], false), vec![1. / 3.; 3]);
        assert_eq!(masked(&[true; 3], true), vec![0.; 3]);
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let mut weights = vec![0f32; 2];
        softmax(&[3e38, 3e38], 2, 1, None, &mut weights);
        assert_eq!(weights, vec![0.5, 0.5]);
    }
}
